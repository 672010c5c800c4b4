"""What a step of training holds on one device."""

from typing import NamedTuple


class Memory(NamedTuple):
    """Bytes when the backward pass begins, in the phase of a fit in which most learns, but for ``batch``: images.

    An estimate: the kernels' own workspaces, what the backward pass needs on its way, the images that wait on the
    device and the allocator's rounding come on top.
    """

    batch: int
    parameters: int  # with buffers
    gradients: int
    optimizer: int
    average: int  # of the weights, kept beside them
    activations: int

    @property
    def total(self) -> int:
        return self.parameters + self.gradients + self.optimizer + self.average + self.activations
