"""The mapping of a station's situation to states, against the specification's own NodeSet."""

import gzip
import xml.etree.ElementTree as ElementTree
from importlib import resources

import pytest
from asyncua import Server, ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import extensionobject_to_binary, nodeid_from_binary
from station_opcua_support import run

from vialsight.station.opcua.states import (
    MACHINE_METHODS,
    Automatic,
    Position,
    Situation,
    State,
    allows,
    position,
    transition,
)
from vialsight.station.opcua.vision import NODESET, import_vision

SET = "{http://opcfoundation.org/UA/2011/03/UANodeSet.xsd}"


def nodeset() -> str:
    packed = (resources.files("vialsight.station.opcua") / NODESET).read_bytes()
    return gzip.decompress(packed).decode()


def transitions() -> dict[str, tuple[str, str, set[str]]]:
    """Name of each transition to the states it leads from and to, and its causes."""
    root = ElementTree.fromstring(nodeset())
    names = {node.get("NodeId"): str(node.get("BrowseName")).partition(":")[2] for node in root}
    found = {}
    for node in root.iter(f"{SET}UAObject"):
        ends: dict[str, set[str]] = {"FromState": set(), "ToState": set(), "HasCause": set()}
        for reference in node.iter(f"{SET}Reference"):
            kind = reference.get("ReferenceType")
            if kind in ends and reference.get("IsForward") != "false":
                ends[kind].add(names.get(reference.text, ""))
        if ends["FromState"] and ends["ToState"]:
            name = str(node.get("BrowseName")).partition(":")[2]
            found[name] = (min(ends["FromState"]), min(ends["ToState"]), ends["HasCause"])
    return found


TRANSITIONS = transitions()
RUNNING = {"running": True, "seen": True}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"running": False, "seen": False}, Position(State.PREOPERATIONAL)),
        ({"running": False, "seen": True}, Position(State.ERROR)),
        ({"running": False, "seen": True, "halted": True}, Position(State.ERROR)),
        ({**RUNNING, "hindrances": ("starting",)}, Position(State.PREOPERATIONAL)),
        ({**RUNNING, "hindrances": ("camera_lost", "starting")}, Position(State.PREOPERATIONAL)),
        ({**RUNNING, "hindrances": ("camera_lost",)}, Position(State.ERROR)),
        ({**RUNNING, "hindrances": ("unknown",), "mode": "production"}, Position(State.ERROR)),
        (RUNNING, Position(State.OPERATIONAL, Automatic.INITIALIZED)),
        ({**RUNNING, "batch_open": True}, Position(State.OPERATIONAL, Automatic.READY)),
        ({**RUNNING, "halted": True, "batch_open": True}, Position(State.HALTED)),
        ({**RUNNING, "mode": "production"}, Position(State.OPERATIONAL, Automatic.CONTINUOUS)),
        ({**RUNNING, "mode": "challenge"}, Position(State.OPERATIONAL, Automatic.SINGLE)),
        (
            {**RUNNING, "mode": "production", "halted": True},
            Position(State.OPERATIONAL, Automatic.CONTINUOUS),
        ),
        (
            {**RUNNING, "mode": "a later one", "batch_open": True},
            Position(State.OPERATIONAL, Automatic.READY),
        ),
    ],
)
def test_positions(given, expected):
    assert position(Situation(**given)) == expected


def test_states_are_those_of_the_nodeset():
    ends = {
        name for leads_from, leads_to, _ in TRANSITIONS.values() for name in (leads_from, leads_to)
    }
    assert {state.value for state in (*State, *Automatic)} <= ends


@pytest.mark.parametrize("method", [name for name in MACHINE_METHODS if "Select" not in name])
def test_methods_are_allowed_where_the_nodeset_has_a_transition(method):
    expected = {leads_from for leads_from, _, causes in TRANSITIONS.values() if method in causes}
    assert {state.value for state in MACHINE_METHODS[method]} == expected


def test_allows_looks_at_both_machines():
    ready = Position(State.OPERATIONAL, Automatic.READY)
    assert allows("Halt", ready)
    assert allows("StartContinuous", ready)
    assert not allows("Stop", ready)
    assert not allows("StartContinuous", Position(State.HALTED))


@pytest.mark.parametrize("cause", [None, "Halt", "Reset", "Stop", "Abort", "StartContinuous"])
def test_transitions_lead_where_their_names_say(cause):
    names, found = set(TRANSITIONS), 0
    for before in (*State, *Automatic):
        for after in (*State, *Automatic):
            name = transition(before.value, after.value, names, cause)
            if name is not None:
                found += 1
                assert TRANSITIONS[name][:2] == (before.value, after.value)
    assert found >= 15


def test_a_method_s_transition_is_preferred_to_the_automatic_one():
    names = set(TRANSITIONS)
    assert transition("Operational", "Halted", names, "Halt") == "OperationalToHalted"
    assert transition("Operational", "Halted", names, None) == "OperationalToHaltedAuto"
    continuous, ready = "ContinuousExecution", "Ready"
    for cause, expected in (("Stop", "Stop"), ("Abort", "Abort"), (None, "Auto")):
        found = transition(continuous, ready, names, cause)
        assert found == f"ContinuousExecutionToReady{expected}"
    assert transition("Halted", "Operational", names, "Reset") is None


def test_the_nodeset_carries_its_licence():
    licence = (resources.files("vialsight.station.opcua") / "nodeset/LICENSE").read_text()
    for text in (licence, nodeset()):
        assert "OPC Foundation MIT License 1.00" in text
        assert "The above copyright notice and this permission notice shall be" in text


def test_ids_alone_carry_their_own_type_and_not_their_base_s():
    root = ElementTree.fromstring(nodeset())
    encodings = {
        str(reference.text): node.get("NodeId")
        for node in root.iter(f"{SET}UAObject")
        if node.get("BrowseName") == "Default Binary"
        for reference in node.iter(f"{SET}Reference")
        if reference.get("ReferenceType") == "HasEncoding" and reference.get("IsForward") == "false"
    }
    types = {
        str(node.get("BrowseName")).partition(":")[2]: str(node.get("NodeId"))
        for node in root.iter(f"{SET}UADataType")
    }

    async def work():
        server = Server()
        await server.init()
        vision = await import_vision(server)
        for name, structure in vision.structures.items():
            made = extensionobject_to_binary(structure(**_fields(vision, name)))
            found = nodeid_from_binary(Buffer(made))
            number = str(encodings[types[name]]).partition(";i=")[2]
            assert found == ua.NodeId(int(number), vision.index), name

    run(work)


def _fields(vision, name):
    """Values of members that a structure cannot do without."""
    if name == "ResultDataType":
        return {
            "ResultId": vision.make("ResultIdDataType"),
            "InternalRecipeId": vision.make("RecipeIdInternalDataType"),
            "InternalConfigurationId": vision.make("ConfigurationIdDataType"),
            "JobId": vision.make("JobIdDataType"),
        }
    if name == "ConfigurationDataType":
        return {"InternalId": vision.make("ConfigurationIdDataType")}
    if name == "SystemStateDescriptionDataType":
        return {"State": ua.SystemStateDataType(1)}
    return {}
