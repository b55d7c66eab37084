"""What an algorithm asks of the platform while it loads: hosted data of control, on its owner's behalf."""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import time
from pathlib import Path

from slipway.types import Version
from slipway.wire.acting import PREFIX, Acting, Answer, asked, is_forwarded, told

_RESTART_SECONDS = 5.0  # how long a request waits for a control that is being restarted
_TIMEOUT_SECONDS = 60.0


class ControlDoor:
    """The way to control, for one request at a time of each replica; it is taken in threads."""

    def __init__(self, control: Path, limit: int) -> None:
        self._control, self._limit = control, limit

    async def ask(self, version: Version, fields: dict[str, str], body: bytes) -> Answer:
        """Answer a call-out that came while the version was loading; raises KeyError where fields are missing."""
        verb, target = fields["verb"], fields["target"]
        if not is_forwarded(target):
            return _refusal(403, "while an algorithm loads it may ask for hosted data, and for nothing else")
        acting = Acting(caller=version.owner, algorithm=f"{version.owner}/{version.algorithm}")
        headers = {**asked(fields), **acting.headers()}
        try:
            return await asyncio.to_thread(self._request, verb, f"{PREFIX}{target}", headers, body)
        except (OSError, http.client.HTTPException) as error:
            return _refusal(503, f"the control process is not answering: {error}")

    def _request(self, verb: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = _Connection(self._control)
        try:
            connection.request(verb, target, body or None, headers)
            response = connection.getresponse()
            content = response.read(self._limit + 1)
        finally:
            connection.close()
        if len(content) > self._limit:
            return _refusal(413, f"the answer exceeds {self._limit} bytes: ask for it in ranges")
        return Answer(response.status, told({name.lower(): value for name, value in response.getheaders()}), content)


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("control", timeout=_TIMEOUT_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Wait a little for a control that is being restarted."""
        patience = time.monotonic() + _RESTART_SECONDS
        while True:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(_TIMEOUT_SECONDS)
            try:
                self.sock.connect(str(self._path))
            except (FileNotFoundError, ConnectionRefusedError):
                self.sock.close()
                if time.monotonic() > patience:
                    raise
                time.sleep(0.05)
            else:
                return


def _refusal(status: int, message: str) -> Answer:
    body = json.dumps({"error": {"message": message, "error_type": "SystemError"}}).encode()
    return Answer(status, {"content-type": "application/json"}, body)
