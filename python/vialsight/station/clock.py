"""Notices that the machine's clock was set, against one that only goes on."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from vialsight.station.record.store import RecordStore

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
# Steps of a time service are larger; what it slews between two looks is smaller.
_STEP_NS: Final = 500_000_000


class ClockWatch:
    """Appends `clock_changed` when the wall clock moved against the time since boot.

    While the recorder did not run it is noticed at its start, unless the machine was started anew.
    """

    def __init__(
        self,
        store: RecordStore,
        since_boot_ns: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME),
        boot_id: str | None = None,
    ) -> None:
        self._store, self._since_boot_ns = store, since_boot_ns
        self._boot = _BOOT_ID.read_text().strip() if boot_id is None else boot_id

    def check(self) -> dict[str, Any] | None:
        """Compare the clocks; return what the entry says, None: nothing changed."""
        offset = self._store.now_ns() - self._since_boot_ns()
        known = self._store.get("clock")
        body = None
        if known is not None and known["boot"] == self._boot:
            moved = offset - known["offset_ns"]
            if abs(moved) < _STEP_NS:
                return None
            body = {
                "event": "clock_changed", "by_ms": round(moved / 1e6), "boot": self._boot,
                "text": f"the clock was set by {moved / 1e9:+.3f} s",
            }  # fmt: skip
        with self._store.transaction():
            if body is not None:
                self._store.append("clock_changed", "recorder", body)
            self._store.put("clock", {"boot": self._boot, "offset_ns": offset})
        return body
