"""What runs on a data directory at this moment."""

from __future__ import annotations

import fcntl
import os

from slipway.errors import CapacityError
from slipway.release.hosts import Hosts
from slipway.settings import Settings


def is_running(settings: Settings) -> bool:
    """Whether a platform holds the data directory's lock."""
    try:
        descriptor = os.open(settings.run_directory / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


async def versions_in_use(settings: Settings) -> set[str]:
    """Ids of the versions that have replicas. Raises CapacityError where the platform runs and does not say."""
    if not is_running(settings):
        return set()
    hosts = Hosts(settings.host_socket, "gc")
    hosts.start()
    try:
        return {replica.version_id for replica in (await hosts.inspect(15.0)).replicas}
    except TimeoutError as error:
        raise CapacityError("the host does not say which versions run: try again when it does") from error
    finally:
        hosts.stop()
