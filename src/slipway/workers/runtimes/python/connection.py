"""The worker's socket. Whoever waits for something reads, and keeps for others what is theirs; one writes at a time.

Nobody reads while a call runs in the main thread, so a call that waits for an answer, or for credit, reads itself. A
worker whose algorithm does neither pays nothing for this.
"""

from __future__ import annotations

import socket
import threading
from typing import Callable, Dict, Iterator, List, Optional, TypeVar

from slipway.sdk.frames import Decoder, Frame

T = TypeVar("T")
READ = 256 * 1024  # bytes at a time
_NO_LIMIT = 2**40  # what an input may measure is the platform's business
_GONE = "the connection to the platform is closed"


class Connection:
    """Frames in and out, for the main loop and for all who wait beside it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket, self.decoder = connection, Decoder(_NO_LIMIT)
        # Reentrant: what the author prints in a finaliser may interrupt whoever sends.
        self.sending = threading.RLock()
        self.shared = False  # whether others than the main loop have read
        self.closed = False
        # By kind: takes a frame that somebody waits for, or says False. Called by whoever has read it.
        self.takers: Dict[int, Callable[[Frame], bool]] = {}
        self._changed = threading.Condition()
        self._reading = self._attended = False
        self._others: List[Frame] = []  # for the main loop

    def send(self, data: bytes) -> None:
        """Send it all. Raises OSError."""
        with self.sending:
            self.socket.sendall(data)

    def frames(self) -> List[Frame]:
        """The main loop's next frames; none at the end of the stream."""
        try:
            return self.wait(self._take_others)
        except OSError:
            return []

    def attend(self) -> Iterator[List[Frame]]:
        """The main loop's frames until the end of the stream, for a thread that does nothing but pass them on.

        Nobody else reads from now on.
        """
        with self._changed:
            self._attended = True
            self._changed.wait_for(lambda: not self._reading)
        while not self.closed:
            self._read()
            with self._changed:
                frames = self._take_others()
            if frames:
                yield frames

    def wait(self, find: Callable[[], Optional[T]]) -> T:
        """What `find` finds, as soon as that is something. Raises OSError at the end of the stream."""
        while True:
            with self._changed:
                found = find()
                if found is not None:
                    return found
                if self.closed:
                    raise ConnectionError(_GONE)
                if self._reading or self._attended:
                    self._changed.wait()
                    continue
                self._reading = True
            self._read()

    def poll(self) -> None:
        """Read what has come already, without waiting. Raises OSError at the end of the stream."""
        with self._changed:
            if self._reading or self._attended:
                return
            self._reading = True
        try:
            self._read(socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if self.closed:
            raise ConnectionError(_GONE)

    def take_again(self) -> None:
        """Offer what is kept for the main loop to the takers, one of whom may wait for it now."""
        with self._changed:
            self._others = [frame for frame in self._others if not self._taken(frame)]

    def wake(self) -> None:
        """Have all who wait look again."""
        with self._changed:
            self._changed.notify_all()

    def let_go(self) -> None:
        """This process has no connection any more: it was forked off by the author's code."""
        self._changed, self.sending = threading.Condition(), threading.RLock()
        self.closed = True
        self.socket.close()

    def _take_others(self) -> Optional[List[Frame]]:
        others, self._others = self._others, []
        return others or None

    def _read(self, flags: int = 0) -> None:
        """Read once, on behalf of everyone."""
        frames: List[Frame] = []
        closed = True
        try:
            data = self.socket.recv(READ, flags)
            if data:
                frames = self.decoder.feed(data)
                closed = False
        except BlockingIOError:
            closed = False
            raise
        finally:
            with self._changed:
                self._reading = False
                self.closed = self.closed or closed
                others = [frame for frame in frames if not self._taken(frame)]
                self._others += others
                # Where somebody always comes back to read, only those need to wake who were meant.
                if not self._attended or closed or len(others) < len(frames):
                    self._changed.notify_all()

    def _taken(self, frame: Frame) -> bool:
        taker = self.takers.get(frame.kind)
        return taker is not None and taker(frame)
