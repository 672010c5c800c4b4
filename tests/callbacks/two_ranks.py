"""Two processes on the CPU, joined by gloo, that run one function and hand back a result each."""

import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing import start_processes

# What the processes are forked from has it all imported; importing it in each would take longer than their tests.
PRELOADED = ["convkit.cli.running"]


def on_two_ranks(folder: Path, function: Callable[[], Any]) -> list[Any]:
    """What ``function``, a module's own, returned on each rank: tensors and plain values, in lists and dicts.

    It runs in ``folder``, with a seed.
    """
    multiprocessing.set_forkserver_preload(PRELOADED)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start_processes(_rank, (function, str(folder), port), nprocs=2, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def _rank(rank: int, function: Callable[[], Any], folder: str, port: int) -> None:
    # As a job scheduler starts them: Lightning then starts none itself.
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ["PL_GLOBAL_SEED"] = "3"
    os.chdir(folder)
    torch.set_num_threads(1)
    torch.save(function(), f"{rank}.pt")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
