"""An `async apply` for several calls at a time: each a task of one event loop, in the main thread."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from types import AsyncGeneratorType, CoroutineType, coroutine
from typing import Any, AsyncGenerator, Callable, Coroutine, Dict, Generator, Optional

from slipway.sdk.frames import CANCEL, Frame
from slipway.workers.runtimes.python.lazy import GENERATORS, Encoded, event_loop, wanted_items
from slipway.workers.runtimes.python.process import end_with
from slipway.workers.runtimes.python.running import CURRENT, Running
from slipway.workers.runtimes.python.values import encode_result

Apply = Callable[[Any], Any]


class Tasks:
    """Up to `most` tasks. The socket is read in a thread beside, so that code which blocks the loop can be answered."""

    def __init__(self, apply: Apply, most: int) -> None:
        self._apply, self._most = apply, most
        self._loop: asyncio.AbstractEventLoop = event_loop()  # the one that an async `load` ran in
        self._waiting: Dict[bytes, Running] = {}
        self._tasks: Dict[bytes, asyncio.Task[None]] = {}
        self._credited: Dict[bytes, asyncio.Event] = {}  # of calls that stream

    def run(self, read: Callable[[], None]) -> None:
        """Serve what `read` reads in a thread of its own, whose end is the process's."""
        threading.Thread(target=end_with, args=(read,), name="platform", daemon=True).start()
        self._loop.run_forever()

    def begin(self, call: Running) -> None:
        """Make a task of it, now or as soon as there is room."""
        self._loop.call_soon_threadsafe(self._begin, call)

    def hear(self, call: Running, frame: Frame) -> None:
        """A cancel answers what has not begun, and reaches other code as `CancelledError` where that waits."""
        self._loop.call_soon_threadsafe(self._hear, call, frame)

    # --- in the loop ------------------------------------------------------------------------------------------------

    def _begin(self, call: Running) -> None:
        self._waiting[call.id] = call
        self._begin_next()

    def _begin_next(self) -> None:
        while self._waiting and len(self._tasks) < self._most:
            call = self._waiting.pop(next(iter(self._waiting)))
            context = copy_context()
            context.run(CURRENT.set, call)
            task = context.run(self._loop.create_task, _metered(self._serve(call), call))
            self._tasks[call.id] = task
            task.add_done_callback(lambda _task, call=call: self._done(call))  # type: ignore[misc]

    def _done(self, call: Running) -> None:
        del self._tasks[call.id]
        if not call.over:
            call.give_up()  # cancelled before its first step
        self._begin_next()

    def _hear(self, call: Running, frame: Frame) -> None:
        if frame.kind == CANCEL and self._waiting.pop(call.id, None) is not None:
            call.give_up()
            return
        call.hear(frame)
        if call.cancelled and call.id in self._tasks:
            self._tasks[call.id].cancel()
        elif call.id in self._credited:
            self._credited[call.id].set()

    async def _serve(self, call: Running) -> None:
        try:
            encoded = await self._encoded(call)
        except BaseException as error:
            call.fail(error)
        else:
            call.succeed(encoded)

    async def _encoded(self, call: Running) -> Optional[Encoded]:
        result = self._apply(call.begin())
        if type(result) is CoroutineType:
            result = await result
        if type(result) not in GENERATORS:
            return encode_result(result)
        items = _items(result)
        call.wanted = wanted_items(call.header)
        if not call.wanted:
            return encode_result([item async for item in items])
        await self._send_items(call, items)
        return None

    async def _send_items(self, call: Running, items: AsyncGenerator[Any, None]) -> None:
        credited = self._credited[call.id] = asyncio.Event()
        try:
            async for item in items:
                while not call.may_send:
                    credited.clear()
                    await credited.wait()
                call.item(item)
                call.sent += 1
                # Others have their turn, and a cancel is heard, also where the generator never waits.
                await asyncio.sleep(0)
        finally:
            del self._credited[call.id]
            await items.aclose()


async def _items(generator: Any) -> AsyncGenerator[Any, None]:
    """Of either kind of generator, which is closed with this one."""
    try:
        if type(generator) is AsyncGeneratorType:
            async for item in generator:
                yield item
        else:
            for item in generator:
                yield item
    finally:
        if type(generator) is AsyncGeneratorType:
            await generator.aclose()
        else:
            generator.close()


async def _metered(work: Coroutine[Any, Any, None], call: Running) -> None:
    await _steps(work, call)


@coroutine
def _steps(work: Coroutine[Any, Any, None], call: Running) -> Generator[Any, Any, None]:
    """Run `work`, and count the CPU time of its own steps: between them other calls have theirs."""
    step: Callable[[Any], Any] = work.send
    given: Any = None
    while True:
        call.resume()
        try:
            waited = step(given)
        except StopIteration:
            return
        finally:
            call.pause()
        try:
            given = yield waited
            step = work.send
        except BaseException as error:
            given, step = error, work.throw
