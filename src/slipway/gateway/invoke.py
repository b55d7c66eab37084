"""From a request's parts to a call: admission, limits, the record of what is refused."""

from __future__ import annotations

import time
from collections.abc import Sequence

from slipway.errors import AuthenticationError, CapacityError, DiskFull, SlipwayError, TooLarge
from slipway.gateway.admission import Admission, Admitted, checked_body, split_target
from slipway.gateway.call import Call, Place
from slipway.gateway.dispatch import Dispatcher
from slipway.gateway.exchange import Exchange, Reply, refusal
from slipway.gateway.handover import Handover, async_call
from slipway.gateway.recorder import Recorder
from slipway.gateway.replies import response, void_body
from slipway.gateway.streaming import ACCEPTED, Outlet, StreamExchange
from slipway.ids import id_bytes, id_text, new_id_bytes
from slipway.settings import Settings
from slipway.wire.handover import Submission

Headers = Sequence[tuple[bytes, bytes]]  # names in lower case


class Invoker:
    """The call path behind whatever carried the request."""

    def __init__(
        self,
        settings: Settings,
        admission: Admission,
        dispatcher: Dispatcher,
        recorder: Recorder,
        handover: Handover,
    ) -> None:
        self.recorder = recorder
        self._handover = handover
        self.in_flight = 0
        self._admission, self._dispatcher = admission, dispatcher
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """Keep at hand what every call needs of the settings."""
        self.body_limit = settings.body_limit_bytes
        self._origins = frozenset(origin.encode() for origin in settings.cors_origins)

    def invoke(
        self, target: bytes, headers: Headers, body: bytes, extra: bytes, reply: Reply, outlet: Outlet
    ) -> Exchange | None:
        """Take one request. `reply` is called once, with the whole response, or `outlet` takes it in parts. None if
        that has happened or will happen without a call."""
        arrived = time.monotonic()
        authorization = content_type = origin = accept = b""
        for name, value in headers:
            if name == b"authorization":
                authorization = value
            elif name == b"content-type":
                content_type = value
            elif name == b"origin":
                origin = value
            elif name == b"accept":
                accept = value
        if origin and self._origins:
            extra += self._allow(origin)
        try:
            admitted = self._admission.admit(authorization, target)
            if not self.recorder.healthy:
                raise DiskFull("the platform's disk is full: no call can be recorded")
            kind = checked_body(content_type, body)
        except SlipwayError as error:
            self.refuse(error, target, authorization, extra, reply)
            return None
        if admitted.output == "void":
            self.hand_over(admitted, kind, body, extra, reply)
            return None
        if admitted.output == "stream" or ACCEPTED in accept:
            exchange: Exchange = StreamExchange(self, admitted, extra, reply, outlet)
        else:
            exchange = Exchange(self, admitted, extra, reply)
        caller = admitted.principal.account.name
        deadline = arrived + admitted.timeout
        self.in_flight += 1
        call = Call(new_id_bytes(), admitted.version, body, kind, caller, arrived, deadline, exchange)
        call.key_id = admitted.principal.key_id
        exchange.begin(call)
        return exchange

    def too_large(self, target: bytes, headers: Headers, extra: bytes, reply: Reply) -> None:
        """Refuse a body over the limit, before the rest of it is read."""
        authorization = next((value for name, value in headers if name == b"authorization"), b"")
        error = TooLarge(f"the body exceeds {self.body_limit} bytes: upload it and use data://")
        self.refuse(error, target, authorization, extra, reply)

    def refuse(self, error: SlipwayError, target: bytes, authorization: bytes, extra: bytes, reply: Reply) -> None:
        """Answer a request that becomes no call; recorded by itself where its caller is known."""
        algorithm = _algorithm(target)
        try:
            principal = self._admission.caller(authorization)
        except (AuthenticationError, CapacityError):
            self.recorder.count_unauthenticated(algorithm)
            reply(refusal(error, extra, ""))
            return
        name, key_id = principal.account.name, principal.key_id

        def durable() -> None:
            reply(refusal(error, extra, id_text(identity)))

        identity = self.recorder.refused(name, key_id, algorithm, error.status, error.error_type, durable)

    def hand_over(
        self, admitted: Admitted, kind: str, body: bytes, extra: bytes, reply: Reply, place: Place | None = None
    ) -> None:
        """An asynchronous call: its reply leaves when control has it safe."""
        call = async_call(admitted, kind, len(body), self.recorder.gateway, place)
        self.in_flight += 1

        def taken(error: SlipwayError | None) -> None:
            self.ended()
            if error is None:
                reply(response(200, b"application/json", extra, void_body(call.request_id)))
                return

            def durable() -> None:
                reply(refusal(error, extra, call.request_id))

            status, kind, known = error.status, error.error_type, id_bytes(call.request_id)
            self.recorder.refused(call.caller, call.key_id, call.algorithm, status, kind, durable, known)

        self._handover.submit(Submission(call, body), taken)

    def submit(self, call: Call) -> None:
        """Send a call on its way."""
        self._dispatcher.submit(call)

    def withdraw(self, call: Call) -> None:
        """Its caller is gone."""
        self._dispatcher.withdraw(call)

    def grant(self, call: Call, items: int) -> None:
        """Its caller takes so many more items."""
        self._dispatcher.grant(call, items)

    def ended(self) -> None:
        """A call has its outcome."""
        self.in_flight -= 1

    def answers_origin(self, headers: Headers) -> bool:
        """Whether the reply to such a request carries header lines for a browser's script of another origin."""
        return bool(self._origins) and any(name == b"origin" for name, _ in headers)

    def _allow(self, origin: bytes) -> bytes:
        if origin in self._origins or b"*" in self._origins:
            return b"access-control-allow-origin: %b\r\nvary: origin\r\n" % origin
        return b""


def _algorithm(target: bytes) -> str:
    try:
        owner, name, _ = split_target(target)
    except SlipwayError:
        return ""
    return f"{owner}/{name}"
