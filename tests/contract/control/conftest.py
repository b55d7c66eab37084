"""What the tests of this folder share."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.contract.control.processes import Control, running_control

_numbers = itertools.count()


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Control]:
    """A control of the module's own, below a path with spaces. Its tests use accounts of their own."""
    with running_control(tmp_path_factory.mktemp("control") / "the data") as running:
        yield running


@pytest.fixture
def admin(control: Control) -> Iterator[httpx.Client]:
    """The administrator."""
    with control.admin() as client:
        yield client


@pytest.fixture
def new_account(control: Control) -> Iterator[Callable[[], tuple[str, httpx.Client]]]:
    """Makes users: name and client."""
    clients: list[httpx.Client] = []

    def make() -> tuple[str, httpx.Client]:
        name = f"user{next(_numbers)}"
        clients.append(control.account(name))
        return name, clients[-1]

    yield make
    for client in clients:
        client.close()
