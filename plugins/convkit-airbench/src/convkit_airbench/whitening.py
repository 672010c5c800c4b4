"""A first convolution whose outputs, over patches of the training images, are uncorrelated and of one size."""

import math
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - the field's own name

SIDE = 2  # of the patches, in pixels
SMALLEST = 5e-4  # added to the eigenvalues: directions that hardly occur are not blown up


class WhiteningConv(nn.Module):
    """N×C×H×W images to N×8C×(H-1)×(W-1): each principal direction's share in each 2×2 patch (Jordan 2024, §3.2).

    The filters are the eigenvectors of the patches' second moments over the root of their eigenvalues, and the
    negatives of those, so that a nonlinearity loses neither sign. They are set before the first step by the
    schedule ``airbench`` (see ``first_filters``), or by the first batch that is trained on, by those of all ranks
    together, and stay as they are; what is learned is a bias. Until then they are the pixels.
    """

    weight: Tensor
    is_set: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        size = channels * SIDE**2
        pixels = torch.eye(size).view(size, channels, SIDE, SIDE)
        self.bias = nn.Parameter(torch.zeros(2 * size))
        self.register_buffer("weight", torch.cat([pixels, -pixels]))
        self.register_buffer("is_set", torch.zeros((), dtype=torch.bool))
        self._known = False  # that it is set: to ask a GPU at each step is to wait for it

    def forward(self, images: Tensor) -> Tensor:
        if self.training and not self._known and not images.is_meta:
            if not self.is_set:
                self.fit(images)
            self._known = True
        return F.conv2d(images, self.weight.to(images.dtype), self.bias)

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._known = False

    @torch.no_grad()
    def fit(self, images: Tensor) -> None:
        """Set the filters for these images."""
        moments, count = patch_moments(images)
        if dist.is_available() and dist.is_initialized():
            sums = torch.cat([moments.flatten() * count, moments.new_tensor([count])])
            dist.all_reduce(sums)
            moments = (sums[:-1] / sums[-1]).view_as(moments)
        half = whitening(moments).view(-1, *self.weight.shape[1:]).to(self.weight.dtype)
        self.weight.copy_(torch.cat([half, -half]))
        self.is_set.fill_(True)


def patch_moments(images: Tensor) -> tuple[Tensor, int]:
    """4C×4C mean products of the values of a 2×2 patch, over all patches of N×C×H×W images; and how many there are."""
    with torch.autocast(images.device.type, enabled=False):
        patches = F.unfold(images.float(), SIDE).transpose(1, 2).flatten(0, 1)
        # In single precision a million products lose the last digits, so they are added up part by part.
        parts = [(part.T @ part).double() for part in torch.split(patches, 2**16)]
        return torch.stack(parts).sum(0) / len(patches), len(patches)


def whitening(moments: Tensor) -> Tensor:
    """D×D: a row for each eigenvector, the strongest first, over the root of its eigenvalue."""
    values, vectors = torch.linalg.eigh(moments)
    # Of an eigenvector only the line is given: the sign is chosen, so that every machine gets the same.
    leading = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
    scaled: Tensor = vectors * leading.sign() / (values.clamp_min(0) + SMALLEST).sqrt()
    return scaled.T.flip(0)


def dirac(convolution: nn.Conv2d) -> None:
    """The first filters hand their inputs on as they are; the others stay as they were drawn (Jordan 2024, §3.3)."""
    weight = convolution.weight
    nn.init.dirac_(weight.data[: weight.shape[1]])


def out_features(channels: int) -> int:
    """Maps that a whitening convolution has."""
    return 2 * channels * math.prod((SIDE, SIDE))
