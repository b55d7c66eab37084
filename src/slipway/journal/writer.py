"""The journal's writer: a thread that appends what waits, syncs once for all of it, then lets the replies go."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from slipway.errors import DiskFull
from slipway.journal.chain import Chain
from slipway.journal.parts import Parts
from slipway.journal.policy import PayloadPolicy, PolicyName
from slipway.journal.records import Payload, Record, encode_record, new_event
from slipway.journal.segment import lock

Done = Callable[[], None]

_CHORES_SECONDS = 1.0  # payloads are synced, and the disk is tried again, this often
_MOST_RECORDS = 4096  # in one frame
_SALT_BYTES = 16
_HEAVY_BYTES = 256 * 1024  # payloads whose digests would take longer than a sync

logger = logging.getLogger(__name__)

# A plain tuple: this is made once a call, on the call path.
_Item = tuple[Record, Payload | None, Done, Done]


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
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._run, name=f"journal-{name}", daemon=True)
        self._chores = threading.Thread(target=self._do_chores, name=f"journal-{name}-chores", daemon=True)
        self._heavy = ThreadPoolExecutor(1, thread_name_prefix=f"journal-{name}-digests")
        self._closing = threading.Event()
        self._tried = 0.0

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

        Record and payload belong to the writer from now on: it adds digests and cuts what is not kept.
        """
        item = (record, payload, durable, failed)
        if payload is not None and len(payload.input or b"") + len(payload.result or b"") > _HEAVY_BYTES:
            self._heavy.submit(self._seal_and_queue, item)
        else:
            self._queue.put(item)

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
        if self._loop is None:
            self._run()
        else:
            self._thread.join()
            self._chores.join()
        try:
            self._chain.close()
        except OSError as error:
            logger.error("journal %s cannot be closed: %s", self._name, error)
        os.close(self._lock)

    # --- the thread that writes -------------------------------------------------------------------------------------

    def _run(self) -> None:
        going = True
        while going:
            items, going = self._collect()
            if not self.healthy:
                self._try_again()
            if items:
                self._handle(items)

    def _collect(self) -> tuple[list[_Item], bool]:
        """Wait for one item, then take all that are there; whether more may come."""
        items: list[_Item] = []
        try:
            item = self._queue.get(timeout=_CHORES_SECONDS)
            while item is not None:
                items.append(item)
                if len(items) == _MOST_RECORDS:
                    return items, True
                item = self._queue.get_nowait()
        except queue.Empty:
            return items, True
        return items, False

    def _handle(self, items: list[_Item]) -> None:
        if self.healthy:
            items, encoded, payloads = self._encoded(items)
            if self._written(items, encoded, payloads):
                self._release([item[2] for item in items])
                return
        self._release([item[3] for item in items])

    def _encoded(self, items: list[_Item]) -> tuple[list[_Item], list[bytes], list[Payload]]:
        """Those items that can be encoded, their records and what is kept of their payloads."""
        good: list[_Item] = []
        encoded: list[bytes] = []
        payloads: list[Payload] = []
        salts = os.urandom(_SALT_BYTES * len(items))
        for item in items:
            try:
                kept = self._policy.seal(item[0], item[1], salts[len(good) * _SALT_BYTES :][:_SALT_BYTES])
                encoded.append(encode_record(item[0]))
            except (ValueError, OverflowError, TypeError) as error:
                # One record that cannot be encoded must not fail the others.
                logger.error("journal %s: a record cannot be encoded: %s", self._name, error)
                self._release([item[3]])
                continue
            good.append(item)
            if kept is not None:
                payloads.append(kept)
        return good, encoded, payloads

    def _written(self, items: list[_Item], encoded: list[bytes], payloads: list[Payload]) -> bool:
        if not items:
            return True
        try:
            self._chain.write([item[0] for item in items], encoded, payloads)
        except Exception as error:
            logger.error("journal %s cannot be written: %s", self._name, error, exc_info=not isinstance(error, OSError))
            self.healthy, self._tried = False, time.monotonic()
            return False
        return True

    def _release(self, callbacks: list[Done]) -> None:
        if self._loop is None:
            _call_all(callbacks)
            return
        try:
            self._loop.call_soon_threadsafe(_call_all, callbacks)
        except RuntimeError:
            # The loop is closed: nobody is left to be told.
            return

    def _try_again(self) -> None:
        """Once a second, whether the disk takes data again."""
        if time.monotonic() - self._tried < _CHORES_SECONDS:
            return
        self._tried = time.monotonic()
        try:
            self._chain.repair()
        except OSError:
            return
        logger.warning("journal %s can be written again", self._name)
        self.healthy = True

    # --- threads beside it: what may take long, and must not hold up the others -------------------------------------

    def _seal_and_queue(self, item: _Item) -> None:
        with contextlib.suppress(ValueError, OverflowError, TypeError):  # the writer meets it again, and reports it
            self._policy.seal(item[0], item[1], os.urandom(_SALT_BYTES))
        self._queue.put(item)

    def _do_chores(self) -> None:
        while not self._closing.wait(_CHORES_SECONDS):
            try:
                self._chain.sync_payloads()
                self._chain.look_ahead()
            except OSError as error:
                logger.error("journal %s: payloads or the next segment: %s", self._name, error)


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
