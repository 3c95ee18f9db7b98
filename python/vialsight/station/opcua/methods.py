"""Method calls: arguments checked, rights checked, refusals told with the sentence that says why.

asyncua gives a handler whatever came: too few arguments, other types, from anybody. A method here
is called with as many arguments as its definition says, each of its type or null.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from asyncua import ua

from vialsight.station.client import RecorderUnavailable
from vialsight.station.opcua.accounts import Account, Refused
from vialsight.station.opcua.archive import RecordGone
from vialsight.station.opcua.instance import Instance
from vialsight.station.opcua.node_ids import node_id
from vialsight.station.opcua.sessions import caller

_logger = logging.getLogger(__name__)
# Values of the arguments, null as None; returns values of the output arguments as variants.
Handler = Callable[..., Awaitable[Sequence[ua.Variant]]]
# Tells people why a method was refused.
Refuse = Callable[[str], Awaitable[None]]

# What the recorder answers, as OPC UA says it.
_CODES: Final = {
    "denied": ua.StatusCodes.BadUserAccessDenied,
    "locked": ua.StatusCodes.BadUserAccessDenied,
    "invalid": ua.StatusCodes.BadInvalidArgument,
    "state": ua.StatusCodes.BadInvalidState,
    "busy": ua.StatusCodes.BadResourceUnavailable,
}
# The recorder takes reasons of 512 characters; a halt must not fail for want of brevity.
_LONGEST_TEXT: Final = 400


class MethodRefused(Exception):
    """A method is not carried out; `status` tells the client, the text people."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Methods:
    """The methods of one station."""

    def __init__(self, instance: Instance, refused: Refuse) -> None:
        self._instance, self._refused = instance, refused

    async def add(self, path: str, handler: Handler, *, acts: bool = False) -> None:
        """Bind a method node.

        Args:
            path: of the node, as a string id of this server's namespace.
            handler: gets the values of the arguments in order.
            acts: changes something: for accounts that may, and nobody else.
        """
        expected = await self._arguments(path)

        name = path.rsplit(".", 1)[-1]

        async def call(parent: ua.NodeId, *given: ua.Variant) -> ua.CallMethodResult:
            wrong = [_mismatch(one, kind) for one, kind in zip(given, expected, strict=False)]

            async def work() -> Sequence[ua.Variant]:
                return await handler(*(one.Value for one in given))

            counts = (len(given), len(expected))
            return await answered(name, work, counts, wrong, self._refused, acts=acts)

        self._instance.server.iserver.isession.add_method_callback(self._instance.id(path), call)

    async def _arguments(self, path: str) -> list[ua.Argument]:
        children = await self._instance.node(path).get_children_descriptions()
        for child in children:
            if child.BrowseName.Name == "InputArguments":
                value = await self._instance.server.get_node(child.NodeId).read_value()
                return list(value)
        return []


async def answered(
    name: str,
    work: Callable[[], Awaitable[Sequence[ua.Variant]]],
    counts: tuple[int, int],
    wrong: Sequence[bool],
    refused: Refuse,
    *,
    acts: bool,
) -> ua.CallMethodResult:
    """Return the result of a call: of `work`, or of what is wrong with the call.

    Args:
        name: of the method.
        work: carries it out.
        counts: arguments that were given, and that are expected.
        wrong: of each argument whether it is of another type.
        refused: is told the sentence.
        acts: changes something.
    """
    if counts[0] != counts[1] or any(wrong):
        return _result(_argument_status(*counts), (), wrong)
    account = caller.get()
    try:
        _check_rights(account, acts=acts)
        return _result(ua.StatusCodes.Good, await work())
    except MethodRefused as refusal:
        status, text = refusal.status, str(refusal)
    except Refused as refusal:
        status, text = _CODES.get(refusal.code, ua.StatusCodes.BadInvalidState), refusal.message
    except (RecorderUnavailable, RecordGone) as error:
        status, text = ua.StatusCodes.BadNoCommunication, error.message
    sentence = f"{name} for {account.name or 'anonymous'}: {text}"
    _logger.warning("%s", sentence)
    await refused(sentence)
    return _result(status, ())


def text_argument(value: Any) -> str:
    """Return a text of a client, as it may stand in the record."""
    text = value.Text if isinstance(value, ua.LocalizedText) else value
    return str(text or "").replace("\0", "")[:_LONGEST_TEXT]


def id_argument(value: Any) -> str:
    """Return the `Id` of a structure; empty when there is none: any."""
    return str(getattr(value, "Id", None) or "")


def number_argument(value: Any, name: str, default: int = 0) -> int:
    """Return a number, of a number or of the `Id` of a structure; `default` where there is none.

    Raises:
        MethodRefused: it is none.
    """
    text = str(value if isinstance(value, int) else id_argument(value))
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise MethodRefused(
            ua.StatusCodes.BadInvalidArgument, f"{name}: expected a number, got {text[:40]!r}"
        )
    return int(text)


def ok(*values: ua.Variant) -> list[ua.Variant]:
    """Return output arguments with the `Error` that ends all of the specification: 0."""
    return [*values, ua.Variant(0, ua.VariantType.Int32)]


def _check_rights(account: Account, *, acts: bool) -> None:
    if account.expired:
        raise MethodRefused(ua.StatusCodes.BadUserAccessDenied, "the log-in has expired")
    if acts and not account.may_act:
        raise MethodRefused(
            ua.StatusCodes.BadUserAccessDenied,
            f"expected an operator or engineer, got {account.station_role}",
        )


def _mismatch(given: ua.Variant, expected: ua.Argument) -> bool:
    """Whether a value is of another type; null stands for a structure or text left empty."""
    kind: Any = expected.DataType
    array = expected.ValueRank >= 1
    if given.Value is None:
        return kind in (
            node_id(ua.ObjectIds.Boolean),
            node_id(ua.ObjectIds.Int32),
            node_id(ua.ObjectIds.UInt32),
        )
    if array != isinstance(given.Value, list):
        return True
    if kind == node_id(ua.ObjectIds.BaseDataType):
        return False
    if kind.NamespaceIndex == 0:
        return bool(given.VariantType.value != kind.Identifier)
    structure = ua.extension_objects_by_datatype.get(kind)
    if structure is None or not hasattr(structure, "data_type"):
        return given.VariantType not in (ua.VariantType.Int32, ua.VariantType.UInt32)
    return not _is_structure(given.Value, structure)


def _is_structure(value: Any, structure: type[Any]) -> bool:
    # Identifiers have the same fields; whoever sends their abstract base means one of them.
    return type(value).__name__ in (structure.__name__, "BinaryIdBaseDataType")


def _argument_status(given: int, expected: int) -> int:
    if given < expected:
        return ua.StatusCodes.BadArgumentsMissing
    if given > expected:
        return ua.StatusCodes.BadTooManyArguments
    return ua.StatusCodes.BadInvalidArgument


def _result(
    status: int, outputs: Sequence[ua.Variant], wrong: Sequence[bool] = ()
) -> ua.CallMethodResult:
    result = ua.CallMethodResult()
    result.StatusCode = ua.StatusCode(ua.UInt32(status))
    result.OutputArguments = list(outputs)
    mismatch = ua.StatusCodes.BadTypeMismatch
    result.InputArgumentResults = [
        ua.StatusCode(ua.UInt32(mismatch if one else ua.StatusCodes.Good)) for one in wrong
    ]
    return result
