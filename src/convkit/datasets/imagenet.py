"""ImageNet's classification task (Russakovsky et al. 2015, ILSVRC2012): 1.28 million photographs of 1,000 classes."""

from collections import Counter
from pathlib import Path
from typing import Any

from convkit.datasets.image_folder import ImageFolder
from convkit.errors import UserError

_NAMES = "LOC_synset_mapping.txt"


class ImageNet(ImageFolder):
    """``root/train/nXXXXXXXX/*.JPEG`` and ``root/val/nXXXXXXXX/*.JPEG``; a part of the classes will do.

    The validation images also test, as in the papers: the test set's labels are not published. Classes have readable
    names where the ``LOC_synset_mapping.txt`` of ILSVRC2012 lies in ``root`` or up to three folders above it.

    Args:
        root: the folder; it cannot be downloaded, for its licence is a personal one.
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def __init__(self, root: str, **options: Any) -> None:
        super().__init__(root, **options)
        place, names = self.folders.root, self.folders.names
        if "val" not in self.folders.parts:
            raise UserError(f"{place} has no train and val folders, each with class folders such as n01440764")
        if other := [name for name in names if not _is_wnid(name)]:
            raise UserError(f"{place}: {other[0]} is no WordNet id such as n01440764; image_folder takes any names")
        self.class_names = _readable(names, place)


def _is_wnid(name: str) -> bool:
    return name[0] == "n" and name[1:].isdecimal()


def _readable(ids: list[str], root: Path) -> list[str]:
    """The first of each class's names, with the id where two have the same (crane, maillot)."""
    above = [root, *root.resolve().parents[:3]]
    file = next((folder / _NAMES for folder in above if (folder / _NAMES).is_file()), None)
    if file is None:
        return list(ids)
    try:
        lines = dict(line.split(maxsplit=1) for line in file.read_text().splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read: a line is an id and its names, as published ({error})") from error
    names = [lines.get(wnid, wnid).partition(",")[0].strip() for wnid in ids]
    count = Counter(names)
    return [name if count[name] == 1 else f"{name} ({wnid})" for wnid, name in zip(ids, names, strict=True)]
