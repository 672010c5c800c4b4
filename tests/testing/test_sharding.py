"""How the ranks divide the images of a data set: what is told, from what each of them read."""

import pytest
import torch

from convkit.testing.contract import Failure
from convkit.testing.sharding import Read, _compare

ORDER = torch.randperm(48, generator=torch.Generator().manual_seed(0)).tolist()


def read(images: list[int], batch: int = 8, drawn: int = 0, asked: int | None = None) -> Read:
    """Images of three classes in batches; ``drawn`` makes other images of them."""
    sizes = [len(images[first : first + batch]) for first in range(0, len(images), batch)]
    asked = batch if asked is None else asked
    return {"images": [drawn + each for each in images], "classes": [each % 3 for each in images], "sizes": sizes,
            "asked": [asked]}  # fmt: skip


ALONE = read(ORDER)
SHUFFLED = [torch.randperm(48, generator=torch.Generator().manual_seed(rank)).tolist()[:24] for rank in range(2)]


@pytest.mark.parametrize("drawn", [0, 1000])
@pytest.mark.parametrize(
    ("alone", "parts"),
    [
        (ALONE, [ORDER[::2], ORDER[1::2]]),
        (read(ORDER[:47]), [ORDER[:47:2], [*ORDER[1:47:2], ORDER[0]]]),  # one rank repeats one
        (read(ORDER[:40]), [ORDER[:24], ORDER[24:47]]),  # one rank alone drops what is no whole batch
        (read(ORDER[:46]), [ORDER[:16], ORDER[23:39]]),  # of 23 images each of two drops what is no whole batch
    ],
)
def test_good(alone: Read, parts: list[list[int]], drawn: int) -> None:
    made = [read(images, drawn=drawn * (rank + 1)) for rank, images in enumerate(parts)]
    _compare("train", alone, made)


@pytest.mark.parametrize(
    ("alone", "parts", "line"),
    [
        (ALONE, [read(ORDER), read(ORDER)], "read 48 train images more than once"),
        (read(ORDER, 16, asked=128), [read(ORDER, 16, asked=128)] * 2, "read 48 train images more than once"),
        (read(ORDER, 16, asked=128), [read(ORDER, 16, 1000, 128), read(ORDER, 16, 2000, 128)], "48 train images more"),
        (ALONE, [read(ORDER[:24])] * 2, "read 24 train images more than once"),
        (ALONE, [read(images) for images in SHUFFLED], "train images more than once"),
        (ALONE, [read(ORDER[:24]), read(ORDER[24:40])], r"2 ranks make \[2, 3\] train steps"),
        (ALONE, [read(ORDER[:16]), read(ORDER[16:32])], "leave out 16 of 48"),  # more than two that are not whole have
        (ALONE, [read(ORDER[:10]), read(ORDER[10:20])], "leave out 28 of 48"),
        (ALONE, [read([*ORDER[:16], *range(100, 108)]), read(ORDER[24:])], "8 train images that one alone does not"),
    ],
)
def test_bad(alone: Read, parts: list[Read], line: str) -> None:
    with pytest.raises(Failure, match=line):
        _compare("train", alone, parts)


def test_nothing_is_dropped_in_evaluation() -> None:
    _compare("test", ALONE, [read(ORDER[::2]), read(ORDER[1::2])])
    with pytest.raises(Failure, match="leave out 2 of 48 test images"):
        _compare("test", ALONE, [read(ORDER[:23], 23), read(ORDER[24:47], 23)])
