"""Makes one environment in a process that can be killed: `… environment_process DATA WHEELS DIRECTORY`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from slipway.release.environments import Environments
from slipway.release.hosts import Hosts
from slipway.release.interpreters import Interpreters
from slipway.release.requirements import read_requirements
from slipway.settings import Settings


async def main(data: str, wheels: str, directory: str) -> None:
    """Use the host that runs on `data`."""
    settings = Settings(data=data, find_links=wheels, offline=True)
    hosts = Hosts(settings.host_socket, "other")
    hosts.start()
    environments = Environments(settings, hosts)
    interpreter = await Interpreters().choose("")
    requirements = read_requirements(Path(directory), "requirements.txt")
    lock = await environments.lock("ann", requirements, interpreter, "cpu", print)
    await environments.ensure("ann", lock.text, (), interpreter, "cpu", print)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
