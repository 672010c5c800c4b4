"""The weights that timm publishes with its networks (Wightman 2019, github.com/huggingface/pytorch-image-models)."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

import torch
from torch import Tensor

from convkit.errors import UserError
from convkit.weights import read_weights

PATIENCE = 10.0  # seconds until the hub must have answered; its own client tries for most of a minute
FILES = ("model.safetensors", "pytorch_model.bin")  # of a repository, the better first


def timm_weights(name: str) -> tuple[Path, dict[str, Tensor]]:
    """The file of ``name``'s weights, from the cache or the network, and its tensors under timm's own keys.

    ``name`` is as in ``timm.list_pretrained()``: ``resnet50.a1_in1k``; without the tag, timm's first choice.

    Raises:
        UserError: timm has no such weights, or they cannot be had.
    """
    import timm  # takes a second, which others need not wait for

    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError:  # the tag
        config = None
    if config is None or not (config.hf_hub_id or config.url):
        model = name.partition(".")[0]
        near = get_close_matches(name, timm.list_pretrained(f"{model}.*"), n=1, cutoff=0)
        near = near or get_close_matches(model, timm.list_models(), n=1)
        hint = f"did you mean timm:{near[0]}?" if near else "timm.list_pretrained() has them all"
        raise UserError(f"timm has no weights {name!r}; {hint}")
    if not config.hf_hub_id:  # 19 of 1,800 names
        raise UserError(f"timm:{name} is not on the hub; download {config.url} and give that file")
    try:
        file = _of_hub(config.hf_hub_id, [config.hf_hub_filename] if config.hf_hub_filename else FILES)
    except Exception as error:  # every layer below has its own
        why = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"timm:{name} cannot be downloaded ({why}); where there is a network, save "
            f"timm.create_model({name!r}, pretrained=True).state_dict(), and give that file"
        ) from error
    contents = read_weights(file)
    try:
        with torch.random.fork_rng(devices=[]):
            # timm translates what others published to its own keys, and leaves out a class of no image.
            net = timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"state_dict": contents})
    except RuntimeError as error:
        why = " ".join(str(error).split())[:200]
        raise UserError(f"timm:{name}: timm cannot use {file}: {why}") from error
    return file, net.state_dict()


def _of_hub(place: str, names: Sequence[str]) -> Path:
    """The first of the files that there is in ``repository@revision``: from the cache, without asking, or the hub."""
    import huggingface_hub as hub
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    repository, _, revision = place.partition("@")
    at = revision or None
    for name in names:
        if isinstance(cached := hub.try_to_load_from_cache(repository, name, revision=at), str):
            return Path(cached)
    hub.get_session().head(hub.hf_hub_url(repository, names[0]), timeout=PATIENCE)  # raises where nobody answers
    for name in names:
        try:
            return Path(hub.hf_hub_download(repository, name, revision=at))
        except LocalEntryNotFoundError:  # a kind of the next one, and means that nobody answers
            raise
        except EntryNotFoundError:
            continue
    raise FileNotFoundError(f"{repository} has no {' or '.join(names)}")
