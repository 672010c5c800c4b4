"""From a server that speaks S3, as litdata's own client fetches: the whole data set, and what is not there."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from numbered import COUNT, converted, data, folder, numbers, run, seen

from convkit import UserError

boto3 = pytest.importorskip("boto3")
server = pytest.importorskip("moto.server", reason="moto[s3,server] is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``out``, a data set."""
    place = tmp_path_factory.mktemp("images")
    converted(folder(place / "in", train=COUNT, val=20), place / "out")
    return place


@pytest.fixture(scope="module")
def bucket(place: Path) -> Iterator[str]:
    """``s3://images/some/chunks``, with the data set in it."""
    served = server.ThreadedMotoServer("127.0.0.1", 0)
    served.start()
    address = "http://{}:{}".format(*served.get_host_and_port())
    named = {"ENDPOINT_URL": address, "ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any", "DEFAULT_REGION": "us-east-1"}
    patch = pytest.MonkeyPatch()
    for name, value in named.items():
        patch.setenv(f"AWS_{name}", value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="images")
    out = place / "out"
    for path in out.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "images", f"some/chunks/{path.relative_to(out)}")
    yield "s3://images/some/chunks"
    patch.undo()
    served.stop()


def test_a_fit_on_two_ranks_of_two_workers_from_s3(bucket: str, tmp_path: Path) -> None:
    assert run(bucket, tmp_path, ranks=2, cache_dir=str(tmp_path / "cache"), disk="4500") == [0, 0]
    assert seen(tmp_path) == [Counter(range(COUNT))] * 2
    left = list((tmp_path / "cache").rglob("*.bin"))
    assert left
    assert sum(each.stat().st_size for each in left) <= 4500 + 1600


@pytest.mark.parametrize("workers", [0, 2])
def test_the_same_as_from_the_folder(bucket: str, place: Path, tmp_path: Path, workers: int) -> None:
    orders = []
    for root in (bucket, str(place / "out")):
        each = data(root, workers=workers, cache_dir=str(tmp_path / "cache"))
        each.setup()
        orders.append([numbers(images) for images, _ in each.train_dataloader()])
        each.teardown()
    assert orders[0] == orders[1]


def test_what_is_not_there_in_one_line(bucket: str, place: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^s3://images/other/convkit.json cannot be fetched: .*Not Found$"):
        data("s3://images/other", cache_dir=str(tmp_path / "cache"))
    index = json.loads((place / "out/train/index.json").read_text())
    chunk = index["chunks"][3]["filename"]
    boto3.client("s3").delete_object(Bucket="images", Key=f"some/chunks/train/{chunk}")
    each = data(bucket, workers=2, cache_dir=str(tmp_path / "cache"))
    each.setup()
    with pytest.raises(UserError, match=rf"^s3://images/some/chunks/train/{chunk} cannot be fetched: [^\n]+$"):
        list(each.train_dataloader())
