"""What `apply` may return without having done its work: coroutines and generators, driven by the thread that waits."""

from __future__ import annotations

import threading
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, Callable, Generator, List, Optional, Tuple

from slipway.sdk.frames import decode_fields
from slipway.workers.runtimes.python.values import encode_result

LAZY = frozenset({CoroutineType, GeneratorType, AsyncGeneratorType})
GENERATORS = frozenset({GeneratorType, AsyncGeneratorType})
Items = Generator[Any, None, None]
Encoded = Tuple[bytes, bytes]  # content type, body

_here = threading.local()


def event_loop() -> Any:
    """This thread's event loop, made when it is first needed."""
    loop = getattr(_here, "loop", None)
    if loop is None:
        # 25 ms that only authors of coroutines pay for.
        import asyncio

        loop = _here.loop = asyncio.new_event_loop()
    return loop


def wanted_items(header: bytes) -> int:
    """How many items a call wants to be sent ahead; 0 where it wants one result."""
    return int(decode_fields(header).get("stream", "0"))


def complete(result: Any) -> Any:
    """The result itself, of a coroutine; a list of its items, of a generator."""
    result = _awaited(result)
    return list(_items(result)) if type(result) in GENERATORS else result


def encode_lazy(result: Any, header: bytes, stream: Callable[[Items, int], None]) -> Optional[Encoded]:
    """Complete and encode the result of the call with that header; None where `stream` has sent its items."""
    result = _awaited(result)
    wanted = wanted_items(header) if type(result) in GENERATORS else 0
    if not wanted:
        return encode_result(complete(result))
    stream(_items(result), wanted)
    return None


def _awaited(result: Any) -> Any:
    return event_loop().run_until_complete(result) if type(result) is CoroutineType else result


def _items(generator: Any) -> Items:
    return _drained(generator) if type(generator) is AsyncGeneratorType else generator


def _drained(generator: Any) -> Items:
    run = event_loop().run_until_complete
    try:
        item = run(_next(generator))
        while item:
            yield item[0]
            item = run(_next(generator))
    finally:
        run(generator.aclose())


async def _next(generator: Any) -> List[Any]:
    """The next item, alone in a list; an empty one at the end."""
    try:
        return [await generator.__anext__()]
    except StopAsyncIteration:
        return []
