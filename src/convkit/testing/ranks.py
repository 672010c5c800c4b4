"""A function on several processes of this machine, as ranks of one job; what each returned."""

import logging
import os
import pickle
import socket
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.multiprocessing.spawn import start_processes

from convkit.testing.contract import Failure

PATIENCE = 180.0  # seconds until processes that wait for each other are ended


def on_ranks(count: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What ``function(*arguments)`` returned on each rank: tensors and plain values.

    Args:
        count: of processes, joined by gloo where the function or Lightning asks for it.
        function: of a module; it and its arguments are pickled.

    Raises:
        Failure: a process raised, or they waited for each other for too long.
    """
    try:
        pickle.dumps((function, arguments))
    except Exception as error:
        why = " ".join(str(error).split())
        raise Failure(f"another process cannot be given it: {why}; define it at the top of a module") from error
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        given = (count, port, folder, function, arguments)
        processes: Any = start_processes(  # type: ignore[no-untyped-call]
            _rank, given, nprocs=count, join=False, start_method="spawn"
        )
        _wait(processes)
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=True) for rank in range(count)]


def _wait(processes: Any) -> None:
    deadline = time.monotonic() + PATIENCE
    try:
        while not processes.join(timeout=1):
            if time.monotonic() > deadline:
                raise Failure(
                    f"the processes had not ended after {PATIENCE:.0f} s; let every rank take the same number of steps"
                )
    except Failure:
        raise
    except Exception as error:  # the traceback of the rank that failed, as text
        lines = [line for line in str(error).splitlines() if line.strip()]
        why = lines[-1].strip() if lines else type(error).__name__
        raise Failure(f"a rank raised {why}; let it run on each rank") from error
    finally:
        for process in processes.processes:
            if process.is_alive():
                process.kill()


def _rank(rank: int, count: int, port: int, folder: str, function: Callable[..., Any], arguments: Any) -> None:
    # As a job scheduler starts them: Lightning then starts none itself.
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(count), "PL_GLOBAL_SEED": "0"}
    os.chdir(folder)
    logging.getLogger("lightning").setLevel(logging.ERROR)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with warnings.catch_warnings(action="ignore"):
        found = function(*arguments)
    torch.save(found, Path(folder) / f"{rank}.pt")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
