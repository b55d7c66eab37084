"""A host for each test; nothing of it may be left behind."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conditions import eventually
from tests.contract.workers.hosts import Control, Gateway, Host, gone


@pytest.fixture
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A running host, with the settings of the test's mark `settings`; ends with the test, and everything below it."""
    root = Path(tempfile.mkdtemp(prefix="host"))
    mark = request.node.get_closest_marker("settings")
    # How processes are started and end is seen best from outside of sandboxes, which have tests of their own.
    host = Host(root, **{"sandbox": "none", **(mark.kwargs if mark else {})})
    yield host
    left = host.processes()
    status = host.end()
    eventually(lambda: gone(left))
    shutil.rmtree(root)
    assert status in (0, -signal.SIGKILL)


@pytest.fixture
def gateway(host: Host) -> Iterator[Gateway]:
    """The gateway `gateway-0`."""
    gateway = Gateway(host)
    yield gateway
    gateway.close()


@pytest.fixture
def control(host: Host) -> Iterator[Control]:
    """Control."""
    control = Control(host)
    yield control
    control.close()
