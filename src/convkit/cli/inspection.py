"""``convkit inspect`` once torch is there: the architecture built, its table printed, drawn or written as JSON."""

import inspect
import json
from collections.abc import Callable
from typing import Any

import torch
from jsonargparse import ArgumentError, ArgumentParser
from torch import nn

from convkit import plugins
from convkit.cli.inspect_request import Request
from convkit.cli.layer_table import as_text
from convkit.cli.parse_errors import one_line
from convkit.convnet import ConvNet
from convkit.errors import UserError
from convkit.inspection.layers import Row, Table
from convkit.inspection.layers import inspect as inspect_network
from convkit.sizes import times

Factory = Callable[[int, tuple[int, int, int]], ConvNet]


def run(request: Request) -> int:
    target = _target(request)
    factory = _factory(request, target)
    usual: tuple[int, tuple[int, int, int]] = getattr(target, "published_for", ConvNet.published_for)
    num_classes, image_shape = request.num_classes or usual[0], request.image_shape or usual[1]
    net = build(factory, num_classes, image_shape, request.name)
    try:
        table = inspect_network(net, image_shape)
    except (RuntimeError, ValueError, AssertionError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{request.name} cannot take an image of {times(image_shape)}: {why}") from error
    if request.plot:
        from convkit.report.depth import depth_figure

        depth_figure(table, request.title).savefig(request.plot)
    if request.json:
        size = {"image_shape": image_shape, "num_classes": num_classes}
        print(json.dumps({"architecture": request.name, **size, **as_plain(table)}, indent=1))
        return 0
    for line in as_text(table, request.stages, request.compare):
        print(line)
    if request.plot:
        print(f"plot: {request.plot}")
    return 0


def _factory(request: Request, target: Any) -> Factory:
    """The architecture with its options; (num_classes, image_shape) to network."""
    parser = ArgumentParser(exit_on_error=False, prog="convkit inspect")
    parser.add_argument("--architecture", type=Factory)
    try:
        factory: Factory = parser.instantiate(parser.parse_args(request.words)).architecture
    except ArgumentError as error:
        options = [f"architecture.{name}" for name in list(inspect.signature(target).parameters)[2:]]
        raise UserError(one_line(str(error), "inspect", options)) from error
    return factory


def _target(request: Request) -> Any:
    """The class or function that was named.

    Raises:
        UserError: it cannot be imported, or there is none.
    """
    if request.plugin:
        return plugins.load(request.plugin)
    try:
        return plugins.import_path(request.name)
    except Exception as error:
        cause = " ".join(str(error).split())
        raise UserError(f"architecture {request.name} cannot be loaded: {type(error).__name__}: {cause}") from error


def build(factory: Factory, num_classes: int, image_shape: tuple[int, int, int], name: str) -> nn.Module:
    """The network, on the meta device where its constructor takes that, its weights left out.

    Raises:
        UserError: what the constructor found wrong.
    """
    try:
        try:
            with torch.device("meta"):
                return factory(num_classes, image_shape)
        except (RuntimeError, NotImplementedError):  # it reads a value while it is built
            return factory(num_classes, image_shape)
    except (ValueError, TypeError) as error:
        why = " ".join(str(error).split())
        raise UserError(why if name in why.lower() else f"{name}: {why}") from error


def as_plain(table: Table) -> dict[str, Any]:
    """The table in plain values: lists of two numbers where rows and columns differ."""
    return {
        "parameters": table.parameters,
        "macs": table.macs,
        "neurons": table.neurons,
        "parameters_idle_in_evaluation": table.idle_parameters,
        "layers": [_plain_row(row) for row in table.layers],
        "stages": [_plain_row(row) for row in table.stages],
    }


def _plain_row(row: Row) -> dict[str, Any]:
    plain = {
        "name": row.name,
        "type": row.type,
        "output_shape": row.output_shape,
        "neurons": row.neurons,
        "parameters": row.parameters,
        "macs": row.macs,
        "receptive_field": _one_or_two(row.receptive_field),
        "whole_image": row.whole_image,
        "stride": _one_or_two(row.stride),
        "padding": row.padding,
    }
    for name, cost in (("locally_connected", row.locally_connected), ("dense", row.dense)):
        if cost:
            plain[name] = {"parameters": cost.parameters, "macs": cost.macs}
    return {**plain, "not_understood": row.lost} if row.lost else plain


def _one_or_two(sides: tuple[float, float] | None) -> Any:
    return None if sides is None else sides[0] if sides[0] == sides[1] else list(sides)
