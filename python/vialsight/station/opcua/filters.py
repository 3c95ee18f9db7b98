"""Filters of monitored items, checked when they come.

asyncua looks into a filter at every event: one that refers to itself, or selects what is no
attribute, would raise there each time.
"""

from typing import Final

from asyncua import ua
from asyncua.common.utils import ServiceError

_CLAUSES: Final = 200
_ELEMENTS: Final = 32
_OPERANDS: Final = 1_000
_PATH: Final = 8
_ATTRIBUTES: Final = {int(attribute) for attribute in ua.AttributeIds}


def check_filter(item: ua.MonitoredItemCreateRequest) -> None:
    """Check the filter of an item that is to be monitored.

    Raises:
        ServiceError: BadMonitoredItemFilterInvalid, BadEventFilterInvalid.
    """
    of_events = item.ItemToMonitor.AttributeId == ua.AttributeIds.EventNotifier
    given = without_null(item.RequestedParameters)
    if of_events:
        if not isinstance(given, ua.EventFilter):
            raise ServiceError(ua.StatusCodes.BadMonitoredItemFilterInvalid)
        if not (_selects(given) and _terminates(given)):
            raise ServiceError(ua.StatusCodes.BadEventFilterInvalid)
    elif given is not None and not isinstance(given, ua.DataChangeFilter):
        raise ServiceError(ua.StatusCodes.BadMonitoredItemFilterInvalid)


def without_null(parameters: ua.MonitoringParameters) -> object:
    """Return the filter of an item; a null one is none, which asyncua takes for one."""
    given: object = parameters.Filter
    if isinstance(given, ua.ExtensionObject) and given.TypeId == ua.NodeId():
        parameters.Filter = given = None
    return given


def _selects(given: ua.EventFilter) -> bool:
    clauses = given.SelectClauses or []
    return len(clauses) <= _CLAUSES and all(_is_path(clause) for clause in clauses)


def _is_path(clause: ua.SimpleAttributeOperand) -> bool:
    path = clause.BrowsePath or []
    if len(path) > _PATH or not all(step is not None and step.Name for step in path):
        return False
    return int(clause.AttributeId) in _ATTRIBUTES


def _terminates(given: ua.EventFilter) -> bool:
    """Whether elements refer to later ones only, as the specification asks."""
    elements = given.WhereClause.Elements if given.WhereClause else []
    if len(elements or []) > _ELEMENTS:
        return False
    for number, element in enumerate(elements or []):
        operands = element.FilterOperands or []
        if len(operands) > _OPERANDS or not all(_later(one, number, elements) for one in operands):
            return False
    return True


def _later(operand: object, number: int, elements: list[ua.ContentFilterElement]) -> bool:
    if isinstance(operand, ua.ElementOperand):
        return bool(number < operand.Index < len(elements))
    if isinstance(operand, ua.SimpleAttributeOperand):
        return _is_path(operand)
    return isinstance(operand, ua.LiteralOperand)
