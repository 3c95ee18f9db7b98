"""`vialsight station`: the program around the inspector on a line."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from vialsight import _core, quiet
from vialsight.cli import console, station_batch, station_user
from vialsight.cli.model import BundlePath, Data
from vialsight.cli.options import LONGEST_SOAK_S, Json, Threads, finite
from vialsight.cli.station_options import StationFolder, password
from vialsight.data import read_dataset
from vialsight.errors import ConfigError, VialSightError
from vialsight.files import atomic
from vialsight.station import folder as folders
from vialsight.station import kit as kits
from vialsight.station import local_accounts, overview, services, units
from vialsight.station.config import StationConfig, load_station
from vialsight.station.supervisor import StationError, Supervisor

app = typer.Typer(
    help="Run a line: camera in, verdict out, an operators' page, OPC UA, a record.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(station_user.app, name="user")
app.add_typer(station_batch.app, name="batch")

_FIRST_ENGINEER: Final = "engineer"
_Port = Annotated[int | None, typer.Option(min=1, max=65_535)]


@app.command()
def init(
    folder: StationFolder,
    *,
    bundle: Annotated[Path, typer.Option(help="Calibrated NAME.vsb that inspects.")],
    source: Annotated[
        str, typer.Option(help="gige, gige:CAMERA, stream:PATH or folder:PATH.")
    ] = folders.DEFAULT_SOURCE,
    name: Annotated[
        str | None, typer.Option(help="Of the line, [a-z0-9-]; default: the folder's.")
    ] = None,
    kit: Annotated[
        Path | None, typer.Option(help="Challenge kit, see `vialsight station kit`.")
    ] = None,
    engineer: Annotated[
        str, typer.Option(help="Name of the first account, an engineer's.")
    ] = _FIRST_ENGINEER,
    web_port: _Port = None,
    opcua_port: _Port = None,
) -> None:
    """Make a station's folder: station.yaml, with comments, and the first account.

    Its password is asked for on the terminal, or made up and printed once.
    """
    config = folders.make_station(
        folder,
        bundle,
        source=folders.parse_source(source),
        name=name,
        kit=kit,
        web_port=web_port,
        opcua_port=opcua_port,
    )
    chosen = password(f"password of {engineer} (empty: make one)", confirm=True)
    with local_accounts.opened(config) as accounts:
        made = local_accounts.add_first_engineer(accounts, engineer, chosen)
    console.say(f"wrote {folder / 'station.yaml'}; look through it")
    if made is not None:
        console.say(f"account {engineer}, first password {made}: it is shown this once only")
    console.say(f"run it: vialsight station run {folder}")


@app.command()
def run(
    folder: StationFolder,
    *,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.0, max=LONGEST_SOAK_S, callback=finite, help="End so long after all are up."
        ),
    ] = None,
    without: Annotated[
        str, typer.Option(help=f"Leave out, of {', '.join(services.OPTIONAL)}.")
    ] = "",
) -> None:
    """Run a station's processes, and start again what dies, until Ctrl-C or SIGTERM."""
    config = load_station(folder)
    config.paths.make()
    left_out = _left_out(without)
    logs = config.dir / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    _require_built()
    running = services.services_of(config, folder.absolute(), without=left_out)
    busy = StationError(f"{config.dir}: this station runs already; see vialsight station status")
    with atomic.held_folder(config.paths.run, busy):
        console.log(f"starting {', '.join(service.name for service in running)}; logs: {logs}")
        Supervisor(running, logs, say=console.log).run(
            seconds=seconds, on_up=lambda: _tell_up(config, {service.name for service in running})
        )
    console.log("stopped")


@app.command()
def status(folder: StationFolder, as_json: Json = False) -> None:
    """Tell what a station does; it does not notice."""
    found = overview.overview(load_station(folder))
    if as_json:
        console.print_json(found)
    else:
        _print_overview(found)


