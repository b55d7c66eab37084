"""One connected gateway: what it wants, and the replicas that are leased to it."""

from __future__ import annotations

from collections import Counter

from slipway.types import AlgorithmFailure
from slipway.wire.channel import Channel
from slipway.wire.messages import Exited, GiveBack, Lease, Members, StartFailed, Want
from slipway.workers.replicas import HostedReplica


class ConnectedGateway:
    """Wants are levels, not steps: the host keeps as many replicas as the last one said."""

    def __init__(self, name: str, channel: Channel) -> None:
        self.name, self._channel = name, channel
        self.wants: dict[str, Want] = {}  # by version id
        self.replicas: dict[str, HostedReplica] = {}  # by id
        self._held: Counter[str] = Counter()  # by version id
        self._starting: Counter[str] = Counter()  # by version id: starts under way

    @property
    def connected(self) -> bool:
        """Whether it is still there."""
        return not self._channel.closed

    def missing(self, version_id: str) -> int:
        """How many replicas of the version are wanted beyond those that are leased or on their way."""
        want = self.wants.get(version_id)
        return (want.replicas if want else 0) - self._held[version_id] - self._starting[version_id]

    def begin(self, version_id: str) -> None:
        """A start is under way."""
        self._starting[version_id] += 1

    def end(self, version_id: str) -> None:
        """It is over."""
        _count_down(self._starting, version_id)

    def release(self, replica_id: str) -> HostedReplica | None:
        """It has this replica no longer; None where it had not."""
        replica = self.replicas.pop(replica_id, None)
        if replica is not None:
            _count_down(self._held, replica.version.id)
        return replica

    def release_all(self) -> list[HostedReplica]:
        """It has none any more; those that it had."""
        return [replica for name in list(self.replicas) if (replica := self.release(name)) is not None]

    def members(self, names: tuple[str, ...]) -> None:
        """Tell it who is there."""
        self._channel.send(Members(names=names))

    def lease(self, replica: HostedReplica) -> None:
        """Give it the replica."""
        replica.state = "leased"
        self.replicas[replica.id] = replica
        self._held[replica.version.id] += 1
        message = Lease(
            replica=replica.id,
            version_id=replica.version.id,
            concurrency=replica.concurrency,
            credit=replica.credit,
            batch=replica.batch,
            cold_start_seconds=replica.cold_start_seconds,
        )
        # A second holder of the same replica has no cold start to report.
        replica.cold_start_seconds = 0.0
        self._channel.send(message, [replica.talk.descriptor])

    def exited(self, replica: HostedReplica, failure: AlgorithmFailure) -> None:
        """Tell it that a replica it had has ended."""
        self._channel.send(Exited(replica=replica.id, version_id=replica.version.id, failure=failure))

    def start_failed(
        self, version_id: str, failure: AlgorithmFailure, retry_seconds: float, no_room: bool = False
    ) -> None:
        """Tell it that a replica could not be started."""
        self._channel.send(
            StartFailed(version_id=version_id, failure=failure, retry_after_seconds=retry_seconds, no_room=no_room)
        )

    def give_back(self, replicas: int) -> None:
        """Ask it for so many idle ones."""
        self._channel.send(GiveBack(replicas=replicas))


def _count_down(counts: Counter[str], version_id: str) -> None:
    counts[version_id] -= 1
    if not counts[version_id]:
        del counts[version_id]
