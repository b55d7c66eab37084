"""Trials of new versions: whether they load, what they answer, and how their replicas may start."""

from __future__ import annotations

import asyncio
import time

import msgspec

from slipway.types import AlgorithmFailure, Start, Version
from slipway.workers.ends import stopped
from slipway.workers.fleet import Fleet
from slipway.workers.forkers import CannotFork, ZygoteLost
from slipway.workers.memory import private_bytes
from slipway.workers.replicas import HostedReplica, LoadFailed, WorkerEnded
from slipway.workers.templates import Template

_PROMPT_SECONDS = 1.0  # after which a fork that does not answer the sample may hang
_LONGEST_SECONDS = 10.0  # that it is waited for beyond that
_SLOWER = 5.0  # how many times as long as a replica that loaded by itself it may take

# What the lock of a thread that a fork does not have looks like from outside.
_HANGS = "the sample input did not return in a fork of the loaded model: an OpenMP region in load()?"


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it; the replica lives where nothing failed."""

    replica: HostedReplica | None = None
    failure: AlgorithmFailure | None = None
    output: str = ""
    start: Start = Start()


async def try_version(fleet: Fleet, version: Version, sample: bytes | None, cuda: bool) -> Tried:
    """Load it and call its sample input (JSON): in a fork of a process that has loaded it, where that may be, which
    proves that it can be started so. Where it cannot, in a process that loads it itself. Raises NoRoom."""
    reason = _untried(version, sample, cuda)
    if not reason:
        try:
            template = await fleet.templates.make(version)
        except LoadFailed as error:
            return Tried(failure=error.failure, output=error.output)
        except (CannotFork, ZygoteLost, OSError) as error:
            reason = str(error)
        else:
            return await _Trial(fleet, version, sample or b"", template).run()
    return await _by_itself(fleet, version, sample, reason)


def _untried(version: Version, sample: bytes | None, cuda: bool) -> str:
    if cuda or version.resources.gpu > 0:
        return "CUDA is initialised after the fork, always"
    return "" if sample is not None else "no sample input to prove it with"


class _Trial:
    """Of a version that has a template: forks one replica of it, and watches that answer the sample."""

    def __init__(self, fleet: Fleet, version: Version, sample: bytes, template: Template) -> None:
        self._fleet, self._version, self._sample, self._template = fleet, version, sample, template
        self._memory_bytes = 0  # that the loaded process takes

    async def run(self) -> Tried:
        proven = False
        try:
            # Now, while nobody shares its model with it.
            self._memory_bytes = await _beyond_zygote(self._template.replica)
            tried = await self._run()
            proven = tried.start.mode == "loaded"
            return tried
        finally:
            if not proven:
                self._fleet.templates.drop(self._template)

    async def _run(self) -> Tried:
        try:
            replica = await self._fleet.start_from(self._template)
        except (CannotFork, ZygoteLost, LoadFailed, OSError) as error:
            return await _by_itself(self._fleet, self._version, self._sample, str(error))
        answer = asyncio.ensure_future(_answer(replica, self._sample))
        try:
            await asyncio.wait({answer}, timeout=_PROMPT_SECONDS)
            if not answer.done():
                return await self._compared(replica, answer)
            if (failure := answer.result()) is not None:
                self._fleet.kill(replica, stopped("its check failed"))
                reason = f"the sample input failed in a fork of the loaded model: {failure.message}"
                return await _by_itself(self._fleet, self._version, self._sample, reason)
            return await self._proven(replica)
        except BaseException:
            self._fleet.kill(replica, stopped("its check was cancelled"))
            raise
        finally:
            answer.cancel()

    async def _compared(self, replica: HostedReplica, answer: asyncio.Future[AlgorithmFailure | None]) -> Tried:
        """It hangs, or is slow: a replica that loads by itself tells how long it should take."""
        started = time.monotonic()
        tried = await _by_itself(self._fleet, self._version, self._sample, _HANGS)
        usual = time.monotonic() - started
        await asyncio.wait({answer}, timeout=min(_LONGEST_SECONDS, _SLOWER * usual))
        if tried.replica is None or not answer.done() or answer.result() is not None:
            return tried
        self._fleet.kill(tried.replica, stopped("its check is over"))
        return await self._proven(replica)

    async def _proven(self, replica: HostedReplica) -> Tried:
        loaded = self._template.replica
        start = Start(
            mode="loaded",
            reason="its sample input is answered in a fork of the loaded model",
            load_seconds=loaded.load_seconds,
            memory_bytes=self._memory_bytes,
        )
        return Tried(replica=replica, output=loaded.output + replica.output, start=start)


async def _by_itself(fleet: Fleet, version: Version, sample: bytes | None, reason: str) -> Tried:
    """In a process that loads the version; `reason`: why it is not forked with the model loaded."""
    try:
        replica = await fleet.start(version)
    except LoadFailed as error:
        return Tried(failure=error.failure, output=error.output)
    failure: AlgorithmFailure | None = stopped("its check was cancelled")
    try:
        failure = await _answer(replica, sample) if sample is not None else None
    finally:
        if failure is not None:
            fleet.kill(replica, stopped("its check failed"))
    if failure is not None:
        return Tried(failure=failure, output=replica.output)
    fresh = fleet.nursery.why_fresh(version)
    start = Start(
        mode="fresh" if fresh else "environment",
        reason=fresh or reason,
        load_seconds=replica.load_seconds,
        memory_bytes=await _beyond_zygote(replica),
    )
    return Tried(replica=replica, output=replica.output, start=start)


async def _beyond_zygote(replica: HostedReplica) -> int:
    """What it takes; 0 where it had to import what its zygote will have for the next one."""
    return 0 if replica.modules else await asyncio.to_thread(private_bytes, replica.process.pid)


async def _answer(replica: HostedReplica, sample: bytes) -> AlgorithmFailure | None:
    try:
        return await replica.try_sample(sample)
    except WorkerEnded as error:
        return await replica.last_words(error)
