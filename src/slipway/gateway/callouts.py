"""What workers ask for on behalf of the calls that they answer: other algorithms, here; hosted data, of control."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import msgspec

from slipway.access.principals import Principal
from slipway.errors import CapacityError, DiskFull, InputError, PermissionDenied, SlipwayError, TooLarge
from slipway.gateway.admission import Admission, check_body, input_kind
from slipway.gateway.call import Call, Place
from slipway.gateway.exchange import Exchange
from slipway.gateway.invoke import Invoker
from slipway.gateway.replies import parsed, refusal_body
from slipway.gateway.tasks import background
from slipway.ids import id_text, new_id_bytes
from slipway.wire.acting import CALLS, PREFIX, Acting, Answer, asked, is_forwarded, told

MOST_DEPTH = 32  # of calls within calls: a cycle ends here
_RESTART_SECONDS = 5.0  # how long a request waits for a control that is being restarted

Reply = Callable[[Answer], None]


class CallOuts:
    """Answers call-outs. A request names a call in flight on the worker's own connection, and acts for its caller."""

    def __init__(self, admission: Admission, invoker: Invoker, control: Path, limit: int) -> None:
        self._admission, self._invoker, self._limit = admission, invoker, limit
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(control), limits=httpx.Limits(max_keepalive_connections=8)),
            timeout=httpx.Timeout(None, connect=_RESTART_SECONDS),
        )

    async def close(self) -> None:
        """Close the connections to control."""
        await self._client.aclose()

    def take(self, call: Call | None, fields: dict[str, str], body: bytes, reply: Reply) -> None:
        """Begin one. `fields` are those of its frame; raises KeyError where some are missing."""
        verb, target = fields["verb"], fields["target"]
        try:
            if call is None or call.done:
                raise PermissionDenied("the call is over: nothing is done on its behalf any more")
            principal = self._principal(call)
            if target.startswith(CALLS):
                self._call(call, principal, (verb, target), (fields.get("content-type", ""), body), reply)
            elif is_forwarded(target):
                background(self._forward(principal, (verb, target), asked(fields), body, reply))
            else:
                raise PermissionDenied(
                    "an algorithm may ask for algorithms, hosted data and insights, for nothing else"
                )
        except SlipwayError as error:
            reply(_refusal(error))

    def refuse_body(self, limit: int, reply: Reply) -> None:
        """Answer one whose body was longer than `limit` bytes, and has been dropped."""
        reply(_refusal(TooLarge(f"the body exceeds {limit} bytes: write it in parts, or from outside")))

    def _principal(self, call: Call) -> Principal:
        holder = self._admission.holder(call.key_id)
        algorithm = f"{call.version.owner}/{call.version.algorithm}"
        return msgspec.structs.replace(holder, algorithm=algorithm, call_id=id_text(call.id))

    # --- calls ------------------------------------------------------------------------------------------------------

    def _call(
        self, parent: Call, principal: Principal, asked: tuple[str, str], given: tuple[str, bytes], reply: Reply
    ) -> None:
        """Call an algorithm within the call, whose time is its limit too."""
        arrived = time.monotonic()
        place = _below(parent)
        (verb, text), (content_type, body) = asked, given
        if verb != "POST" or not text.isascii():
            raise InputError("an algorithm is called by POST /v1/algo/OWNER/NAME")
        target = text.encode()
        admitted = self._admission.admit_child(principal, target)
        if not self._invoker.recorder.healthy:
            raise DiskFull("the platform's disk is full: no call can be recorded")
        if len(body) > self._invoker.body_limit:
            raise TooLarge(f"the body exceeds {self._invoker.body_limit} bytes: write it to hosted data")
        kind = input_kind(content_type.encode())
        check_body(kind, body)
        if parent.place is None and not parent.started:
            parent.started = True
            parent.sink.started(parent)
        if parent.children is None:
            parent.children = set()
        if admitted.output == "void":
            self._invoker.hand_over(admitted, kind, body, b"", lambda response: reply(_answer(response)), place)
            return

        def done(response: bytes) -> None:
            children.discard(exchange)
            reply(_answer(response))

        exchange = Exchange(self._invoker, admitted, b"", done)
        children = parent.children
        children.add(exchange)
        deadline = min(arrived + admitted.timeout, parent.deadline)
        call = Call(new_id_bytes(), admitted.version, body, kind, parent.caller, arrived, deadline, exchange)
        call.key_id, call.place = parent.key_id, place
        self._invoker.in_flight += 1
        exchange.begin(call)

    # --- control ----------------------------------------------------------------------------------------------------

    async def _forward(
        self, principal: Principal, asked: tuple[str, str], headers: dict[str, str], body: bytes, reply: Reply
    ) -> None:
        acting = Acting(
            caller=principal.account.name,
            key_id=principal.key_id,
            algorithm=principal.algorithm,
            call_id=principal.call_id,
        )
        verb, target = asked
        url = httpx.URL("http://control").copy_with(raw_path=f"{PREFIX}{target}".encode())
        request = httpx.Request(verb, url, headers={**headers, **acting.headers()}, content=body)
        try:
            reply(await self._answer(request))
        except SlipwayError as error:
            reply(_refusal(error))
        except httpx.HTTPError:
            reply(_refusal(CapacityError("the control process is not answering: try again in a moment")))

    async def _answer(self, request: httpx.Request) -> Answer:
        response = await self._send(request)
        received = bytearray()
        try:
            async for chunk in response.aiter_raw():
                received += chunk
                if len(received) > self._limit:
                    raise TooLarge(f"the answer exceeds {self._limit} bytes: ask for it in ranges")
        finally:
            await response.aclose()
        return Answer(response.status_code, told(response.headers), bytes(received))

    async def _send(self, request: httpx.Request) -> httpx.Response:
        patience = time.monotonic() + _RESTART_SECONDS
        while True:
            try:
                return await self._client.send(request, stream=True)
            except httpx.ConnectError:
                if time.monotonic() > patience:
                    raise
                await asyncio.sleep(0.05)


def _below(parent: Call) -> Place:
    """The place of what a call calls. Raises InputError where the tree is too deep."""
    above = parent.place
    if above is None:
        return Place(parent.id, parent.id, parent.caller, 1)
    if above.depth >= MOST_DEPTH:
        raise InputError(
            f"calls within calls are {MOST_DEPTH} deep already: does an algorithm call itself in a circle?"
        )
    return Place(above.root_id, parent.id, above.origin, above.depth + 1)


def _answer(response: bytes) -> Answer:
    status, headers, body = parsed(response)
    return Answer(status, told({name.decode(): value.decode("latin-1") for name, value in headers}), body)


def _refusal(error: SlipwayError) -> Answer:
    return Answer(error.status, {"content-type": "application/json"}, refusal_body(error, ""))
