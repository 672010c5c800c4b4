"""What the Inception networks are built of: a convolution with its nonlinearity, and the input that weights expect."""

import torch
from torch import Tensor, nn

# Per channel: what torchvision normalises by, where the weights' publishers mapped 0…1 to -1…1.
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class ConvUnit(nn.Module):
    """Convolution, batch norm, ReLU, under torchvision's names; without batch norm, a bias in its place.

    Args:
        kernel: side of the filter, or height and width; an odd one keeps the size where ``same`` and stride 1.
        same: pad by half the filter; else not at all (``valid``).
    """

    def __init__(
        self,
        maps_in: int,
        maps: int,
        kernel: int | tuple[int, int],
        stride: int = 1,
        *,
        same: bool = True,
        batch_norm: bool = True,
    ) -> None:
        super().__init__()
        sides = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (sides[0] // 2, sides[1] // 2) if same else (0, 0)
        self.conv = nn.Conv2d(maps_in, maps, sides, stride, padding, bias=not batch_norm)
        self.bn = nn.BatchNorm2d(maps, eps=1e-3) if batch_norm else None
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        if self.bn is not None:
            x = self.bn(x)
        out: Tensor = self.relu(x)
        return out


class FromImageNetStatistics(nn.Module):
    """N×3×H×W images normalised by ImageNet's mean and deviation to the -1…1 that published Inception weights expect.

    Raises:
        ValueError: other than three channels; ``owner`` is whom it speaks of.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, channels: int, owner: str) -> None:
        super().__init__()
        if channels != 3:
            raise ValueError(f"{owner}: transform_input is for the 3 channels of published weights, not {channels}")
        scale, shift = torch.tensor(IMAGENET_STD) * 2, torch.tensor([2 * mean - 1 for mean in IMAGENET_MEAN])
        # Not weights: a state_dict of torchvision's has neither.
        self.register_buffer("scale", scale[:, None, None], persistent=False)
        self.register_buffer("shift", shift[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        return images * self.scale + self.shift


def scaled(maps: int, width: float) -> int:
    """A number of maps times the width multiplier, to the nearest, at least 1."""
    return max(1, round(maps * width))
