"""The station as an instance of VisionSystemType, with what it does and nothing besides.

All optional parts of the type are made and those that do nothing here are taken away again: what a
client can see, it can use.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timezone
from typing import Any, Final

from asyncua import Node, Server, ua

from vialsight.station.opcua import vision as types
from vialsight.station.opcua.node_ids import node_id
from vialsight.station.opcua.states import Position
from vialsight.station.opcua.vision import Vision

URI: Final = "urn:vialsight:station"
ROOT: Final = "Station"
MACHINE: Final = f"{ROOT}.VisionStateMachine"
AUTOMATIC: Final = f"{MACHINE}.AutomaticModeStateMachine"
RESULTS: Final = f"{ROOT}.ResultManagement"
RECIPES: Final = f"{ROOT}.RecipeManagement"
CONFIGURATIONS: Final = f"{ROOT}.ConfigurationManagement"

# Optional parts of the type that this server does not have; docs/opcua.md says why.
_LEFT_OUT: Final = (
    f"{ROOT}.DiagnosticLevel",
    f"{ROOT}.SafetyStateManagement",
    f"{MACHINE}.ConfirmAll",
    f"{MACHINE}.ErrorStepModel",
    f"{MACHINE}.HaltedStepModel",
    f"{MACHINE}.PreoperationalStepModel",
    f"{AUTOMATIC}.ContinuousExecutionStepModel",
    f"{AUTOMATIC}.InitializedStepModel",
    f"{AUTOMATIC}.ReadyStepModel",
    f"{AUTOMATIC}.SingleExecutionStepModel",
    f"{AUTOMATIC}.SimulationMode",
    f"{RESULTS}.ReleaseResultHandle",
    f"{RESULTS}.Results",
    f"{RESULTS}.ResultTransfer",
    f"{RECIPES}.AddRecipe",
    f"{RECIPES}.PrepareProduct",
    f"{RECIPES}.Products",
    f"{RECIPES}.Recipes",
    f"{RECIPES}.RecipeTransfer",
    f"{RECIPES}.ReleaseRecipeHandle",
    f"{RECIPES}.RemoveRecipe",
    f"{RECIPES}.UnlinkProduct",
    f"{RECIPES}.UnprepareProduct",
    f"{CONFIGURATIONS}.AddConfiguration",
    f"{CONFIGURATIONS}.Configurations",
    f"{CONFIGURATIONS}.ConfigurationTransfer",
    f"{CONFIGURATIONS}.ReleaseConfigurationHandle",
    f"{CONFIGURATIONS}.RemoveConfiguration",
)


@dataclass(frozen=True)
class Machine:
    """States and transitions of a state machine's type, by browse name."""

    states: dict[str, ua.NodeId]
    transitions: dict[str, ua.NodeId]


class Instance:
    """The nodes of one station on a server."""

    def __init__(
        self, server: Server, vision: Vision, index: int, machine: Machine, automatic: Machine
    ) -> None:
        self.server, self.vision, self.index = server, vision, index
        self.machine, self.automatic = machine, automatic
        self._written: dict[ua.NodeId, Any] = {}

    def id(self, path: str) -> ua.NodeId:
        """Return the id of a node of this server's own namespace."""
        return node_id(path, self.index)

    def node(self, path: str) -> Node:
        """Return a node of this server's own namespace."""
        return self.server.get_node(self.id(path))

    async def write(
        self,
        path: str,
        value: Any,
        kind: ua.VariantType,
        status: int = ua.StatusCodes.Good,
    ) -> None:
        """Write a value, if it is another one than before. A bad status has no value."""
        node, now = self.id(path), (value, status)
        if self._written.get(node) == now:
            return
        self._written[node] = now
        good = not ua.StatusCode(ua.UInt32(status)).is_bad()
        data = ua.DataValue(
            ua.Variant(value, kind) if good else None,
            StatusCode=ua.StatusCode(ua.UInt32(status)),
            SourceTimestamp=ua.DateTime.now(timezone.utc),
        )
        await self.server.iserver.aspace.write_attribute_value(node, ua.AttributeIds.Value, data)

    async def show(self, position: Position) -> None:
        """Write the states of both machines."""
        await self._state(MACHINE, self.machine, position.vision.value)
        automatic = None if position.automatic is None else position.automatic.value
        await self._state(AUTOMATIC, self.automatic, automatic)

    async def _state(self, path: str, machine: Machine, state: str | None) -> None:
        kind, name = ua.VariantType.LocalizedText, f"{path}.CurrentState"
        if state is None:
            inactive = ua.StatusCodes.BadStateNotActive
            await self.write(name, None, kind, inactive)
            await self.write(f"{name}.Id", None, ua.VariantType.NodeId, inactive)
            return
        await self.write(name, ua.LocalizedText(state), kind)
        await self.write(f"{name}.Id", machine.states[state], ua.VariantType.NodeId)


async def make_instance(server: Server, vision: Vision, index: int, name: str) -> Instance:
    """Make the station's nodes below Objects.

    Args:
        server: initialised, with the NodeSet imported.
        vision: that NodeSet.
        index: of the namespace of ours.
        name: the station's, shown to people.
    """
    root = node_id(ROOT, index)
    # Without an id and a namespace index asyncua would put it into the namespace of OPC UA itself.
    await server.nodes.objects.add_object(
        root,
        ua.QualifiedName(ROOT, index),
        objecttype=vision.node(types.VISION_SYSTEM),
        instantiate_optional=True,
    )
    station = server.get_node(root)
    await station.write_attribute(
        ua.AttributeIds.DisplayName, ua.DataValue(ua.Variant(ua.LocalizedText(name)))
    )
    left_out = [server.get_node(node_id(path, index)) for path in _LEFT_OUT]
    await server.delete_nodes(left_out, recursive=True)
    machine = await _machine(server, vision.node(types.VISION_MACHINE))
    automatic = await _machine(server, vision.node(types.AUTOMATIC_MACHINE))
    made = Instance(server, vision, index, machine, automatic)
    # The NodeSet lets clients write these.
    for path in (f"{ROOT}.SystemState", f"{CONFIGURATIONS}.ActiveConfiguration"):
        await made.node(path).set_read_only()
    await _notify(made, (ROOT, RESULTS, MACHINE))
    return made


async def _machine(server: Server, type_id: ua.NodeId) -> Machine:
    found: dict[int, dict[str, ua.NodeId]] = {
        ua.ObjectIds.StateType: {},
        ua.ObjectIds.InitialStateType: {},
        ua.ObjectIds.TransitionType: {},
    }
    for child in await server.get_node(type_id).get_children_descriptions():
        kind = child.TypeDefinition.Identifier
        if isinstance(kind, int) and kind in found:
            found[kind][str(child.BrowseName.Name)] = child.NodeId
    states = found[ua.ObjectIds.StateType] | found[ua.ObjectIds.InitialStateType]
    return Machine(states, found[ua.ObjectIds.TransitionType])


async def _notify(made: Instance, paths: Sequence[str]) -> None:
    """Let clients subscribe to events at these objects; the server has them all."""
    for path in paths:
        await made.node(path).set_event_notifier([ua.EventNotifier.SubscribeToEvents])
    above = made.server.get_node(node_id(ua.ObjectIds.Server))
    station = made.node(ROOT)
    await above.add_reference(station, ua.ObjectIds.HasNotifier, forward=True, bidirectional=True)
