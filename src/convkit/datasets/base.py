"""The contract of a dataset: a LightningDataModule that knows what its images and classes are."""

from collections.abc import Iterable

import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from convkit.errors import UserError


class ImageData(LightningDataModule):
    """Labelled images for training, validation, test and prediction.

    The five attributes are known before ``setup``, so a network can be built for the data; ``mean`` and ``std`` may
    wait for ``setup`` where they are measured. Loaders yield ``(images, targets)``: N×C×H×W float, normalised, and N
    class indices. ``batch_size`` is the number of images of one optimiser step, over all ranks.
    """

    num_classes: int
    image_shape: tuple[int, int, int]  # C, H, W as the network gets them
    class_names: list[str]
    mean: tuple[float, ...]  # per channel, of pixel values from 0 to 1
    std: tuple[float, ...]

    @property
    def average_image(self) -> Tensor:
        """C×H×W float from 0 to 1: what a training image is on average, known after ``setup``.

        The mean colour everywhere, unless a data set has measured more.
        """
        return torch.tensor(self.mean)[:, None, None].expand(self.image_shape)

    def labels(self, split: str) -> Tensor:
        """N class indices of all ``"train"``, ``"val"`` or ``"test"`` images; after ``setup``.

        Read off the loader, image by image, unless a data set knows them sooner.
        """
        loader = getattr(self, f"{split}_dataloader")()
        return torch.cat([targets for _, targets in loader])

    def pick(self, split: str, positions: Tensor) -> Tensor:
        """N×C×H×W normalised: these images of a split, as evaluation sees them; after ``setup``.

        Read off the evaluation loader, unless a data set can reach for them.
        """
        wanted = set(positions.tolist())
        found: dict[int, Tensor] = {}
        first = 0
        for images, _ in self.evaluation(split):
            found |= {first + i: images[i] for i in range(len(images)) if first + i in wanted}
            first += len(images)
        return torch.stack([found[position] for position in positions.tolist()])

    def evaluation(self, split: str) -> Iterable[tuple[Tensor, Tensor]]:
        """Batches of a split's images, each once, in order and without augmentation; after ``setup``.

        Raises:
            UserError: the data set has its training images only as training sees them.
        """
        if split == "train":
            raise UserError(f"{type(self).__name__} cannot give its training images without augmentation")
        batches: Iterable[tuple[Tensor, Tensor]] = getattr(self, f"{split}_dataloader")()
        return batches

    def sample(self, split: str, count: int) -> tuple[Tensor, Tensor]:
        """Up to ``count`` images of ``"train"``, ``"val"`` or ``"test"`` as the network gets them, and their classes.

        For people to look at: the first of the loader, or a better choice.
        """
        return first(getattr(self, f"{split}_dataloader")(), count)

    def rank_share(self, batch_index: int) -> float:
        """What this rank's mean loss over a training batch counts in the mean over ranks; 1 where all hold as many.

        DDP averages the ranks' gradients as if each had seen as many images. Where a batch does not divide evenly,
        n_rank · ranks / n makes that average the mean over all images.
        """
        return 1.0


def first(batches: Iterable[tuple[Tensor, Tensor]], count: int) -> tuple[Tensor, Tensor]:
    """The first images, on the host, and their classes; of several crops of an image the first."""
    images, targets, left = [], [], count
    for batch, labels in batches:
        images.append((batch if batch.ndim == 4 else batch[:, 0])[:left].cpu())
        targets.append(labels[:left].cpu())
        left -= len(images[-1])
        if left <= 0:
            break
    return torch.cat(images), torch.cat(targets)
