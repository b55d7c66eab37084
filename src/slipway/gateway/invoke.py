"""From a request's parts to a call: admission, limits, the record of what is refused."""

from __future__ import annotations

import time
from collections.abc import Sequence

from slipway.access.principals import Principal
from slipway.errors import AuthenticationError, CapacityError, DiskFull, SlipwayError, TooLarge
from slipway.gateway.admission import Admission, Admitted, Head, check_body, input_kind, split_target
from slipway.gateway.call import Call, Place
from slipway.gateway.dispatch import Dispatcher
from slipway.gateway.exchange import Exchange, Reply, refusal
from slipway.gateway.handover import Handover, async_call
from slipway.gateway.recorder import Recorder
from slipway.gateway.replies import response, void_body
from slipway.gateway.streaming import ACCEPTED, Outlet, StreamExchange
from slipway.gateway.usage import Usage, most, over_limit
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
        self._key_limit, self._account_limit = most(settings.key_concurrency), most(settings.account_concurrency)
        self._origins = frozenset(origin.encode() for origin in settings.cors_origins)

    def invoke(
        self,
        target: bytes,
        headers: Headers,
        body: bytes,
        extra: bytes,
        reply: Reply,
        outlet: Outlet,
        head: bytes = b"",
    ) -> Exchange | None:
        """Take one request. `reply` is called once, with the whole response, or `outlet` takes it in parts. None if
        that has happened or will happen without a call. What a `head` says is remembered: the bytes before a body of
        stated length."""
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
        allow = self._allow(origin) if origin and self._origins else b""
        try:
            admitted = self._admission.admit(authorization, target)
            said = Head(admitted, input_kind(content_type), len(body), allow)
            self._check(said, body)
        except SlipwayError as error:
            self.refuse(error, target, authorization, extra + allow, reply)
            return None
        if admitted.output == "void":
            self.hand_over(admitted, said.kind, body, extra + allow, reply)
            return None
        if admitted.output == "stream" or ACCEPTED in accept:
            return self._begin(said, body, StreamExchange(self, admitted, extra + allow, reply, outlet))
        if head:
            self._admission.remember(head, said)
        return self._begin(said, body, Exchange(self, admitted, extra + allow, reply))

    def known(self, head: bytes) -> Head | None:
        """What was remembered of a head with exactly these bytes."""
        return self._admission.heads.get(head)

    def invoke_known(self, head: Head, body: bytes, extra: bytes, reply: Reply) -> Exchange | None:
        """Take a request whose head is known; as `invoke`."""
        try:
            self._check(head, body)
        except SlipwayError as error:
            self._refuse_known(error, head.admitted.principal, head.admitted.name, extra + head.allow, reply)
            return None
        return self._begin(head, body, Exchange(self, head.admitted, extra + head.allow, reply))

    def _check(self, head: Head, body: bytes) -> None:
        usage = head.admitted.usage
        if usage.calls >= self._key_limit or usage.account.calls >= self._account_limit:
            raise over_limit(usage, self._key_limit)
        if not self.recorder.healthy:
            raise DiskFull("the platform's disk is full: no call can be recorded")
        check_body(head.kind, body)

    def _begin(self, head: Head, body: bytes, exchange: Exchange) -> Exchange:
        admitted = head.admitted
        arrived = time.monotonic()
        self.in_flight += 1
        usage = admitted.usage
        usage.calls += 1
        usage.account.calls += 1
        call = Call(
            new_id_bytes(),
            admitted.version,
            body,
            head.kind,
            admitted.principal.account.name,
            arrived,
            arrived + admitted.timeout,
            exchange,
        )
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
        self._refuse_known(error, principal, algorithm, extra, reply)

    def _refuse_known(
        self, error: SlipwayError, principal: Principal, algorithm: str, extra: bytes, reply: Reply
    ) -> None:
        def durable() -> None:
            reply(refusal(error, extra, id_text(identity)))

        name, key_id = principal.account.name, principal.key_id
        identity = self.recorder.refused(name, key_id, algorithm, error.status, error.error_type, durable)

    def hand_over(
        self, admitted: Admitted, kind: str, body: bytes, extra: bytes, reply: Reply, place: Place | None = None
    ) -> None:
        """An asynchronous call: its reply leaves when control has it safe."""
        call = async_call(admitted, kind, len(body), self.recorder.gateway, place)
        usage = admitted.usage if place is None else None
        self.in_flight += 1
        if usage is not None:
            usage.calls += 1
            usage.account.calls += 1

        def taken(error: SlipwayError | None) -> None:
            self.ended(usage)
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

    def ended(self, usage: Usage | None) -> None:
        """A call has its outcome; `usage` is that of its key, if it is a root."""
        self.in_flight -= 1
        if usage is not None:
            usage.calls -= 1
            usage.account.calls -= 1

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
