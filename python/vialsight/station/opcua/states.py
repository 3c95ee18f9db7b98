"""States of OPC 40100-1, and which one a station is in.

The station knows modes, hindrances and batches; the specification knows two state machines. This
module maps the one to the other and remembers nothing: a server that starts anew shows the same.

| station | VisionStateMachine | AutomaticModeStateMachine |
|---|---|---|
| no snapshot yet, or `starting` | Preoperational | – |
| snapshot stands still, or a hindrance | Error | – |
| halted by `Halt` | Halted | – |
| halted, no batch open | Operational | Initialized |
| halted, a batch open | Operational | Ready |
| challenge | Operational | SingleExecution |
| production | Operational | ContinuousExecution |
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final


class State(Enum):
    """States of the VisionStateMachine; values are browse names."""

    PREOPERATIONAL = "Preoperational"
    HALTED = "Halted"
    ERROR = "Error"
    OPERATIONAL = "Operational"


class Automatic(Enum):
    """States of the AutomaticModeStateMachine; values are browse names."""

    INITIALIZED = "Initialized"
    READY = "Ready"
    SINGLE = "SingleExecution"
    CONTINUOUS = "ContinuousExecution"


@dataclass(frozen=True)
class Situation:
    """What the states follow from."""

    running: bool
    """The station shows a snapshot whose heartbeat goes on."""
    seen: bool
    """It did so since this server began."""
    mode: str = "halted"
    hindrances: tuple[str, ...] = ()
    batch_open: bool = False
    halted: bool = False
    """Halt was called here, and Reset not yet."""


@dataclass(frozen=True)
class Position:
    """Where both machines stand; without automatic mode the second is None."""

    vision: State
    automatic: Automatic | None = None


_EXECUTING: Final = {"production": Automatic.CONTINUOUS, "challenge": Automatic.SINGLE}


def position(situation: Situation) -> Position:
    """Return the states of a station."""
    if not situation.running:
        return Position(State.ERROR if situation.seen else State.PREOPERATIONAL)
    if "starting" in situation.hindrances:
        return Position(State.PREOPERATIONAL)
    if situation.hindrances:
        return Position(State.ERROR)
    if executing := _EXECUTING.get(situation.mode):
        return Position(State.OPERATIONAL, executing)
    if situation.halted:
        return Position(State.HALTED)
    idle = Automatic.READY if situation.batch_open else Automatic.INITIALIZED
    return Position(State.OPERATIONAL, idle)


# Methods that move a machine, and from where they may be called. SelectModeAutomatic changes
# nothing: there is no other mode, and a station leaves Preoperational by itself as soon as it can.
MACHINE_METHODS: Final[dict[str, tuple[State, ...] | tuple[Automatic, ...]]] = {
    "Halt": (State.PREOPERATIONAL, State.ERROR, State.OPERATIONAL),
    "Reset": (State.HALTED, State.ERROR, State.OPERATIONAL),
    "SelectModeAutomatic": (State.OPERATIONAL,),
    "StartContinuous": (Automatic.READY,),
    "StartSingleJob": (Automatic.READY,),
    "Stop": (Automatic.SINGLE, Automatic.CONTINUOUS),
    "Abort": (Automatic.SINGLE, Automatic.CONTINUOUS),
}


def allows(method: str, now: Position) -> bool:
    """Whether a method may be called in these states."""
    return now.vision in MACHINE_METHODS[method] or now.automatic in MACHINE_METHODS[method]


def transition(before: str, after: str, names: set[str], caused: str | None) -> str | None:
    """Return the browse name of the transition between two states of one machine.

    Args:
        before: browse name of the state that was left.
        after: of the state that was entered.
        names: browse names of the machine's transitions.
        caused: method that caused it; None: the machine itself.

    Returns None where the specification has no such transition.
    """
    plain = f"{before}To{after}"
    wanted = [f"{plain}{caused}", plain, f"{plain}Auto"] if caused else [f"{plain}Auto", plain]
    return next((name for name in wanted if name in names), None)
