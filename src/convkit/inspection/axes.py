"""What the units along one side of the image see, and how an operation changes it. No torch.

Sizes are theoretical: padding counts as seen, so that a field may be larger than the image (ResNet-50's 427 on 224).
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Axis:
    """``count`` units along a side of ``image`` pixels; unit i sees ``[low + i·stride, low + i·stride + size)``.

    Two exceptions. ``fixed``: every unit sees all of ``[low, high)``, as after a global pooling that gates a map.
    ``stride`` None: neighbours are not evenly spaced; ``size`` is the largest unit's.
    """

    image: int
    count: int
    low: Fraction
    high: Fraction  # end of what all of them see together
    size: Fraction
    stride: Fraction | None
    fixed: bool = False

    @classmethod
    def of_image(cls, size: int) -> "Axis":
        """Of the pixels themselves."""
        return cls(size, size, Fraction(0), Fraction(size), Fraction(1), Fraction(1))

    @property
    def whole(self) -> bool:
        """Whether every unit sees the whole side."""
        return self.fixed and self.low <= 0 and self.high >= self.image

    def window(self, reach: int, stride: int, before: int, count: int) -> "Axis | None":
        """After a convolution or pooling over ``reach`` units, with ``before`` padded ones; None: not known."""
        step = None if self.stride is None else self.stride * stride
        if self.fixed:
            return replace(self, count=count, stride=step)
        if self.stride is None or step is None:
            if reach == stride == 1 and not before and count == self.count:
                return self
            return self.everything() if count == 1 and reach >= self.count else None
        size, low = self.size + (reach - 1) * self.stride, self.low - before * self.stride
        return Axis(self.image, count, low, low + (count - 1) * step + size, size, step)

    def adaptive(self, count: int) -> "Axis | None":
        """After adaptive pooling to ``count``: window i is [⌊i·n/count⌋, ⌈(i+1)·n/count⌉)."""
        if self.fixed:
            return replace(self, count=count, stride=self.stride and self.stride * self.count / count)
        starts = [index * self.count // count for index in range(count)]
        reaches = [-(-(index + 1) * self.count // count) - start for index, start in enumerate(starts)]
        steps = {second - first for first, second in pairwise(starts)}
        if count == 1:
            return self.everything()
        if len(set(reaches)) == len(steps) == 1:
            return self.window(reaches[0], steps.pop(), 0, count)
        if self.stride is None:
            return None
        size = self.size + (max(reaches) - 1) * self.stride
        return Axis(self.image, count, self.low, self.high, size, None)

    def pad(self, before: int, after: int) -> "Axis | None":
        """With zeros at the ends, or without some units where the numbers are negative."""
        if self.fixed or not (before or after):
            return replace(self, count=self.count + before + after)
        return self.window(1, 1, before, self.count + before + after)

    def every(self, start: int, step: int, count: int) -> "Axis | None":
        """``count`` units, each ``step``-th from ``start`` on."""
        if (start, step, count) == (0, 1, self.count):
            return self
        return self.window(1, step, -start, count)

    def everything(self) -> "Axis":
        """One unit that sees what all of them see, as after a mean or a dense layer."""
        return Axis(self.image, 1, self.low, self.high, self.high - self.low, None, True)

    def spread(self, axis: "Axis") -> "Axis":
        """These units' field on the grid of another: a gate that is multiplied onto a map."""
        return replace(self, count=axis.count, stride=axis.stride)


def union(first: Axis | None, second: Axis | None) -> Axis | None:
    """What a sum or a concatenation of two sees: the larger of the fields, or their hull. None: not known."""
    if first is None or second is None:
        known = first or second
        return known if known and known.whole else None
    if first.count != second.count:  # broadcast: the single unit is seen by all the others
        first, second = (axis.everything() if axis.count == 1 else axis for axis in (first, second))
    if first.fixed and second.fixed:
        low, high = min(first.low, second.low), max(first.high, second.high)
        stride = first.stride if second.count == 1 else second.stride
        return replace(first, count=max(first.count, second.count), low=low, high=high, size=high - low, stride=stride)
    if second.fixed:
        first, second = second, first
    if first.fixed:  # the gate on a map: it hides the map's own fields only where it sees beyond all of them
        return first.spread(second) if first.whole or _covers(first, second) else None
    if first == second:
        return first
    if first.stride is None or first.stride != second.stride or first.count != second.count:
        return None
    low, end = min(first.low, second.low), max(first.low + first.size, second.low + second.size)
    high = low + (first.count - 1) * first.stride + end - low
    return Axis(first.image, first.count, low, high, end - low, first.stride)


def _covers(first: Axis, second: Axis) -> bool:
    return first.low <= second.low and first.high >= second.high
