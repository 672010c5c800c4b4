"""Each image once an epoch, wherever it is read and whenever it is ended; and what is written is what was there."""

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import litdata
import numpy as np
import pytest
import torch
from convkit_litdata.chunks import Chunks
from convkit_litdata.command import main
from convkit_litdata.dataset import LitData
from convkit_litdata.order import ChunkOrder
from numbered import COUNT, converted, data, flat, folder, numbers, read, run, seen, training

from convkit import UserError
from convkit.datasets.image_folder import ImageFolder
from convkit.plugins import find


def test_registered_by_this_distribution() -> None:
    assert find("dataset", "litdata").distribution == "convkit-litdata"


# -- each image once ---------------------------------------------------------------------------------------------------


def test_two_ranks_of_two_workers_see_each_image_once_an_epoch(chunks: Path) -> None:
    epochs = []
    for epoch in (0, 1):
        shares = [read(training(chunks, rank=rank, ranks=2, epoch=epoch, workers=2)) for rank in (0, 1)]
        assert sorted(flat(shares[0]) + flat(shares[1])) == list(range(COUNT))
        assert [len(share) for share in shares] == [9, 9]  # the same steps on both
        alone = read(training(chunks, epoch=epoch))
        assert [batch[rank::2] for batch in alone for rank in (0, 1)] == [
            b for pair in zip(*shares, strict=True) for b in pair
        ]
        epochs.append(flat(alone))
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("workers", [0, 2])
def test_goes_on_with_the_very_next_batch(chunks: Path, workers: int) -> None:
    whole = read(training(chunks, epoch=4))
    first, rest = (training(chunks, epoch=4, workers=workers) for _ in range(2))
    iterator = iter(first)
    for _ in range(3):
        next(iterator)
    rest.load_state_dict(first.state_dict())
    assert read(rest) == whole[3:]
    first.close()


def test_a_fit_on_two_ranks_of_two_workers(chunks: Path, tmp_path: Path) -> None:
    assert run(chunks, tmp_path, ranks=2) == [0, 0]
    assert seen(tmp_path) == [Counter(range(COUNT))] * 2
    steps = [len((tmp_path / f"first-{rank}.jsonl").read_text().splitlines()) for rank in (0, 1)]
    assert steps == [18, 18]


@pytest.mark.parametrize("ranks", [1, 2])
def test_killed_and_resumed_in_mid_epoch(chunks: Path, tmp_path: Path, ranks: int) -> None:
    """A process (or two) with two workers each, ended by SIGKILL in the second epoch, and a new one."""
    died_at = 13  # of nine steps an epoch
    assert run(chunks, tmp_path, ranks, die_at=died_at) == [-signal.SIGKILL] * ranks
    assert run(chunks, tmp_path, ranks) == [0] * ranks
    assert seen(tmp_path) == [Counter(range(COUNT))] * 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 10}, r"data\.batch_size 16, and it is 10 now, .*; go on with --data\.batch_size 16, or from"),
        ({"seed": 4}, r"data\.seed 3, and it is 4 now"),
        ({"mix": 4}, r"data\.mix 16, and it is 4 now"),
        ({"root": "other"}, r"other images than are there now; go on with data\.root and data\.val_fraction as they"),
    ],
)
def test_does_not_go_on_in_the_middle_of_another_order(
    options: dict[str, Any], said: str, chunks: Path, images: Path, tmp_path: Path
) -> None:
    loader = training(chunks)
    iterator = iter(loader)
    next(iterator)
    middle = loader.state_dict()
    for _ in iterator:
        pass
    end = loader.state_dict()
    root = options.pop("root", None)
    other = training(converted(images, tmp_path / root, 2500) if root else chunks, **options)
    with pytest.raises(UserError, match=said) as raised:
        other.load_state_dict(middle)
    assert "\n" not in str(raised.value)
    other.load_state_dict({name: middle[name] for name in ("epoch", "next_batch")})  # of an older version's
    other.load_state_dict(end)
    assert sorted(flat(read(other))) == list(range(COUNT))


