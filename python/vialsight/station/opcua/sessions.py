"""Sessions: what each service may do, for whom, and how much of it.

asyncua trusts its clients more than a line may: tokens of sessions can be guessed, subscriptions of
others can be deleted, queues grow without bounds. Here every service is bounded, and whatever
would change a node is refused.
"""

import contextvars
import math
import secrets
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession

from vialsight.station.opcua.accounts import ANONYMOUS, Account
from vialsight.station.opcua.filters import check_filter, without_null
from vialsight.station.opcua.limits import Limits
from vialsight.station.opcua.node_ids import node_id

# Of the method call that is being answered.
caller: contextvars.ContextVar[Account] = contextvars.ContextVar("caller", default=ANONYMOUS)


Conditions = Callable[
    ["StationSession", ua.CallMethodRequest], Awaitable[ua.CallMethodResult | None]
]


class StationServer(InternalServer):
    """asyncua's services with sessions of ours. `limits` is set before the first client comes."""

    limits: Limits = Limits()

    def __init__(self) -> None:
        super().__init__()
        # Sessions get their accounts from us, before asyncua would ask for a user.
        self.user_manager: Any = None
        self.left: Callable[[Account], None] = lambda account: None
        self.conditions: Conditions = _no_conditions

    def create_session(
        self, name: str, user: Any = ANONYMOUS, external: bool = False
    ) -> "InternalSession":
        """Return a session; those of clients are bounded."""
        return StationSession(self, name)

    def external_sessions(self) -> list["StationSession"]:
        """Return the sessions of clients."""
        found = self._external_sessions.values()
        return [session for session in found if isinstance(session, StationSession)]

    async def make_room(self) -> bool:
        """Return whether there is room for a session; those left longest give way."""
        sessions = self.external_sessions()
        if len(sessions) < self.limits.sessions:
            return True
        left = [session for session in sessions if session.left_at is not None]
        if not left:
            return False
        await min(left, key=lambda session: session.left_at or 0.0).close_session()
        return True

    def register_server(self, server: Any, conf: Any = None) -> None:
        """Refuse: this is no discovery server, and anybody could fill it."""
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)


