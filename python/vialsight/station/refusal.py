"""Why the recorder does not do what it is asked to."""

from typing import Final

from vialsight.errors import VialSightError

DENIED: Final = "denied"
INVALID: Final = "invalid"
STATE: Final = "state"
BUSY: Final = "busy"


class Refusal(VialSightError):
    """An action that is not allowed (denied), not possible now (state, busy) or no action at all.

    `code` is the answer's; the message is for the person who asked.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RateLimit:
    """So many at once, and so many a second after that, by key; the clock is an argument.

    Keys beyond `most_keys` share one, so that hostile keys cost no memory.
    """

    def __init__(self, *, burst: float, per_second: float, most_keys: int = 256) -> None:
        self._burst, self._per_second, self._most_keys = burst, per_second, most_keys
        self._left: dict[str, tuple[float, float]] = {}

    def allows(self, key: str, now_s: float) -> bool:
        """Return whether one more is allowed, and count it if so."""
        if key not in self._left and len(self._left) >= self._most_keys:
            self._forget(now_s)
            if len(self._left) >= self._most_keys:
                key = ""
        left, before = self._left.get(key, (self._burst, now_s))
        left = min(self._burst, left + (now_s - before) * self._per_second)
        allowed = left >= 1.0
        self._left[key] = (left - 1.0 if allowed else left, now_s)
        return allowed

    def _forget(self, now_s: float) -> None:
        """Drop keys that are as if they had never come."""
        whole = self._burst / self._per_second
        self._left = {k: v for k, v in self._left.items() if now_s - v[1] < whole}
