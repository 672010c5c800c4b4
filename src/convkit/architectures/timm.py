"""Any classifier of timm (Wightman 2019, github.com/huggingface/pytorch-image-models) by its name."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import timm
from torch import Tensor, nn

from convkit.convnet import Wrapped
from convkit.errors import UserError
from convkit.sizes import output_shape, times
from convkit.taps import taps

OWN = {"num_classes": "the data", "in_chans": "the data", "pretrained": "`pretrained`", "features_only": "convkit"}


class Timm(Wrapped):
    """A network of timm; ``stage0`` … are the outputs that timm offers as features, ``head`` is the classifier.

    A plain timm ``state_dict`` loads as it is. With pretrained weights, give the data the mean and standard deviation
    that they were trained with: they are in ``net.inner.pretrained_cfg``.

    Args:
        num_classes: K.
        image_shape: C, H, W.
        name: as in ``timm.list_models()``, with or without the tag of its weights: ``resnet50``, ``resnet50.a1_in1k``.
        pretrained: download timm's weights; the classifier is new where they have another number of classes.
        options: more arguments for ``timm.create_model``, such as ``{pad_type: same, drop_rate: 0.2}``.
    """

    def __init__(
        self,
        num_classes: int,
        image_shape: tuple[int, int, int],
        name: str,
        pretrained: bool = False,
        options: dict[str, Any] | None = None,
    ) -> None:
        net = _create(name, num_classes, image_shape, pretrained, options or {})
        super().__init__(net, _stages(net))
        try:
            self.stage_layouts = _layouts(self, image_shape, f"timm {name}")
        except AssertionError as error:  # timm's own check of a size that is built in
            raise ValueError(
                f"timm {name} cannot take an image of {times(image_shape)}: {error or 'its size is built in'}"
            ) from error


def _create(
    name: str, num_classes: int, image_shape: tuple[int, int, int], pretrained: bool, options: Mapping[str, Any]
) -> nn.Module:
    if not timm.is_model(name):
        near = get_close_matches(name, timm.list_models(), n=1)
        raise ValueError(
            f"timm has no model {name!r}; "
            + (f"did you mean {near[0]}?" if near else "timm.list_models() has them all")
        )
    for option in options:
        if option in OWN:
            raise ValueError(f"timm: {option} is not among the options of {name}: it comes from {OWN[option]}")
    channels, *size = image_shape
    sized: dict[str, Any] = {}
    try:
        config = timm.get_pretrained_cfg(name)
        if config is not None and config.fixed_input_size and "img_size" not in options:
            sized = {"img_size": tuple(size)}  # the positions are weights: their number depends on the image
        net: nn.Module = timm.create_model(
            name, pretrained=pretrained, num_classes=num_classes, in_chans=channels, **sized, **options
        )
    except Exception as error:
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        if pretrained:
            raise UserError(
                f"timm: {name} with its pretrained weights cannot be had: {why}; "
                "load weights from a file with --model.init_from"
            ) from error
        given = f" with options {dict(options)}" if options else ""
        raise ValueError(f"timm: {name} cannot be built{given}: {why}") from error
    return net


def _stages(net: nn.Module) -> dict[str, str]:
    """From timm's own list of features, and the classifier that its configuration names."""
    modules = dict(net.named_modules())
    features: Any = getattr(net, "feature_info", None) or []
    paths = [path for info in features if (path := info.get("module")) in modules]
    stages = {f"stage{index}": path for index, path in enumerate(dict.fromkeys(paths))}
    config: Any = getattr(net, "pretrained_cfg", {})
    heads = config.get("classifier") or ()
    head = next((path for path in ([heads] if isinstance(heads, str) else heads) if path in modules), None)
    return {**stages, "head": head} if head else stages


def _layouts(net: Wrapped, image_shape: tuple[int, int, int], owner: str) -> dict[str, str]:
    """Of each stage whose maps timm gives the number of, where they are in its output.

    Raises:
        ValueError: the image is too small.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    def note(stage: str, output: object) -> None:
        shapes[stage] = tuple(output.shape) if isinstance(output, Tensor) else ()

    with taps(net, net.stages, note):
        output_shape(net, image_shape, owner)
    features: Any = getattr(net.inner, "feature_info", None) or []
    counts = {f"inner.{info.get('module')}": info["num_chs"] for info in features}
    last = getattr(net.inner, "output_fmt", None) == "NHWC"  # it says so where a side is as long as there are maps
    found: dict[str, str] = {}
    for stage, path in net.stages.items():
        maps, shape = counts.get(path), shapes.get(stage, ())
        if maps is not None and len(shape) == 4:
            places = [name for name, dim in (("NHWC", 3), ("NCHW", 1)) if shape[dim] == maps]
            found |= {stage: places[0 if last else -1]} if places else {}
    return found
