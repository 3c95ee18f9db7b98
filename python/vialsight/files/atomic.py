"""Files that are either complete or absent, whatever interrupts their writing."""

import fcntl
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from vialsight.errors import DataError, VialSightError

_CHUNK_BYTES: Final = 2**20


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` so that readers see the old file or the new one, never a part."""
    temporary = _temporary_sibling(path)
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def write_text(path: Path, content: str) -> None:
    """Write UTF-8 text atomically; see `write_bytes`."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline, atomically. NaN is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def file_sha256(path: Path, *, sync: bool = False) -> str:
    """Return the hex SHA-256 of a file of any size; `sync` puts it on disk first."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        if sync:
            os.fsync(file.fileno())
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def refuse_existing(path: Path, refusal: type[VialSightError] = DataError) -> None:
    """Raise `refusal` when `path` exists: nothing is written over."""
    if path.exists():
        raise refusal(f"{path} exists; choose another name or remove it first")


@contextmanager
def new_folder(path: Path, refusal: type[VialSightError] = DataError) -> Iterator[Path]:
    """Yield a temporary sibling folder that becomes `path` when the block ends without error.

    Raises `refusal` when `path` exists.
    """
    refuse_existing(path, refusal)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_sibling(path)
    temporary.mkdir()
    try:
        yield temporary
        _sync_tree(temporary)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync_folder(path.parent)


@contextmanager
def held_folder(path: Path, refusal: Exception) -> Iterator[None]:
    """Hold a folder for this process; raises `refusal` when another one holds it.

    However the process ends, the folder is free again; nothing is left in it.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise refusal from error
        yield
    finally:
        os.close(descriptor)


def _temporary_sibling(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")


def _sync_tree(root: Path) -> None:
    for path in sorted(root.rglob("*")):
        if path.is_dir():
            _sync_folder(path)
            continue
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _sync_folder(root)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
