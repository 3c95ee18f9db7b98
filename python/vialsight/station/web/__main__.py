"""`python -m vialsight.station.web DIR`: serves the page of the station in a folder."""

import signal
import sys
from pathlib import Path

from vialsight._core import Bundle
from vialsight.errors import BundleError, ConfigError
from vialsight.station.config import StationConfig, load_station
from vialsight.station.processor import take_what_is_left
from vialsight.station.web.app import build
from vialsight.station.web.desk import RecordDesk, RecorderDesk
from vialsight.station.web.hub import Hub
from vialsight.station.web.line import Line
from vialsight.station.web.pages import Services
from vialsight.station.web.server import PageServer, configured
from vialsight.station.web.shows import Shows
from vialsight.station.web.visitors import Visitors, page_secret
from vialsight.station.web.whatif import WhatIf

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def main() -> int:
    """Serve until SIGTERM; 2: the configuration is wrong."""
    if len(sys.argv) != 2:
        print("usage: python -m vialsight.station.web DIR", file=sys.stderr)
        return 2
    # Until the server takes over: reading a bundle takes a moment.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    take_what_is_left()
    try:
        config = load_station(Path(sys.argv[1]))
        server = page_server(config)
    except (ConfigError, BundleError, OSError) as error:
        print(f"web: {error}", file=sys.stderr)
        return 2
    scheme = "http" if config.web.certificate is None else "https"
    print(f"web: {scheme}://{config.web.host}:{config.web.port}/", file=sys.stderr, flush=True)
    server.run()
    return 0 if server.started else 1


def page_server(config: StationConfig) -> PageServer:
    """Return the server of a station's page. Raises ConfigError, BundleError, OSError."""
    web = config.web
    if web.certificate is None and web.host not in _LOOPBACK:
        raise ConfigError(
            f"web.host is {web.host}: passwords must not cross a network in the clear; give "
            "web.certificate and web.key, or use 127.0.0.1"
        )
    secure = web.certificate is not None
    services = services_of(config)
    visitors = Visitors(services.recorder, page_secret(config.paths.web), secure=secure)
    app = build(services, visitors, public_now=web.public_now, hosts=web.hosts, secure=secure)
    settings = configured(
        app, host=web.host, port=web.port, certificate=web.certificate, key=web.key
    )
    return PageServer(settings, services.hub.end_streams)


def services_of(config: StationConfig) -> Services:
    """Return where the pages of a station get their contents. Raises BundleError."""
    bundle = Bundle.load(config.bundle)
    record, recorder = RecordDesk(config.paths.record), RecorderDesk(config.paths.recorder_socket)
    line = Line(config.snapshot)
    return Services(
        config=config,
        layout=bundle.layout,
        hub=Hub(
            line,
            record,
            bundle.layout,
            bundle.sha256,
            slot_ms=config.slot_ms,
            most=config.web.clients,
        ),
        recorder=recorder,
        record=record,
        shows=Shows(line, record, bundle.layout),
        what_if=WhatIf(),
    )


if __name__ == "__main__":
    # A closed pipe of whoever reads the notes must not end the page.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    sys.exit(main())
