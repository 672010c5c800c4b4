"""What lies in object storage, file by file on this machine's disk: fetched when it is wanted, within a limit."""

import contextlib
import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from convkit_litdata.mistakes import ReadError

ADDRESSES = ("s3://", "gs://", "azure://", "r2://", "local:")  # litdata's downloaders; the last copies a folder
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")  # where storage is not Amazon's own
_WAIT = 0.02  # seconds between looks at what another process fetches


def is_remote(root: str) -> bool:
    return root.startswith(ADDRESSES)


class LocalCopy:
    """The files of one folder in object storage, shared by all processes of a machine.

    Chunks that were read longest ago are removed once there are more bytes than ``limit``. Who has one of them open
    reads on; who opens it next fetches it again.

    Args:
        remote: the folder's address.
        folder: where the copies lie.
        limit: bytes.
    """

    def __init__(self, remote: str, folder: Path, limit: int) -> None:
        self.remote, self.folder, self.limit = remote.rstrip("/"), folder, limit
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, name: str) -> Path:
        """The local file; waits for it.

        Raises:
            UserError: it cannot be fetched.
        """
        path = self.folder / name
        fetched = False
        while not path.exists():
            fetched = True
            self._fetch(name, path)
            if not path.exists():  # another process is at it
                time.sleep(_WAIT)
        with contextlib.suppress(FileNotFoundError):
            os.utime(path)
        if fetched:
            self._make_room(path)
        return path

    def _fetch(self, name: str, path: Path) -> None:
        download(self.remote, name, path)

    def _make_room(self, newest: Path) -> None:
        """Remove chunks but the newest; left to the next one where another process is at it."""
        with contextlib.suppress(Timeout), FileLock(self.folder / "room.lock", timeout=0):
            chunks = []
            for chunk in self.folder.glob("*.bin"):
                with contextlib.suppress(FileNotFoundError):
                    status = chunk.stat()
                    chunks.append((status.st_mtime_ns, status.st_size, chunk))
            total = sum(size for _, size, _ in chunks)
            for _, size, chunk in sorted(chunks):
                if total <= self.limit:
                    return
                if chunk != newest:
                    chunk.unlink(missing_ok=True)
                    total -= size


def download(remote: str, name: str, path: Path) -> None:
    """Fetch one file by litdata's downloader for this kind of address.

    Raises:
        UserError: it cannot.
    """
    # Here, as it takes seconds: who reads a folder on disk has no use for it.
    from litdata.streaming import downloader as of_litdata  # type: ignore[import-untyped]

    if any(os.environ.get(name, "").startswith("http://") for name in ENDPOINTS):
        of_litdata._OBSTORE_AVAILABLE = False  # of its two clients the one that takes https alone
    try:
        downloader: Any = of_litdata.get_downloader(remote, str(path.parent), [])
        downloader.download_file(f"{remote}/{name}", str(path))
    except Exception as error:  # each kind of storage has its own
        # Some add all that they know of the request.
        cause = " ".join(str(error).partition("Debug source:")[0].split()) or type(error).__name__
        raise ReadError(f"{remote}/{name} cannot be fetched: {cause}") from error


def fetched_text(remote: str, name: str) -> bytes:
    """The content of a small file, as it is there now."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        download(remote.rstrip("/"), name, path)
        return path.read_bytes()


def copy_of(remote: str, index: bytes, cache_dir: Path, limit: int) -> LocalCopy:
    """The copy that belongs to this very index: what was written anew has a copy of its own."""
    key = hashlib.sha256(remote.encode() + b"\0" + index).hexdigest()[:20]
    return LocalCopy(remote, cache_dir / f"litdata-{key}", limit)
