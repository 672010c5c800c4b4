"""The computing part of ``convkit explain``."""

import json
from typing import Any

import torch

from convkit import plugins
from convkit.cli.explain_request import Request
from convkit.cli.quiet import quiet
from convkit.explainers.sanity import UNCHANGED
from convkit.report.maps import SHEET, refuse_full, save
from convkit.run import Run
from convkit.targets import refuse_other


def run(request: Request) -> int:
    """Explain, write, print; the exit status."""
    quiet()
    refuse_full(request.out)
    plugin = plugins.meant("explainer", request.method)
    refuse_other(plugin, plugins.load(plugin))  # before a network is built for it
    opened = Run.open(request.run)
    if torch.cuda.is_available():
        opened.model.cuda()
    explained = opened.explain(
        request.method,
        request.images,
        split=request.split,
        count=request.count,
        seed=request.seed,
        target=request.target,
        stage=request.stage,
        unit=request.unit,
        sanity=request.sanity,
        options=request.options,
    )
    about: dict[str, Any] = {"run": str(opened.directory), "checkpoint": opened.checkpoint.name}
    if plugin.distribution:
        about["explainer"] = plugin.as_dict()
    manifest = save(explained, request.out, about)
    if request.json:
        print(json.dumps(manifest, indent=1, ensure_ascii=False))
        return 0
    width = max(len(name) for name in explained.names)
    for row in manifest["images"]:
        verdict = f"  unchanged by random weights ({row['rank_correlation']:.2f})" if row.get("unchanged") else ""
        print(f"{row['name']:<{width}}  {row['target']}  {row['score']:.4g}{verdict}")
    if request.sanity:
        count = sum(row["unchanged"] for row in manifest["images"])
        print(f"{count} of {len(explained.names)} maps hardly change with random weights: Spearman above {UNCHANGED}")
    print(f"sheet: {request.out / SHEET}")
    return 0