@app.command()
def kit(
    bundle: BundlePath,
    *,
    data: Data,
    out: Annotated[Path, typer.Option(help="Kit to write; must not exist.")],
    split: Annotated[str, typer.Option(help="Split of --data the strips are of.")] = "test",
    good: Annotated[int, typer.Option(min=1, max=50, help="Good strips.")] = kits.DEFAULT_GOOD,
    defective: Annotated[
        int, typer.Option(min=1, max=50, help="Defective strips, of as many kinds as there are.")
    ] = kits.DEFAULT_DEFECTIVE,
    threads: Threads = 0,
) -> None:
    """Make a challenge kit: strips of known verdict, with faults of camera and handling among them.

    A batch starts only after the station has judged every one as expected. Strips that the bundle
    is not sure of are left out.
    """
    loaded = _core.Bundle.load(bundle)
    dataset = read_dataset(data).select(split=split)
    quiet.load_backend(loaded)
    made = kits.make_kit(loaded, dataset, out, good=good, defective=defective, threads=threads)
    rows = [
        {"strip": s.name, "expected": s.expected, "reason": s.expected_reason} for s in made.strips
    ]
    console.print_table(rows)


@app.command(name="units")
def write_units(
    folder: StationFolder,
    *,
    out: Annotated[Path, typer.Option(help="Folder to write the units into.")],
    user: Annotated[str, typer.Option(help="Who runs the station.")] = "vialsight",
) -> None:
    """Write systemd units of a station's processes, to be read, changed and installed."""
    paths = units.write_units(load_station(folder), folder.absolute(), out, user=user)
    for path in paths:
        console.say(str(path))


def _left_out(text: str) -> set[str]:
    names = {name.strip() for name in text.split(",") if name.strip()}
    if not names <= set(services.OPTIONAL):
        expected = " and ".join(services.OPTIONAL)
        raise ConfigError(f"--without: expected of {expected}, separated by a comma; got {text!r}")
    return names


def _require_built() -> None:
    program = services.inspector_program()
    if not program.exists():
        raise VialSightError(
            f"{program} is missing: this installation was built without the station; build it with "
            "-DVIALSIGHT_STATION=ON, and libaravis-dev for cameras"
        )


def _tell_up(config: StationConfig, names: set[str]) -> None:
    if services.WEB in names:
        console.say(f"page    {services.page_address(config)}")
    if services.OPCUA in names:
        console.say(f"OPC UA  {services.opcua_address(config)}")
    console.say(f"record  {config.paths.record}")
    console.say("stop    Ctrl-C, or SIGTERM to this process")


def _print_overview(found: dict[str, Any]) -> None:
    console.say(f"{found['name']}  {found['folder']}")
    for name, runs in found["processes"].items():
        console.say(f"  {name:<10} {'runs' if runs else 'does not run'}")
    inspector, record = found["inspector"], found["record"]
    if inspector is not None:
        hindrances = ", ".join(inspector["hindrances"]) or "none"
        rejected = ", ".join(f"{reason} {n}" for reason, n in inspector["rejected"].items())
        ready = "ready" if inspector["ready"] else "not ready"
        console.say(f"  mode       {inspector['mode']}, {ready}")
        console.say(f"  hindrances {hindrances}")
        console.say(
            f"  strips     {inspector['triggers']}: accepted {inspector['accepted']}, rejected "
            f"{sum(inspector['rejected'].values())}{f' ({rejected})' if rejected else ''}, "
            f"in flight {inspector['in_flight']}"
        )
    if record is not None:
        batch = record["batch"]
        named = f"{batch['product']} {batch['number']}, {batch['status']}" if batch else "none"
        console.say(f"  batch      {named}")
        console.say(f"  record     {record['entries']} entries, head {record['head'][:16]}…")
        for alarm in record["alarms"]:
            console.say(f"  alarm {alarm['id']}: {alarm['text']}")
