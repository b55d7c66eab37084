"""The journal's writer: what waits is encoded together, appended and synced once by a thread, then its replies may go.

The loop encodes, and the thread does little but wait for the disk: two threads that take turns at running Python spend
more on handing each other the interpreter's lock than the work takes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slipway.errors import DiskFull
from slipway.journal.chain import Batch, Chain
from slipway.journal.parts import Parts
from slipway.journal.policy import PayloadPolicy, PolicyName
from slipway.journal.records import Payload, Record, encode_record, new_event
from slipway.journal.segment import lock

Done = Callable[[], None]

_CHORES_SECONDS = 1.0  # payloads are synced, and the disk is tried again, this often
_MOST_RECORDS = 1024  # in one frame
# A sync costs 50 µs of processor time, whatever is synced. So while every turn of the loop brings further records, they
# are waited for, at most so long; a call that is alone waits for one turn without any.
_GATHER_SECONDS = 0.002
_SALT_BYTES = 16
_HEAVY_BYTES = 32 * 1024  # payloads whose digests would hold up the loop

logger = logging.getLogger(__name__)

# A plain tuple: this is made once a call, on the call path.
_Item = tuple[Record, Payload | None, Done, Done]
_Work = tuple[list[_Item], Batch]


class JournalWriter:
    """Appends records to one writer's series of segments. One process may hold a writer's name at a time.

    Opening cuts a torn tail and closes what was left open. Raises DataDirectoryInUse, NewerFormat, JournalDamaged,
    OSError, and ValueError for a name that does not fit.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        *,
        segment_bytes: int = 64 * 2**20,
        payload_policy: PolicyName = "full",
        payload_limit_bytes: int = 4096,
        payload_sample_rate: float = 0.01,
    ) -> None:
        self.healthy = True  # False: the disk takes no data, appended records fail
        self._name = name
        self._policy = PayloadPolicy(payload_policy, payload_limit_bytes, payload_sample_rate)
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = lock(directory)
        try:
            self._chain = Chain(directory, name, segment_bytes)
        except BaseException:
            os.close(self._lock)
            raise
        self._waiting: list[_Item] = []
        self._busy = False  # the thread has a batch: what waits is the next
        self._gathered = 0  # how many waited a turn of the loop ago; 0: nobody looked
        self._gather_until = 0.0
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=f"journal-{name}", daemon=True)
        self._chores = threading.Thread(target=self._do_chores, name=f"journal-{name}-chores", daemon=True)
        self._heavy = ThreadPoolExecutor(1, thread_name_prefix=f"journal-{name}-digests")
        self._sealed: deque[_Item] = deque()  # by that
        self._closing = threading.Event()
        self._salts = _salts()

    @property
    def head(self) -> tuple[int, bytes]:
        """Sequence and hash of the last durable frame."""
        return self._chain.head

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin writing; callbacks run on `loop`."""
        self._loop = loop
        self._thread.start()
        self._chores.start()

    def append(self, record: Record, payload: Payload | None, durable: Done, failed: Done) -> None:
        """Queue a record. `durable` runs on the loop once it is on disk, `failed` if it cannot be written.

        To be called on the loop's thread. Record and payload belong to the writer from now on: it adds digests and cuts
        what is not kept.
        """
        item = (record, payload, durable, failed)
        if payload is not None and len(payload.input or b"") + len(payload.result or b"") > _HEAVY_BYTES:
            self._heavy.submit(self._seal_apart, item)
        else:
            self._enqueue(item)

    def parts(self) -> Parts:
        """For what is to be kept of a result that comes in parts."""
        return self._policy.parts()

    async def write(self, record: Record, payload: Payload | None = None) -> None:
        """Append, and wait until the record is on disk. Raises DiskFull."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def settle(durable: bool) -> None:
            if not done.done():
                done.set_result(durable)

        self.append(record, payload, lambda: settle(True), lambda: settle(False))
        if not await done:
            raise DiskFull(f"the journal {self._name} cannot be written")

    def event(self, actor: str, verb: str, resource: str, outcome: str = "done", /, **detail: str) -> None:
        """Record an event that nobody waits for."""
        self.append(new_event(actor, verb, resource, outcome, detail), None, _nothing, _nothing)

    def close(self) -> None:
        """Write what waits, and let go of the files."""
        self._closing.set()
        self._heavy.shutdown()
        self._queue.put(None)
        if self._loop is not None:
            self._thread.join()
            self._chores.join()
        self._take_sealed()
        while work := self._next_work():
            self._release(work[0], self._written(work))
        try:
            self._chain.close()
        except OSError as error:
            logger.error("journal %s cannot be closed: %s", self._name, error)
        os.close(self._lock)

    # --- on the loop ------------------------------------------------------------------------------------------------

    def _enqueue(self, item: _Item) -> None:
        if not self._waiting and not self._busy and self._loop is not None:
            self._loop.call_soon(self._hand_over)
        self._waiting.append(item)

    def _take_sealed(self) -> None:
        while self._sealed:
            self._enqueue(self._sealed.popleft())

    def _hand_over(self) -> None:
        """Give the thread what waits, once a turn of the loop brings no more, or that has lasted long enough."""
        if self._busy or not self._waiting or self._loop is None:
            return
        count, now = len(self._waiting), time.monotonic()
        if not self._gathered:
            self._gather_until = now + _GATHER_SECONDS
        if self._gathered < count < _MOST_RECORDS and now < self._gather_until:
            self._gathered = count
            self._loop.call_soon(self._hand_over)
            return
        self._gathered = 0
        if work := self._next_work():
            self._busy = True
            self._queue.put(work)

    def _next_work(self) -> _Work | None:
        """What waits, encoded behind all that is written; what cannot be is told so here."""
        while self._waiting:
            items, self._waiting = self._waiting[:_MOST_RECORDS], self._waiting[_MOST_RECORDS:]
            if not self.healthy:
                self._release(items, False)
                continue
            items, encoded, payloads = self._encoded(items)
            if items:
                return items, self._chain.prepare([item[0] for item in items], encoded, payloads)
        return None

    def _settle(self, items: list[_Item], written: bool) -> None:
        """A batch has left the thread; the disk goes on with the next while the replies of this one leave."""
        self._busy = False
        self._hand_over()
        _call_all([item[2] if written else item[3] for item in items])

    def _encoded(self, items: list[_Item]) -> tuple[list[_Item], list[bytes], list[Payload]]:
        """Those items that can be encoded, their records and what is kept of their payloads."""
        good: list[_Item] = []
        encoded: list[bytes] = []
        payloads: list[Payload] = []
        for item in items:
            try:
                kept = self._policy.seal(item[0], item[1], next(self._salts))
                encoded.append(encode_record(item[0]))
            except (ValueError, OverflowError, TypeError) as error:
                # One record that cannot be encoded must not fail the others.
                logger.error("journal %s: a record cannot be encoded: %s", self._name, error)
                self._release([item], False)
                continue
            good.append(item)
            if kept is not None:
                payloads.append(kept)
        return good, encoded, payloads

    def _release(self, items: list[_Item], written: bool) -> None:
        callbacks = [item[2] if written else item[3] for item in items]
        if self._loop is None:
            _call_all(callbacks)
        else:
            self._loop.call_soon(_call_all, callbacks)

    # --- the thread that writes -------------------------------------------------------------------------------------

    def _run(self) -> None:
        assert self._loop is not None
        while True:
            try:
                work = self._queue.get(timeout=_CHORES_SECONDS)
            except queue.Empty:
                if not self.healthy:
                    self._try_again()
                continue
            if work is None:
                return
            written = self._written(work)
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
                self._loop.call_soon_threadsafe(self._settle, work[0], written)

    def _written(self, work: _Work) -> bool:
        try:
            self._chain.write(work[1])
        except Exception as error:
            logger.error("journal %s cannot be written: %s", self._name, error, exc_info=not isinstance(error, OSError))
            self.healthy = False
            return False
        return True

    def _try_again(self) -> None:
        """Whether the disk takes data again."""
        try:
            self._chain.repair()
        except OSError:
            return
        logger.warning("journal %s can be written again", self._name)
        self.healthy = True

    # --- threads beside it: what may take long, and must not hold up the others -------------------------------------

    def _seal_apart(self, item: _Item) -> None:
        with contextlib.suppress(ValueError, OverflowError, TypeError):  # the encoder meets it again, and reports it
            self._policy.seal(item[0], item[1], os.urandom(_SALT_BYTES))
        self._sealed.append(item)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._take_sealed)

    def _do_chores(self) -> None:
        while not self._closing.wait(_CHORES_SECONDS):
            try:
                self._chain.sync_payloads()
                self._chain.look_ahead()
            except OSError as error:
                logger.error("journal %s: payloads or the next segment: %s", self._name, error)


def _salts() -> Iterator[bytes]:
    """Random salts; one system call feeds 256 of them."""
    while True:
        block = os.urandom(_SALT_BYTES * 256)
        for start in range(0, len(block), _SALT_BYTES):
            yield block[start : start + _SALT_BYTES]


def _call_all(callbacks: list[Done]) -> None:
    remaining = iter(callbacks)
    while True:
        try:
            for callback in remaining:
                callback()
        except Exception:
            logger.exception("a callback of the journal failed")
        else:
            return


def _nothing() -> None:
    pass
