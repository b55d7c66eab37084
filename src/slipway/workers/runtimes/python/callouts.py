"""Requests of the author's code to the platform, over the worker's own socket, from any of its threads.

Nobody reads the socket while a call runs, so whoever waits for an answer reads; what belongs to others is kept for
them. A worker whose algorithm asks for nothing pays nothing for this.
"""

from __future__ import annotations

import itertools
import socket
import threading
from typing import Callable, Dict, List, Optional, TypeVar

from slipway.sdk.frames import CALL_OUT, CALL_OUT_REPLY, Decoder, Frame, decode_fields, encode, encode_fields
from slipway.sdk.platform import Response

T = TypeVar("T")
_READ = 256 * 1024
_GONE = "the connection to the platform is closed"


class CallOuts:
    """Asks, and reads for all who wait: the worker's main loop among them, once something was asked."""

    def __init__(self, connection: socket.socket, decoder: Decoder, current: Callable[[], bytes]) -> None:
        self._connection, self._decoder = connection, decoder
        self._current = current  # the call that runs; raises RuntimeError where there is none
        self.sending = threading.Lock()
        self.used = False
        self._changed = threading.Condition()
        self._reading = False
        self._closed = False
        self._numbers = itertools.count(1)
        self._answers: Dict[int, Optional[Frame]] = {}  # by number; None: not there yet
        self._others: List[Frame] = []  # for the main loop

    def ask(self, verb: str, target: str, body: bytes, headers: Dict[str, str]) -> Response:
        """Ask and wait. Raises RuntimeError where no call runs, OSError where the platform is gone."""
        if self._closed:
            raise ConnectionError(_GONE)
        call = self._current()
        self.used = True
        with self._changed:
            number = next(self._numbers)
            self._answers[number] = None
        fields = {**headers, "number": str(number), "verb": verb, "target": target}
        with self.sending:
            self._connection.sendall(encode(CALL_OUT, call, encode_fields(fields), body))
        return _response(self._wait(lambda: self._answer(number)))

    def frames(self) -> List[Frame]:
        """The main loop's next frames; none at the end of the stream."""
        try:
            return self._wait(self._take_others)
        except OSError:
            return []

    def close(self) -> None:
        """This process has no connection any more: it was forked off by the author's code."""
        self._changed = threading.Condition()
        self._closed = True

    def _answer(self, number: int) -> Optional[Frame]:
        if self._answers[number] is None:
            return None
        return self._answers.pop(number)

    def _take_others(self) -> Optional[List[Frame]]:
        others, self._others = self._others, []
        return others or None

    def _wait(self, find: Callable[[], Optional[T]]) -> T:
        while True:
            with self._changed:
                found = find()
                if found is not None:
                    return found
                if self._closed:
                    raise ConnectionError(_GONE)
                if self._reading:
                    self._changed.wait()
                    continue
                self._reading = True
            self._read()

    def _read(self) -> None:
        """Read once, on behalf of everyone."""
        frames: List[Frame] = []
        closed = True
        try:
            data = self._connection.recv(_READ)
            if data:
                frames = self._decoder.feed(data)
                closed = False
        finally:
            with self._changed:
                self._reading = False
                self._closed = self._closed or closed
                for frame in frames:
                    self._sort(frame)
                self._changed.notify_all()

    def _sort(self, frame: Frame) -> None:
        if frame.kind != CALL_OUT_REPLY:
            self._others.append(frame)
            return
        number = int(decode_fields(frame.header)["number"])
        if number in self._answers:
            self._answers[number] = frame


def _response(frame: Frame) -> Response:
    fields = decode_fields(frame.header)
    fields.pop("number")
    status = int(fields.pop("status"))
    return Response(status, fields.get("content-type", ""), fields, frame.body)
