"""Files that are either complete or absent, whatever interrupts their writing."""

import errno
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
# Bytes in the name of a file on every file system of Linux.
_LONGEST_NAME: Final = 255
# Characters of a name that a message repeats.
_SHOWN: Final = 80


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
    """Write UTF-8 text atomically; see `write_bytes`.

    Raises DataError where the text holds a name that is no UTF-8.
    """
    try:
        encoded = content.encode("utf-8")
    except UnicodeEncodeError as error:
        name = content[: error.end].rpartition("\n")[2][-_SHOWN:]
        raise DataError(
            f"{path}: expected names in UTF-8, got other bytes at the end of {name}; rename it"
        ) from None
    write_bytes(path, encoded)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON with a final newline, atomically. NaN is refused.

    Paths that are no UTF-8 are escaped, and read back by Python as they were.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    try:
        content = text.encode()
    except UnicodeEncodeError:
        content = json.dumps(value, indent=2, allow_nan=False).encode()
    write_bytes(path, content + b"\n")


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
    """Raise `refusal` when `path` exists: nothing is written over; or when it cannot be made."""
    require_place(path, refusal)
    if path.exists():
        raise refusal(f"{path} exists; choose another name or remove it first")


def require_place(path: Path, refusal: type[VialSightError] = DataError) -> None:
    """Raise `refusal` when no file or folder can be made at `path`: better now than after hours.

    Its name is too long, a part of the path is a file, or the folder cannot be written into.
    """
    if len(os.fsencode(path.name)) > _LONGEST_NAME:
        raise refusal(
            f"{path}: expected a name of at most {_LONGEST_NAME} bytes, got "
            f"{len(os.fsencode(path.name))}; choose a shorter one"
        )
    above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
    if not above.is_dir():
        raise refusal(f"{path}: {above} is no folder; check the path")
    if not os.access(above, os.W_OK | os.X_OK):
        raise refusal(f"{path}: {above} cannot be written into; choose another place")


def beside(path: Path, suffix: str) -> Path:
    """Return `.NAME` and `suffix` in the folder of `path`, no longer than names may be.

    Of a long name the beginning is left out for its SHA-256, so that equal paths give equal names.
    """
    name = os.fsencode(path.name)
    if len(name) + len(suffix) + 1 > _LONGEST_NAME:
        return path.with_name(f".{hashlib.sha256(name).hexdigest()}{suffix}")
    return path.with_name(f".{path.name}{suffix}")


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
        _rename(temporary, path, refusal)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _sync_folder(path.parent)


def require_folder(
    path: Path, refusal: type[VialSightError] = DataError, *, option: str = "--out"
) -> None:
    """Raise `refusal` when `path`, what `option` says, is no folder and none can be made there."""
    require_place(path, refusal)
    if os.path.lexists(path) and not path.is_dir():
        raise refusal(f"{path} is a file; give {option} a folder")


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


def _rename(folder: Path, path: Path, refusal: type[VialSightError]) -> None:
    try:
        folder.rename(path)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise
        raise refusal(
            f"{path}: another process has written it meanwhile; choose another name"
        ) from None


def _temporary_sibling(path: Path) -> Path:
    return beside(path, f".{secrets.token_hex(6)}.tmp")


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
