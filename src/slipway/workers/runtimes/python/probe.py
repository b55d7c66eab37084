"""Tries whether this machine has what sandboxes are made of: exits with 0, or says on the last line why not."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from typing import Callable, Optional

from slipway.workers.runtimes.python import confinement, kernel


def own_users() -> None:
    """Have a user namespace, in which this process is root over mounts of its own. Raises OSError.

    It must not have a second thread.
    """
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(kernel.NEW_USER | kernel.NEW_MOUNTS)
    for file, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
        with open(f"/proc/self/{file}", "w") as setting:
            setting.write(text)


def main() -> None:
    """Do in a child what the host's spawner would."""
    if os.geteuid() != 0:
        own_users()
    with tempfile.TemporaryDirectory() as root:
        kernel.unshare(kernel.NEW_PID)
        sys.exit(_status_of(lambda: _make_space(root)))


def _make_space(root: str) -> int:
    own_ids = os.open("/proc/self/ns/pid", os.O_RDONLY)
    kernel.unshare(kernel.NEW_PID)
    status = _status_of(lambda: confinement.found({"root": root, "read": []}))
    kernel.join(own_ids, kernel.NEW_PID)
    return status


def _status_of(work: Callable[[], Optional[int]]) -> int:
    """The exit status of a child that does this."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = work() or 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main()
