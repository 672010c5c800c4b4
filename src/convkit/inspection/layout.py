"""Which dimensions of a tensor run along the image's rows or columns, through views and permutations. No torch.

A layout has a tuple of atoms for each dimension, outermost first: ``("y", 7)`` runs along the rows, ``("x", 7)`` along
the columns, ``("", 64)`` along neither, ``("yx", 50)`` along both, as 7×7 tokens with one more among them do.
N×C×7×7 is ``((("", N),), (("", C),), (("y", 7),), (("x", 7),))``, and with everything from C on flattened, the last
dimension is ``(("", C), ("y", 7), ("x", 7))``.
"""

from collections.abc import Collection, Sequence
from math import prod

Atom = tuple[str, int]
Layout = tuple[tuple[Atom, ...], ...]
SIDES = "yx"


def image_layout(shape: Sequence[int]) -> Layout:
    """Of N×C×H×W images."""
    return tuple(((side, size),) for side, size in zip(("", "", *SIDES), shape, strict=True))


def blank(shape: Sequence[int]) -> Layout:
    """Of a tensor none of whose dimensions runs along the image."""
    return tuple((("", size),) for size in shape)


def sides(layout: Layout, dims: Collection[int] | None = None) -> set[str]:
    """The sides of the image along which these dimensions run; all dimensions by default."""
    return {side for dim, atoms in enumerate(layout) if dims is None or dim in dims for tag, _ in atoms for side in tag}


def pure_side(layout: Layout, dim: int) -> str | None:
    """The side along which ``dim`` alone runs, and nothing else does; None where there is none."""
    atoms = [(tag, size) for tag, size in layout[dim] if tag or size > 1]
    others = [other for other in range(len(layout)) if other != dim]
    if len(atoms) == 1 and len(atoms[0][0]) == 1 and atoms[0][0] not in sides(layout, others):
        return atoms[0][0]
    return None


def shape_of(layout: Layout) -> tuple[int, ...]:
    return tuple(prod(size for _, size in atoms) for atoms in layout)


def resized(layout: Layout, shape: Sequence[int]) -> Layout:
    """The same dimensions with other sizes; one atom a dimension where it changed."""
    return tuple(
        atoms if before == size else (("".join(sorted(sides((atoms,)))), size),)
        for atoms, before, size in zip(layout, shape_of(layout), shape, strict=True)
    )


def without(layout: Layout, gone: Collection[str]) -> Layout:
    """The same sizes, running along these sides no more."""
    return tuple(tuple(("".join(side for side in tag if side not in gone), size) for tag, size in atoms)
                 for atoms in layout)  # fmt: skip


def view(layout: Layout, shape: Sequence[int]) -> tuple[Layout | None, set[str]]:
    """After ``view(shape)``, and the sides that it cuts through, as a partition into windows does."""
    if shape_of(layout) == tuple(shape):
        return layout, set()
    rest, cut = _joined([atom for atoms in layout for atom in atoms]), set[str]()
    dims: list[list[Atom]] = []
    for wanted in shape:
        taken: list[Atom] = []
        if wanted == 1 and rest and rest[0][0] and rest[0][1] == 1:
            taken.append(rest.pop(0))
        while wanted > 1:
            if not rest:
                return None, cut
            tag, size = rest.pop(0)
            if wanted % size == 0:
                taken.append((tag, size))
                wanted //= size
            elif size % wanted == 0:
                taken.append((tag, wanted))
                rest.insert(0, (tag, size // wanted))
                cut |= set(tag)
                wanted = 1
            else:
                return None, cut
        dims.append(taken)
    if rest and dims:
        dims[-1] += rest  # sizes of 1
    return tuple(tuple(taken) for taken in dims), cut


def _joined(atoms: Sequence[Atom]) -> list[Atom]:
    """Neighbours that run along nothing as one, sizes of 1 left out."""
    joined: list[Atom] = []
    for tag, size in atoms:
        if not tag and joined and not joined[-1][0]:
            joined[-1] = ("", joined[-1][1] * size)
        elif tag or size > 1:
            joined.append((tag, size))
    return joined


def broadcast(first: Layout, second: Layout) -> Layout | None:
    """Of an elementwise result; None where one runs along the rows and the other, in that place, along the columns."""
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    shorter = ((),) * (len(longer) - len(shorter)) + shorter
    dims = []
    for one, other, sizes in zip(longer, shorter, zip(shape_of(longer), shape_of(shorter), strict=True), strict=True):
        if sizes[0] != sizes[1]:
            dims.append(one if sizes[1] == 1 else other)
        elif one == other or not sides((other,)):
            dims.append(one)
        elif not sides((one,)):
            dims.append(other)
        else:
            return None
    return tuple(dims)
