"""What the steps of training draw depends on where they are in the fit alone, so a resumed one draws the same."""

import os

import torch


def seed_step(step: int, part: int, rank: int, device: torch.device) -> None:
    """Seed torch's default generators for a step; nothing where the fit has no seed.

    Dropout and its like draw from (seed, step, rank) alone, and from which part of the step it is where several batches
    make one: a resumed fit needs no random state from its file.
    """
    if not (seed := os.environ.get("PL_GLOBAL_SEED")):
        return
    drawn = (int(seed) * 1_000_003 + step) * 65_537 + part * 4_099 + rank
    # Not torch.manual_seed: for every kind of device that there is no use of it keeps the call, with the whole stack,
    # for the day that one is initialised. That cost a millisecond a step.
    torch.default_generator.manual_seed(drawn)
    if device.type in ("cuda", "xpu", "mps"):
        getattr(torch, device.type).manual_seed(drawn)
