"""Becomes the inspector of a station: `python -m vialsight.station.inspector DIR`.

For systemd, whose units name no settings: `station.yaml` does, and is read at each start.
"""

import os
import sys
from pathlib import Path

from vialsight.errors import VialSightError
from vialsight.station.config import load_station
from vialsight.station.services import inspector_command


def main() -> int:
    """Replace this process by the inspector; returns 2 when it cannot be started."""
    if len(sys.argv) != 2:
        print("usage: python -m vialsight.station.inspector DIR", file=sys.stderr)
        return 2
    try:
        config = load_station(Path(sys.argv[1]))
        config.paths.make()
        command = inspector_command(config)
        os.execv(command[0], command)
    except VialSightError as error:
        print(f"inspector: {error}", file=sys.stderr)
    except OSError as error:
        print(f"inspector: {command[0]}: {error.strerror}; build it", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
