"""The classifier's inputs in place of the images: the body runs once over each image, and never again."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from convkit.convnet import ConvNet
from convkit.datasets.augment import Augment
from convkit.datasets.base import ImageData
from convkit.datasets.batches import Batch, Batches, Split
from convkit.datasets.divided import DividedData
from convkit.datasets.file_batches import FileBatches
from convkit.datasets.order import Order
from convkit.errors import UserError
from convkit.parts import HEAD


class FeatureData(ImageData):
    """Batches of ``(features, targets)`` of another data set's images, in the order that its batches would have.

    A feature is what ``net``'s ``head`` stage gets of an image as evaluation sees it: no augmentation, the network in
    evaluation mode. They are computed when training or validation first asks for them, on the trainer's device, each
    rank its share; so an ordinary fit, a resumed one included, has put its weights into the network by then. They stay
    valid as long as nothing but the head learns.

    Args:
        images: the data set; its training images are read without augmentation.
        net: whose features; it has a stage called ``head`` that alone makes the logits.

    Raises:
        UserError: the network has no such stage, or the data set cannot give its training images without augmentation.
    """

    def __init__(self, images: ImageData, net: ConvNet) -> None:
        super().__init__()
        name = type(images).__name__
        if HEAD not in net.stages:
            raise UserError(f"{type(net).__name__} has no stage called head, so nothing can be trained on its features")
        if not isinstance(images, DividedData):
            raise UserError(f"{name} cannot give its training images without augmentation, which features are made of")
        if images.augment != Augment():
            raise UserError("features are computed once, so nothing can change from epoch to epoch; drop data.augment")
        self.images, self.net = images, net
        self.num_classes, self.image_shape = images.num_classes, images.image_shape
        self.features: dict[str, Split] = {}
        self._train_order: Order | None = None

    def __getattr__(self, name: str) -> Any:
        # Whatever else is asked of the data is the images' affair: class names, mean, what was skipped.
        if name in ("images", "trainer"):
            raise AttributeError(name)
        return getattr(self.images, name)

    @property
    def head(self) -> nn.Module:
        """What is trained: a feature batch to N×K logits."""
        return self.net.stage(HEAD)

    @property
    def average_image(self) -> Tensor:
        return self.images.average_image

    def labels(self, split: str) -> Tensor:
        return self.images.labels(split)

    def prepare_data(self) -> None:
        self.images.prepare_data()

    def setup(self, stage: str | None = None) -> None:
        self.images.trainer = self.trainer  # its loaders ask for ranks and device
        self.images.setup(stage or "fit")

    def teardown(self, stage: str | None = None) -> None:
        self.images.teardown(stage or "fit")

    def train_dataloader(self) -> Batches:
        batches = self._batches("train", shuffle=True)
        self._train_order = batches.sampler
        return batches

    def val_dataloader(self) -> Batches:
        return self._batches("val", shuffle=False)

    def rank_share(self, batch_index: int) -> float:
        return self._train_order.share(batch_index) if self._train_order else 1.0

    def _batches(self, split: str, *, shuffle: bool) -> Batches:
        if split not in self.features:
            self.features[split] = self._computed(split)
        held = self.features[split]
        order = self.images.order(split, len(held.images), shuffle=shuffle)
        return _FeatureBatches(held, order, (0.0,), (1.0,), Augment())

    @torch.no_grad()
    def features_of(self, images: Tensor) -> Tensor:
        """N×C×H×W normalised images to what the head gets of them."""
        with _evaluating(self.net):
            return self._of(images, check=True)

    @torch.no_grad()
    def _computed(self, split: str) -> Split:
        loader, targets = self.images.loader(split), self.images.labels(split)
        if isinstance(loader, FileBatches):
            loader.skipped = None  # what cannot be read ends the fit: its features would be missing in every epoch
        found: Tensor | None = None
        try:
            with _evaluating(self.net):
                for index, (images, _) in enumerate(loader):
                    features = self._of(images, check=index == 0)
                    if found is None:
                        found = features.new_zeros((len(targets), *features.shape[1:]))
                    found[loader.positions] = features
        finally:
            if isinstance(loader, FileBatches):
                loader.close()
        assert found is not None  # a split has at least one image of every rank
        if loader.sampler.ranks > 1:
            torch.distributed.all_reduce(found)  # the ranks' rows are zero in all others
        return Split(found, targets.to(found.device))

    def _of(self, images: Tensor, *, check: bool) -> Tensor:
        """What the head gets of a batch."""
        inputs: list[Tensor] = []
        hook = self.head.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
        try:
            logits = self.net(images)
        finally:
            hook.remove()
        if check and not (len(inputs) == 1 and torch.equal(self.head(inputs[0]), logits)):
            raise UserError(
                f"{type(self.net).__name__}'s logits are not its head's output alone, so the head cannot be trained "
                "on features"
            )
        return inputs[0]


@contextmanager
def _evaluating(net: nn.Module) -> Iterator[None]:
    """In evaluation mode inside; each module in its own again after."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


class _FeatureBatches(Batches):
    """As it is: features are neither augmented nor normalised."""

    def _batch(self, indices: Tensor, batch: int) -> Batch:
        start, stop = self.sampler.bounds(batch)
        return self._gather(indices[start + self.sampler.rank : stop : self.sampler.ranks])