# -- the order ---------------------------------------------------------------------------------------------------------


def order(count: int = 4000, size: int = 40, **options: Any) -> ChunkOrder:
    return ChunkOrder(np.arange(count) // size, **{"batch_size": 64, "seed": 1, "shuffle": True, "mix": 8, **options})


def test_the_order_is_a_permutation_whatever_the_numbers() -> None:
    for count, size, mix in ((4000, 40, 8), (1001, 13, 16), (17, 100, 16), (5, 1, 16), (90, 7, 1)):
        found = order(count, size, mix=mix)
        for epoch in (0, 1):
            found.set_epoch(epoch)
            assert sorted(found.indices().tolist()) == list(range(count))
        assert found.following(0).keys() <= set(range(-(-count // size)))


def test_a_rank_reads_its_share_of_the_chunks() -> None:
    of_rank = []
    for rank in (0, 1):
        each = order(rank=rank, ranks=2)
        mixed = each.indices()
        own = [mixed[first + rank : last : 2] for first, last in map(each.bounds, range(len(each)))]
        of_rank.append({*each.chunks[np.concatenate(own)].tolist()})
        # Of eight streams four are its own, a chunk of each at a time; and one more of each where chunks change.
        assert max(len({*each.chunks[part].tolist()}) for part in own) <= 8
    assert len(of_rank[0] & of_rank[1]) <= 8  # where the cut between two streams goes through a chunk
    assert of_rank[0] | of_rank[1] == set(range(100))


def test_a_batch_mixes_its_chunks() -> None:
    each = order()
    first = each.chunks[each.indices()[:64]]
    assert sorted(Counter(first.tolist()).values()) == [8] * 8
    within = each.indices()[:: each.mix][:40]
    assert within.tolist() != sorted(within.tolist())


# -- what is written ---------------------------------------------------------------------------------------------------


def test_what_is_written_is_litdatas_own_and_the_files(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(images), str(tmp_path / "out"), "--chunk", "1500"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"train: {COUNT} images in ")
    assert said[0].endswith(" MB, written and read back")
    assert said[1].startswith("val: 20 images in ")
    assert said[-1].endswith(f"convkit fit --data litdata --data.root {tmp_path / 'out'}")
    theirs = litdata.StreamingDataset(str(tmp_path / "out" / "train"))
    files = {path.read_bytes(): int(path.parent.name == "odd") for path in (images / "train").rglob("*.png")}
    found = [theirs[place] for place in range(len(theirs))]
    assert {each["image"]: each["label"] for each in found} == files
    labels = np.load(tmp_path / "out" / "train" / "labels.npy")
    assert [each["label"] for each in found] == labels.tolist()
    assert 0 < labels[: COUNT // 2].mean() < 1  # in random order, not class by class
    ours = Chunks(str(tmp_path / "out" / "train"), tmp_path, 0)
    assert [ours.sample(place).image for place in range(COUNT)] == [each["image"] for each in found]


def test_it_is_the_image_folder_again(images: Path, chunks: Path) -> None:
    """The same splits, classes and pixels, but for their order."""
    ours = data(chunks)
    folders = ImageFolder(str(images), size=8, resize=8, batch_size=16, workers=0, mean=[0.5] * 3, std=[0.5] * 3)
    for each in (ours, folders):
        each.prepare_data()
        each.setup()
    assert ours.class_names == folders.class_names == ["even", "odd"]
    assert ours.image_shape == (3, 8, 8)
    for split in ("train", "val", "test"):
        (a, x), (b, y) = ((each.labels(split), list(each.evaluation(split))) for each in (ours, folders))
        assert sorted(a.tolist()) == sorted(b.tolist())
        found = [torch.cat([pixels for pixels, _ in batches]) for batches in (x, y)]
        sorted_alike = [each[np.argsort(numbers(each))] for each in found]
        assert torch.equal(*sorted_alike)
    first = next(iter(ours.val_dataloader()))[0]
    assert torch.equal(ours.pick("val", torch.tensor([2, 0])), first[[2, 0]])


def test_plain_class_folders_and_measured_colours(tmp_path: Path) -> None:
    root = folder(tmp_path / "in", **{".": 60})
    converted(root, tmp_path / "out", 700)
    ours = LitData(str(tmp_path / "out"), size=8, workers=0, cache_dir=str(tmp_path / "cache"))
    theirs = ImageFolder(str(root), size=8, workers=0, cache_dir=str(tmp_path / "cache"))
    for each in (ours, theirs):
        each.setup()
    assert {name: len(ours.splits[name]) for name in ours.splits} == {
        name: len(theirs.splits[name]) for name in theirs.splits
    }
    values = np.array([[0, number, 7] for number in range(60)]) / 255
    assert np.abs(np.array(ours.mean) - values.mean(0)).max() < 0.03  # of some 43 of the 60
    assert ours.average_image.shape == (3, 8, 8)


def test_a_data_set_of_litdatas_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Pairs of an array and a label, from somewhere else."""
    writer = litdata.streaming.Cache(str(tmp_path), chunk_bytes=4000)
    pixels = np.random.RandomState(0).randint(0, 256, (40, 3, 9, 9), dtype=np.uint8)
    for place in range(40):
        writer[place] = (torch.from_numpy(pixels[place]), place % 3)
    writer.done()
    writer.merge()
    assert main(["index", str(tmp_path), "--classes", "ant,bee,cat"]) == 0
    assert "train: 40 images in " in capsys.readouterr().out
    found = data(tmp_path, size=9, resize=9)
    found.setup()
    assert found.class_names == ["ant", "bee", "cat"]
    got, targets = found.pick("val", torch.arange(3)), found.labels("val")[:3]
    rows = found.splits["val"][:3]
    assert targets.tolist() == (rows % 3).tolist()
    torch.testing.assert_close(got, torch.from_numpy(pixels[rows]).float() / 127.5 - 1)


# -- from object storage -----------------------------------------------------------------------------------------------


def test_from_afar_within_a_limit(chunks: Path, tmp_path: Path) -> None:
    """``local:`` takes a folder for object storage. Three chunks find room, sixteen are mixed; all comes."""
    options = {"cache_dir": str(tmp_path / "cache"), "disk": "4500", "epoch": 1}
    found = read(training(f"local:{chunks}", workers=2, **options))
    assert found == read(training(chunks, epoch=1))
    left = list((tmp_path / "cache").rglob("*.bin"))
    assert sum(each.stat().st_size for each in left) <= 4500 + 1600
    assert not list((tmp_path / "cache").rglob("*.tmp*"))


def test_a_chunk_is_fetched_once_and_ahead(chunks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from convkit_litdata import local_copy

    fetched: list[str] = []
    plain = local_copy.download

    def counting(remote: str, name: str, path: Path) -> None:
        fetched.append(f"{remote.rpartition('/')[2]}/{name}")
        plain(remote, name, path)

    monkeypatch.setattr(local_copy, "download", counting)
    loader = training(f"local:{chunks}", cache_dir=str(tmp_path), mix=2)
    iterator = iter(loader)
    next(iterator)
    of_train = [name for name in fetched if name.startswith("train/chunk")]
    rows = loader.sampler.chunks[loader.sampler.indices()[:16]]
    assert len(set(of_train)) > len({*rows.tolist()})  # more than the batch needs, though not all
    assert len(set(of_train)) < 16
    for _ in iterator:
        pass
    assert Counter(name for name in fetched if name.startswith("train/chunk")) == Counter(
        f"train/{name}" for name in loader.images.samples.parts[0].names
    )
