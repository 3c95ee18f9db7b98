"""Runs a station's OPC UA server: `python -m vialsight.station.opcua DIR`, until SIGTERM."""

import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import Final

from vialsight.errors import ConfigError
from vialsight.station.config import StationConfig, load_station
from vialsight.station.opcua.server import Settings, StationOpcua
from vialsight.station.opcua.sparing import Sparing
from vialsight.station.processor import take_what_is_left

_WRONG_CONFIGURATION: Final = 2


def main(arguments: list[str]) -> int:
    """Run until SIGTERM or SIGINT; 2: the configuration is wrong."""
    if len(arguments) != 1:
        print("usage: python -m vialsight.station.opcua DIR", file=sys.stderr)
        return _WRONG_CONFIGURATION
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # It logs every request, and a traceback of every broken one.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    for handler in logging.getLogger().handlers:
        handler.addFilter(Sparing())
    take_what_is_left()
    try:
        settings = settings_of(load_station(Path(arguments[0])))
        asyncio.run(_serve(settings))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return _WRONG_CONFIGURATION
    except OSError as error:
        print(f"opcua.host, opcua.port: {error}", file=sys.stderr)
        return 1
    return 0


def settings_of(config: StationConfig) -> Settings:
    """Return what of a station's configuration concerns its OPC UA server."""
    return Settings(
        name=config.name,
        host=config.opcua.host,
        port=config.opcua.port,
        folder=config.paths.opcua,
        snapshot=config.snapshot,
        record=config.paths.record,
        recorder_socket=config.paths.recorder_socket,
        anonymous_read=config.opcua.anonymous_read,
        unencrypted=config.opcua.unencrypted,
    )


async def _serve(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = StationOpcua(settings)
    await server.start()
    logging.getLogger(__name__).info("opc.tcp://%s:%d/", settings.host, server.port)
    await stop.wait()
    await server.stop()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
