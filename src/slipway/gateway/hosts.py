"""What the host says to a gateway, handed to the dispatcher."""

from __future__ import annotations

import os
from pathlib import Path

from slipway.gateway.dispatch import Dispatcher
from slipway.wire.link import HostLink
from slipway.wire.messages import Exited, GiveBack, Join, Lease, Members, StartFailed, ToGateway


def host_link(path: Path, name: str, dispatcher: Dispatcher) -> HostLink:
    """The gateway's link: what it wants goes out, leases and news of replicas come in."""

    def received(message: ToGateway, descriptors: list[int]) -> None:
        if isinstance(message, Lease) and len(descriptors) == 1:
            dispatcher.leased(message, descriptors.pop())
        elif isinstance(message, Members):
            dispatcher.members(message)
        elif isinstance(message, Exited):
            dispatcher.exited(message)
        elif isinstance(message, StartFailed):
            dispatcher.start_failed(message)
        elif isinstance(message, GiveBack):
            dispatcher.give_back(message)
        for descriptor in descriptors:
            os.close(descriptor)

    join = Join(role="gateway", name=name)
    return HostLink(path, join, ToGateway, received, dispatcher.host_back, dispatcher.host_lost)
