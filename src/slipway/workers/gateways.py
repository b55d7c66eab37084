"""One connected gateway: what it wants, and the replicas that are leased to it."""

from __future__ import annotations

import time

from slipway.types import AlgorithmFailure, Version
from slipway.wire.channel import Channel
from slipway.wire.messages import Exited, Lease, StartFailed, Want
from slipway.workers.replicas import HostedReplica

_FIRST_RETRY_SECONDS = 0.1
_LAST_RETRY_SECONDS = 30.0


class ConnectedGateway:
    """Wants are levels, not steps: the host keeps as many replicas as the last one said."""

    def __init__(self, name: str, channel: Channel) -> None:
        self.name, self.channel = name, channel
        self.wants: dict[str, Want] = {}  # by version id
        self.replicas: dict[str, HostedReplica] = {}  # by id
        self.starting: dict[str, int] = {}  # version id → starts under way

    def missing(self, version_id: str) -> int:
        """How many replicas of the version are wanted beyond those that are leased or on their way."""
        want = self.wants.get(version_id)
        held = sum(replica.version.id == version_id for replica in self.replicas.values())
        return (want.replicas if want else 0) - held - self.starting.get(version_id, 0)

    def lease(self, replica: HostedReplica) -> None:
        """Give it the replica."""
        replica.state, replica.holder = "leased", self.name
        self.replicas[replica.id] = replica
        message = Lease(
            replica=replica.id,
            version_id=replica.version.id,
            concurrency=replica.concurrency,
            credit=replica.credit,
            cold_start_seconds=replica.ready_seconds,
        )
        # A second holder of the same replica has no cold start to report.
        replica.ready_seconds = 0.0
        self.channel.send(message, [replica.connection.fileno()])

    def lost(self, replica: HostedReplica, failure: AlgorithmFailure) -> None:
        """Tell it that one of its replicas has ended."""
        self.replicas.pop(replica.id, None)
        self.channel.send(Exited(replica=replica.id, version_id=replica.version.id, failure=failure))

    def start_failed(self, version: Version, failure: AlgorithmFailure, retry: float) -> None:
        """Tell it that a replica could not be started."""
        self.channel.send(StartFailed(version_id=version.id, failure=failure, retry_after_seconds=retry))


class BackOff:
    """When a version whose start failed may be tried again."""

    def __init__(self) -> None:
        self._failures: dict[str, tuple[int, float]] = {}  # version id → failures in a row, not before

    def failed(self, version_id: str) -> float:
        """Count a failure; the seconds to wait: 0.1, doubled each time, at most 30."""
        count = self._failures.get(version_id, (0, 0.0))[0]
        delay: float = min(_LAST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2**count)
        self._failures[version_id] = (min(count + 1, 16), time.monotonic() + delay)
        return delay

    def worked(self, version_id: str) -> None:
        """Forget its failures."""
        self._failures.pop(version_id, None)

    def waits(self, version_id: str) -> bool:
        """Whether it is too early."""
        return time.monotonic() < self._failures.get(version_id, (0, 0.0))[1]
