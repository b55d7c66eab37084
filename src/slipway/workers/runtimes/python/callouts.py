"""Requests of the author's code to the platform, over the worker's own socket, from any of its threads."""

from __future__ import annotations

import itertools
from typing import Callable, Dict, Optional

from slipway.sdk.frames import CALL_OUT, CALL_OUT_REPLY, NO_CALL, Frame, decode_fields, encode, encode_fields
from slipway.sdk.platform import Response
from slipway.workers.runtimes.python.connection import Connection

NO_CALL_RUNS = "no call is running: what outlives a call, or belongs to none, cannot ask the platform for anything"


class CallOuts:
    """Asks, on behalf of the call that `current` names; it raises RuntimeError where there is none."""

    def __init__(self, connection: Connection) -> None:
        self.current: Callable[[], bytes] = lambda: NO_CALL  # while the version loads
        self._connection = connection
        self._numbers = itertools.count(1)
        self._answers: Dict[int, Optional[Frame]] = {}  # by number; None: not there yet
        connection.takers[CALL_OUT_REPLY] = self._take

    def ask(self, verb: str, target: str, body: bytes, headers: Dict[str, str]) -> Response:
        """Ask and wait. Raises RuntimeError where no call runs, OSError where the platform is gone."""
        connection = self._connection
        if connection.closed:
            raise ConnectionError("the connection to the platform is closed")
        call = self.current()
        connection.shared = True
        number = next(self._numbers)
        self._answers[number] = None
        fields = {**headers, "number": str(number), "verb": verb, "target": target}
        connection.send(encode(CALL_OUT, call, encode_fields(fields), body))
        return _response(connection.wait(lambda: self._answer(number)))

    def _answer(self, number: int) -> Optional[Frame]:
        if self._answers[number] is None:
            return None
        return self._answers.pop(number)

    def _take(self, frame: Frame) -> bool:
        """An answer that nobody waits for any more is dropped."""
        number = int(decode_fields(frame.header)["number"])
        if number in self._answers:
            self._answers[number] = frame
        return True


def _response(frame: Frame) -> Response:
    fields = decode_fields(frame.header)
    fields.pop("number")
    status = int(fields.pop("status"))
    return Response(status, fields.get("content-type", ""), fields, frame.body)
