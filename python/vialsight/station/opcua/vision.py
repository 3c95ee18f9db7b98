"""The types of OPC 40100-1, from the NodeSet of the OPC Foundation that lies beside this module."""

import dataclasses
import gzip
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from asyncua import Server, ua
from asyncua.server.address_space import AttributeValue

from vialsight.station.opcua.node_ids import node_id

URI: Final = "http://opcfoundation.org/UA/MachineVision"
NODESET: Final = "nodeset/Opc.Ua.MachineVision.NodeSet2.xml.gz"

# Numbers of nodes in that namespace.
VISION_SYSTEM: Final = 1003
JOB_STARTED: Final = 1013
STATE_CHANGED: Final = 1018
ERROR: Final = 1019
ERROR_RESOLVED: Final = 1020
READY: Final = 1023
RESULT_READY: Final = 1024
WARNING_CONDITION: Final = 1034
DIAGNOSTIC_INFO: Final = 1037
# Types of both state machines; states and transitions are found below them by name.
VISION_MACHINE: Final = 1017
AUTOMATIC_MACHINE: Final = 1021

_BINARY_ID: Final = 3019
# These have no fields of their own, which makes asyncua take their abstract base for them: a value
# alone would carry the base's identity, and a client could not tell a recipe from a configuration.
_ONLY_NAMED: Final = {
    "ConfigurationIdDataType": (3008, 5090),
    "RecipeIdExternalDataType": (3002, 5002),
    "RecipeIdInternalDataType": (3013, 5268),
}
_STRUCTURES: Final = (
    "ConfigurationDataType",
    "JobIdDataType",
    "MeasIdDataType",
    "PartIdDataType",
    "ProcessingTimesDataType",
    "ProductIdDataType",
    "ResultDataType",
    "ResultIdDataType",
    "SystemStateDescriptionDataType",
)


@dataclass(frozen=True)
class Vision:
    """The imported namespace: its index on this server, its structures by name."""

    index: int
    structures: dict[str, type[Any]]

    def node(self, number: int) -> ua.NodeId:
        """Return the id of a node of the namespace."""
        return node_id(number, self.index)

    def make(self, structure: str, **fields: Any) -> Any:
        """Return a structure of the namespace; fields that are not given are absent."""
        return self.structures[structure](**fields)


async def import_vision(server: Server) -> Vision:
    """Import the NodeSet into an initialised server."""
    packed = (resources.files(__package__) / NODESET).read_bytes()
    await server.import_xml(xmlstring=gzip.decompress(packed).decode())
    index = await server.get_namespace_index(URI)
    structures: dict[str, type[Any]] = {name: vars(ua)[name] for name in _STRUCTURES}
    for name, (data_type, encoding) in _ONLY_NAMED.items():
        structures[name] = _named(index, name, data_type, encoding)
        await _define(server, index, data_type, encoding)
    return Vision(index, structures)


async def _define(server: Server, index: int, data_type: int, encoding: int) -> None:
    """Say in the type's node what fields it has: the NodeSet leaves it out where all are inherited.

    Without it a client that reads its types from the server cannot decode any result.
    """
    attribute = ua.AttributeIds.DataTypeDefinition
    base = server.get_node(node_id(_BINARY_ID, index))
    inherited = (await base.read_attribute(attribute)).Value
    assert inherited is not None
    own = dataclasses.replace(
        inherited.Value,
        BaseDataType=base.nodeid,
        DefaultEncodingId=node_id(encoding, index),
    )
    value = ua.DataValue(ua.Variant(own, ua.VariantType.ExtensionObject))
    aspace, node = server.iserver.aspace, node_id(data_type, index)
    aspace[node].attributes.setdefault(attribute, AttributeValue(value))
    await aspace.write_attribute_value(node, attribute, value)


def _named(index: int, name: str, data_type: int, encoding: int) -> type[Any]:
    base: type[Any] = vars(ua)["BinaryIdBaseDataType"]
    members = {"data_type": node_id(data_type, index), "__annotations__": {}}
    made: type[Any] = dataclasses.dataclass(type(name, (base,), members))
    delattr(ua, name)
    ua.register_extension_object(name, node_id(encoding, index), made, node_id(data_type, index))
    return made
