"""What a process that runs other people's code may say to the host: whatever it is, the host goes on."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slipway.workers import forkers
from slipway.workers.forkers import Forker

JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
KINDS = st.sampled_from(["ended", "born", "refused", "status", "peak", "reason", "errno", "never"])


@pytest.fixture(scope="module", autouse=True)
def nobody_is_killed() -> Iterator[None]:
    """Who says that it was born, and was not asked to be, is killed; here that is the test itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forkers, "kill_tree", lambda _pid: None)
        yield


class Parent(Forker):
    """One end of a channel."""

    ended = False

    def stop(self) -> None:
        """Let go."""
        self.ended = True
        self.close()


def heard(message: bytes) -> bool:
    """What becomes of a parent that is told this: whether it goes on."""

    async def hear() -> bool:
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        lost: list[bool] = []
        parent = Parent(near, 1.0, lambda: lost.append(True))
        reading, writing = os.pipe()
        socket.send_fds(far, [message], [writing])
        os.close(writing)
        # Whatever is made of it, the descriptor that came along is not kept.
        os.set_blocking(reading, False)
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(reading, ended.set)
        await asyncio.wait_for(ended.wait(), 10.0)
        asyncio.get_running_loop().remove_reader(reading)
        os.close(reading)
        far.close()
        if not parent.ended:
            parent.stop()
        return not lost

    return asyncio.run(hear())


@given(st.dictionaries(KINDS, JSON).filter(bool))
@example({"born": []})
@example({"ended": {}})
@example({"born": "nobody"})
def test_any_message_is_taken_or_ends_the_connection(message: dict[str, object]) -> None:
    heard(json.dumps(message).encode())


@pytest.mark.parametrize("garbage", [b"\xff\xfe", b"[1]", b"{", b"null", b'{"born": []}'])
def test_garbage_ends_the_connection(garbage: bytes) -> None:
    assert not heard(garbage)
