"""The options of `vialsight simulate` that belong to a GigE Vision line, declared in one place."""

import inspect
import os
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, get_type_hints

import typer

from vialsight.cli import console
from vialsight.cli.options import LONGEST_MS, finite
from vialsight.errors import SimulationError
from vialsight.simulation.gige_line import Faults, GigeLine, check_station
from vialsight.simulation.plan import SetPlan

_PANEL: Final = "A GigE Vision line (--gige)"
_MOST_AHEAD: Final = 100_000
_LEAST_NICE: Final = 19
Function = TypeVar("Function", bound=Callable[..., Any])


def _share(text: str) -> Any:
    return typer.Option(min=0.0, max=1.0, callback=finite, help=text, rich_help_panel=_PANEL)


def _time(longest: float, text: str) -> Any:
    return typer.Option(min=0.0, max=longest, callback=finite, help=text, rich_help_panel=_PANEL)


def _plain(text: str, low: int | None = None, high: int | None = None) -> Any:
    return typer.Option(min=low, max=high, help=text, rich_help_panel=_PANEL)


@dataclass(frozen=True, kw_only=True)
class GigeChoices:
    """What was chosen of them; `--gige` absent: no such line is wanted."""

    gige: Annotated[
        Path | None,
        _plain("Folder of a station: serve a camera and play the machine of this line."),
    ] = None
    replay: Annotated[
        Path | None, _plain("A recorded frame stream instead of a SET; nothing is rendered.")
    ] = None
    truth: Annotated[
        Path | None, _plain("CSV file: what each strip was, its faults, and what became of it.")
    ] = None
    address: Annotated[str, _plain("IPv4 address of the camera, any of 127.0.0.0/8.")] = (
        GigeLine.address
    )
    interval_ms: Annotated[
        float, _time(LONGEST_MS, "Over which the frames of a strip are spread.")
    ] = GigeLine.interval_ms
    ahead: Annotated[
        int, _plain("Strips that are rendered before the line starts.", 1, _MOST_AHEAD)
    ] = GigeLine.ahead
    triggers: Annotated[int, _plain("Strips after which the line ends; 0: all.", 0)] = (
        GigeLine.triggers
    )
    lose_packets: Annotated[
        float, _share("Share of strips with a frame that loses packets on its way.")
    ] = 0.0
    late_frames: Annotated[float, _share("Share of strips with a frame that arrives late.")] = 0.0
    late_ms: Annotated[float, _time(LONGEST_MS, "How late.")] = Faults.late_ms
    missing_frames: Annotated[
        float, _share("Share of strips with a frame that does not arrive, or was not taken.")
    ] = 0.0
    repeat_frames: Annotated[
        float, _share("Share of strips with a frame that shows an old image.")
    ] = 0.0
    swap_frames: Annotated[
        float, _share("Share of strips in which two frames have changed places.")
    ] = 0.0
    unplug_every: Annotated[
        float, _time(LONGEST_MS, "Seconds after which the camera is unplugged; 0: never.")
    ] = Faults.unplug_every_s
    unplug_for: Annotated[float, _time(LONGEST_MS, "Seconds for which it is.")] = (
        Faults.unplug_for_s
    )

    def given(self) -> dict[str, bool]:
        """Return which options have another value than without them, but --gige itself."""
        return {
            "--" + field.name.replace("_", "-"): getattr(self, field.name) != field.default
            for field in fields(self)
            if field.name != "gige"
        }

    def line(self, *, slot_s: float, seed: int) -> GigeLine:
        """Return the line they ask for. Raises SimulationError without the station's folder."""
        if self.gige is None:
            raise SimulationError("expected --gige DIR")
        check_station(self.gige)
        return GigeLine(
            station=self.gige,
            address=self.address,
            slot_ms=slot_s * 1e3,
            interval_ms=self.interval_ms,
            ahead=self.ahead,
            triggers=self.triggers,
            truth=self.truth,
            seed=seed,
            faults=Faults(
                lose_packets=self.lose_packets,
                late_frames=self.late_frames,
                late_ms=self.late_ms,
                missing_frames=self.missing_frames,
                repeat_frames=self.repeat_frames,
                swap_frames=self.swap_frames,
                unplug_every_s=self.unplug_every,
                unplug_for_s=self.unplug_for,
            ),
        )


def with_gige_options(verb: Function) -> Function:
    """Give a verb these options; it gets what was chosen as its keyword argument `gige`."""
    names = [field.name for field in fields(GigeChoices)]

    @wraps(verb)
    def with_options(*args: Any, **given: Any) -> Any:
        chosen = GigeChoices(**{name: given.pop(name) for name in names if name in given})
        return verb(*args, gige=chosen, **given)

    hints = get_type_hints(GigeChoices, include_extras=True)
    own = inspect.signature(verb, eval_str=True).parameters
    parameters = [parameter for name, parameter in own.items() if name != "gige"]
    for field in fields(GigeChoices):
        if field.default is MISSING:
            raise TypeError(f"{field.name}: an option without a default")
        parameters.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=hints[field.name],
            )
        )
    # What typer reads: the signature, and the annotations apart from it.
    with_options.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return with_options  # type: ignore[return-value]


def show_gige(
    chosen: GigeChoices,
    plan: SetPlan | None,
    *,
    slot_s: float,
    workers: int,
    loop: bool,
    seed: int,
) -> None:
    """Run the line until its strips have passed. `plan` is None where a recording is replayed."""
    line = chosen.line(slot_s=slot_s, seed=seed)
    console.log(f"gige: camera on {line.address}, a strip every {line.slot_ms:g} ms")
    if chosen.replay is not None:
        line.replay(chosen.replay, loop=loop)
    elif plan is not None:
        # What renders leaves the processors to what inspects; the camera is not slowed down.
        line.show(plan, workers=workers, loop=loop, before_rendering=lambda: os.nice(_LEAST_NICE))
