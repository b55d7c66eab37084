"""Git's post-receive hook: tells the platform of a push to the default branch and prints its build log as it grows.

Git runs it with the repository as the working directory; what it prints reaches the pusher as `remote:` lines.
The push is complete before it starts: nothing here can undo it.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("control", timeout=None)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def main() -> int:
    """Read the updated references from standard input and follow the build of the default branch's."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    default = _default_branch()
    for line in sys.stdin:
        _, new, reference = line.split()
        if reference != default:
            _say(f"{_short(reference)} is kept but not built: pushes to {_short(default)} are")
        elif set(new) == {"0"}:
            _say(f"{_short(reference)} was deleted: nothing is built, what is live stays")
        else:
            _follow(new, reference)
    return 0


def _follow(commit: str, reference: str) -> None:
    try:
        _stream(commit, reference)
    except KeyboardInterrupt:
        _say("the push is kept and its build goes on; see its log with: slipway logs -f")
    except (OSError, http.client.HTTPException) as error:
        _say(f"the push is kept, but the platform does not answer just now ({error}): it is built when that is back")


def _stream(commit: str, reference: str) -> None:
    connection = _UnixConnection(os.environ["SLIPWAY_INTERNAL_SOCKET"])
    push = {
        "owner": os.environ["SLIPWAY_OWNER"],
        "name": os.environ["SLIPWAY_NAME"],
        "actor": os.environ["SLIPWAY_ACTOR"],
        "commit": commit,
        "ref": reference,
    }
    connection.request("POST", "/pushes", json.dumps(push), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    if answer.status != 200:
        _say(f"the push is kept, but could not be built: {answer.read(1000).decode(errors='replace').strip()}")
        return
    for line in answer:
        _say(line.decode(errors="replace").rstrip("\r\n"))


def _default_branch() -> str:
    with open("HEAD", encoding="utf-8") as head:
        return head.read().partition("ref:")[2].strip()


def _short(reference: str) -> str:
    return reference.removeprefix("refs/heads/")


def _say(line: str) -> None:
    # At once and whole: git makes a `remote:` line of whatever it reads.
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