class StationSession(InternalSession):
    """A client's session."""

    def __init__(self, server: StationServer, name: str) -> None:
        super().__init__(
            server, server.aspace, server.subscription_service, name, user=ANONYMOUS, external=True
        )
        self.server, self.limits = server, server.limits
        self.certificate: bytes | None = None
        self.admitted: Account | None = None
        self.left_at: float | None = None
        # asyncua counts upwards: whoever has one token would have everybody's.
        server.unregister_external_session(self)
        self.auth_token = node_id(secrets.token_bytes(32))
        server.register_external_session(self)

    @property
    def account(self) -> Account:
        """Whoever the session belongs to."""
        return self.user if isinstance(self.user, Account) else ANONYMOUS

    def activate_session(
        self, params: ua.ActivateSessionParameters, peer_certificate: bytes | None
    ) -> ua.ActivateSessionResult:
        """Activate for the account that was admitted, and for nobody else."""
        if self.admitted is None:
            raise ServiceError(ua.StatusCodes.BadIdentityTokenRejected)
        result = super().activate_session(params, peer_certificate)
        self.user, self.admitted = self.admitted, None
        return result

    async def close_session(self, delete_subs: bool = True) -> None:
        """End the session with all it has, and that of the recorder with it."""
        account, self.user = self.account, ANONYMOUS
        await super().close_session(True)
        if account.token is not None:
            self.server.left(account)

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        """Read attributes."""
        self._bound(params.NodesToRead)
        return await super().read(params)

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        """Refuse: the address space has nothing that a client may write."""
        self._bound(params.NodesToWrite)
        return [self._unwritable(value) for value in params.NodesToWrite]

    def _unwritable(self, value: ua.WriteValue) -> ua.StatusCode:
        known = value.NodeId in self.aspace
        return _status(ua.StatusCodes.BadNotWritable if known else ua.StatusCodes.BadNodeIdUnknown)

    async def browse(self, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        """Browse references."""
        self._bound(params.NodesToBrowse, self.limits.browses)
        return await super().browse(params)

    async def translate_browsepaths_to_nodeids(
        self, params: list[ua.BrowsePath]
    ) -> list[ua.BrowsePathResult]:
        """Find nodes by paths; a path without elements leads nowhere."""
        self._bound(params)
        for path in params:
            if not path.RelativePath.Elements or len(path.RelativePath.Elements) > 32:
                raise ServiceError(ua.StatusCodes.BadBrowseNameInvalid)
        return await super().translate_browsepaths_to_nodeids(params)

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Call methods, in the name of the session's account."""
        self._bound(params, self.limits.calls)
        token = caller.set(self.account)
        try:
            return [await self._call(one) for one in params]
        finally:
            caller.reset(token)

    async def _call(self, asked: ua.CallMethodRequest) -> ua.CallMethodResult:
        own = await self.server.conditions(self, asked)
        return own or (await super().call([asked]))[0]

    async def history_read(self, params: Any) -> Any:
        """Refuse: history is in the record, and GetResultListFiltered reads it."""
        raise ServiceError(ua.StatusCodes.BadHistoryOperationUnsupported)

    async def create_subscription(
        self,
        params: ua.CreateSubscriptionParameters,
        callback: Callable[..., Any],
        request_callback: Callable[..., Any] | None = None,
    ) -> ua.CreateSubscriptionResult:
        """Make a subscription, with an interval that costs little."""
        if len(self.own_subscriptions()) >= self.limits.subscriptions:
            raise ServiceError(ua.StatusCodes.BadTooManySubscriptions)
        shortest, longest = self.limits.publishing_ms
        asked = float(params.RequestedPublishingInterval)
        # NaN compares with nothing, and an interval of zero would publish as fast as it can.
        within = min(max(asked, shortest), longest) if math.isfinite(asked) else longest
        params.RequestedPublishingInterval = within
        return await super().create_subscription(params, callback, request_callback)

    def modify_subscription(
        self, params: ua.ModifySubscriptionParameters
    ) -> ua.ModifySubscriptionResult:
        """Answer with what holds; asyncua changes nothing of a subscription."""
        self._mine(params.SubscriptionId)
        return super().modify_subscription(params)

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        """Delete own subscriptions; others' are as unknown as those that never were."""
        if len(ids) > self.limits.operations:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)
        own = self.own_subscriptions()
        done = iter(await super().delete_subscriptions([i for i in ids if i in own]))
        unknown = ua.StatusCodes.BadSubscriptionIdInvalid
        return [next(done) if i in own else _status(unknown) for i in ids]

    async def transfer_subscriptions(self, params: Any, callback: Any = None) -> Any:
        """Refuse: a subscription stays with the session that made it."""
        raise ServiceError(ua.StatusCodes.BadServiceUnsupported)

    async def create_monitored_items(
        self, params: ua.CreateMonitoredItemsParameters
    ) -> list[ua.MonitoredItemCreateResult]:
        """Monitor values or events; queues are bounded."""
        self._mine(params.SubscriptionId)
        self._bound(params.ItemsToCreate)
        self._bound_items(params.ItemsToCreate)
        for item in params.ItemsToCreate:
            most = self.limits.events_waiting if _of_events(item) else self.limits.values_waiting
            _bound_queue(item.RequestedParameters, most)
            check_filter(item)
        return await super().create_monitored_items(params)

    async def modify_monitored_items(
        self, params: ua.ModifyMonitoredItemsParameters
    ) -> list[ua.MonitoredItemModifyResult]:
        """Change queues of own items; filters stay what they were."""
        self._mine(params.SubscriptionId)
        self._bound(params.ItemsToModify)
        for item in params.ItemsToModify:
            _bound_queue(item.RequestedParameters, self.limits.values_waiting)
            if without_null(item.RequestedParameters) is not None:
                raise ServiceError(ua.StatusCodes.BadMonitoredItemFilterUnsupported)
        return await super().modify_monitored_items(params)

    async def delete_monitored_items(
        self, params: ua.DeleteMonitoredItemsParameters
    ) -> list[ua.StatusCode]:
        """Delete own items."""
        self._mine(params.SubscriptionId)
        self._bound(params.MonitoredItemIds)
        return await super().delete_monitored_items(params)

    async def set_monitoring_mode(
        self, params: ua.SetMonitoringModeParameters
    ) -> list[ua.StatusCode]:
        """Switch own items on and off."""
        self._mine(params.SubscriptionId)
        self._bound(params.MonitoredItemIds)
        return await super().set_monitoring_mode(params)

    async def set_publishing_mode(
        self, params: ua.SetPublishingModeParameters
    ) -> list[ua.StatusCode]:
        """Switch own subscriptions on and off."""
        for subscription in params.SubscriptionIds:
            self._mine(subscription)
        return await super().set_publishing_mode(params)

    def publish(
        self, acks: Iterable[ua.SubscriptionAcknowledgement] | None = None
    ) -> tuple[int, list[ua.StatusCode]]:
        """Acknowledge notifications of own subscriptions."""
        own, acks = self.own_subscriptions(), list(acks or [])
        if len(acks) > self.limits.operations:
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)
        if not own:
            raise ServiceError(ua.StatusCodes.BadNoSubscription)
        _, results = super().publish([ack for ack in acks if ack.SubscriptionId in own])
        done = iter(results)
        unknown = _status(ua.StatusCodes.BadSubscriptionIdInvalid)
        return len(own), [next(done) if ack.SubscriptionId in own else unknown for ack in acks]

    def republish(self, params: ua.RepublishParameters) -> ua.NotificationMessage:
        """Give a notification of an own subscription again."""
        self._mine(params.SubscriptionId)
        message = super().republish(params)
        if message.SequenceNumber != params.RetransmitSequenceNumber:
            raise ServiceError(ua.StatusCodes.BadMessageNotAvailable)
        return message

    def own_subscriptions(self) -> set[int]:
        """Numbers of the session's subscriptions."""
        subscriptions = self.subscription_service.subscriptions.items()
        return {number for number, one in subscriptions if one.session_id == self.session_id}

    def _mine(self, subscription: int) -> None:
        if subscription not in self.own_subscriptions():
            raise ServiceError(ua.StatusCodes.BadSubscriptionIdInvalid)

    def _bound(self, asked: list[Any], most: int | None = None) -> None:
        if not asked:
            raise ServiceError(ua.StatusCodes.BadNothingToDo)
        if len(asked) > (most or self.limits.operations):
            raise ServiceError(ua.StatusCodes.BadTooManyOperations)

    def _bound_items(self, asked: list[ua.MonitoredItemCreateRequest]) -> None:
        all_of = self.subscription_service.subscriptions
        mine = [all_of[number].monitored_item_srv for number in self.own_subscriptions()]
        items = [item for service in mine for item in service._monitored_items.values()]
        events = sum(item.where_clause_evaluator is not None for item in items)
        if (
            len(items) + len(asked) > self.limits.monitored_items
            or events + sum(map(_of_events, asked)) > self.limits.event_items
        ):
            raise ServiceError(ua.StatusCodes.BadTooManyMonitoredItems)


def _of_events(item: ua.MonitoredItemCreateRequest) -> bool:
    return bool(item.ItemToMonitor.AttributeId == ua.AttributeIds.EventNotifier)


def _bound_queue(parameters: ua.MonitoringParameters, most: int) -> None:
    # 0 leaves it to the server.
    parameters.QueueSize = ua.UInt32(min(int(parameters.QueueSize) or most, most))


async def _no_conditions(
    session: StationSession, asked: ua.CallMethodRequest
) -> ua.CallMethodResult | None:
    return None


def _status(code: int) -> ua.StatusCode:
    return ua.StatusCode(ua.UInt32(code))
