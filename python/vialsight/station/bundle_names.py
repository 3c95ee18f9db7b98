"""Names that a bundle's manifest gives, without loading the bundle."""

import json
from pathlib import Path
from typing import Any

from vialsight.bundle import MANIFEST_NAME


def manifest_of(bundle: Path) -> dict[str, Any] | None:
    """Return a bundle's manifest, unchecked; None where it cannot be read."""
    try:
        manifest: dict[str, Any] = json.loads((bundle / MANIFEST_NAME).read_bytes())
    except (OSError, ValueError):
        return None
    return manifest


def region_names(bundle: Path) -> tuple[str, ...]:
    """Return the names of a bundle's regions; none where they cannot be read."""
    manifest = manifest_of(bundle)
    try:
        return tuple(str(name) for name in (manifest or {})["layout"]["regions"])
    except (KeyError, TypeError):
        return ()
