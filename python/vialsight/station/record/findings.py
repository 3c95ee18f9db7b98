"""What a check of a record found."""

from dataclasses import dataclass, field
from typing import Any, Final

# More of one kind say no more.
_MOST: Final = 1000


@dataclass(frozen=True)
class Finding:
    """Something that is not as it was written: where, and what was expected and found."""

    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


@dataclass
class Findings:
    """Findings, which each mean that the record is not whole, and notes, which do not."""

    found: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    left_out: int = 0

    def add(self, where: str, text: str) -> None:
        """Add a finding; beyond a thousand they are only counted."""
        if len(self.found) < _MOST:
            self.found.append(Finding(where, text))
        else:
            self.left_out += 1

    def note(self, text: str) -> None:
        """Add a note."""
        self.notes.append(text)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "findings": [{"where": f.where, "text": f.text} for f in self.found],
            "findings_left_out": self.left_out,
            "notes": self.notes,
        }
