"""Unix sockets of packets, at paths of any length, between processes of one user."""

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

# Bytes of a path in sockaddr_un, its final zero among them.
_LONGEST_PATH: Final = 108
_PEER: Final = struct.Struct("iII")
_ROOT: Final = 0
_AGAIN_S: Final = 0.01


def connected(path: Path, *, timeout_s: float) -> socket.socket:
    """Return a socket connected to the one at `path`, within this time. Raises OSError."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    end = time.monotonic() + timeout_s
    try:
        made.settimeout(timeout_s)
        with _address(path) as address:
            while not _connects(made, address, time.monotonic() < end):
                time.sleep(_AGAIN_S)
    except OSError:
        made.close()
        raise
    return made


def listening(path: Path) -> socket.socket:
    """Return a socket that listens at `path`, 0600, in place of one that was left there.

    The caller sees to it that no other process listens there. Raises OSError.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with suppress(FileNotFoundError):
        path.unlink()
    try:
        with _address(path) as address:
            made.bind(address)
        path.chmod(0o600)
        made.listen(64)
    except OSError:
        made.close()
        raise
    return made


def is_ours(connection: socket.socket) -> bool:
    """Return whether the other end belongs to this process' user, or to root."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
    _, user, _ = _PEER.unpack(raw)
    return user in (os.getuid(), _ROOT)


def _connects(made: socket.socket, address: str, again: bool) -> bool:
    """Connect; return False where as many wait already as may: such a call never waits itself."""
    try:
        made.connect(address)
    except BlockingIOError:
        if not again:
            raise
        return False
    return True


@contextmanager
def _address(path: Path) -> Iterator[str]:
    """Yield a short name for a path that is too long for a socket: through its folder."""
    if len(os.fsencode(path)) < _LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
