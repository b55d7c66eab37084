"""Asynchronous calls on their way to control: batched, asked for again, given up in the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from slipway.errors import AuthenticationError, CapacityError, DiskFull, SlipwayError
from slipway.gateway.directory import Directory
from slipway.gateway.handover import Handover
from slipway.ids import new_id
from slipway.types import AsyncCall, Snapshot
from slipway.wire.handover import Submission, Taken, decode_submissions, encode_taken

Answer = Callable[[list[Submission]], list[Taken] | None]


class Control:
    """Answers `/async` on a Unix socket; None as an answer closes the connection, as a control that is killed does."""

    def __init__(self, path: Path, answer: Answer) -> None:
        self.path, self._answer = path, answer
        self.asked: list[list[str]] = []  # request ids, request by request
        self._server: asyncio.AbstractServer | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._serve, str(self.path))

    async def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                submissions = decode_submissions(await reader.readexactly(length))
                self.asked.append([one.call.request_id for one in submissions])
                taken = self._answer(submissions)
                if taken is None:
                    return
                body = encode_taken(taken)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()


@pytest.fixture
async def handover(tmp_path: Path) -> AsyncIterator[Handover]:
    handover = Handover(tmp_path / "internal.sock")
    yield handover
    await handover.close()


def a_submission(timeout: float = 30.0) -> Submission:
    call = AsyncCall(
        request_id=new_id(),
        caller="ann",
        algorithm="ann/echo",
        version="0.1.0",
        version_id="v",
        timeout=timeout,
        content_type="json",
        input_size=2,
    )
    return Submission(call, b"[]")


def hand_in(handover: Handover, submission: Submission) -> asyncio.Future[SlipwayError | None]:
    """What the caller is told, once it is."""
    told: asyncio.Future[SlipwayError | None] = asyncio.get_running_loop().create_future()
    handover.submit(submission, told.set_result)
    return told


async def test_what_arrives_while_one_request_is_under_way_goes_with_the_next(
    handover: Handover, tmp_path: Path
) -> None:
    control = Control(tmp_path / "internal.sock", lambda submissions: [Taken()] * len(submissions))
    await control.start()
    told = [hand_in(handover, a_submission()) for _ in range(600)]
    assert await asyncio.gather(*told) == [None] * 600
    assert len(control.asked) < 6
    assert len({one for asked in control.asked for one in asked}) == 600
    await control.stop()


async def test_each_is_told_what_became_of_its_own(handover: Handover, tmp_path: Path) -> None:
    refused = a_submission()

    def answer(submissions: list[Submission]) -> list[Taken]:
        return [Taken("full" if one.call.request_id == refused.call.request_id else "") for one in submissions]

    control = Control(tmp_path / "internal.sock", answer)
    await control.start()
    good, bad = await asyncio.gather(hand_in(handover, a_submission()), hand_in(handover, refused))
    assert good is None
    assert isinstance(bad, DiskFull)
    await control.stop()


async def test_a_control_that_ends_before_it_answers_is_asked_again_for_the_same_call(
    handover: Handover, tmp_path: Path
) -> None:
    answers: list[list[Taken] | None] = [None, None, [Taken()]]
    control = Control(tmp_path / "internal.sock", lambda _submissions: answers.pop(0))
    submission = a_submission()
    told = hand_in(handover, submission)
    await control.start()
    assert await told is None
    assert control.asked == [[submission.call.request_id]] * 3
    await control.stop()


async def test_a_call_is_given_up_when_control_stays_away(handover: Handover) -> None:
    error = await hand_in(handover, a_submission(timeout=0.1))
    assert isinstance(error, CapacityError)
    assert error.status == 503


def test_a_gateway_that_knows_no_keys_yet_does_not_call_one_unknown() -> None:
    directory = Directory()
    with pytest.raises(CapacityError):
        directory.principal("simKey")
    directory.apply(Snapshot(revision=0, full=True))
    with pytest.raises(AuthenticationError):
        directory.principal("simKey")
