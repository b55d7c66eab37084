"""Requests of an algorithm to the platform that runs it: other algorithms, hosted data.

Inside a worker they go over the worker's own socket, on behalf of whoever calls the algorithm; while it loads, of its
owner. Elsewhere, in a notebook or a test, they go over HTTP to the address in `SLIPWAY_API` or `ALGORITHMIA_API`, with
the key in the variable of the same name and `_KEY`.
"""

from __future__ import annotations

import io
import os
import re
from typing import IO, Callable, Dict, NamedTuple, Optional

PART_BYTES = 8 * 1024 * 1024  # of a large file, fetched in one request
_DATA = ("/v1/data/", "/v1/connector/")
_TOTAL = re.compile(r"bytes \d+-\d+/(\d+)")


class Response(NamedTuple):
    """What came back. Names of headers are in lower case."""

    status: int
    content_type: str
    headers: Dict[str, str]
    body: bytes


Ask = Callable[[str, str, bytes, Dict[str, str]], Response]  # verb, target, body, headers

_inside: Optional[Ask] = None  # how a worker asks


def is_connected() -> bool:
    """Whether this process is a worker."""
    return _inside is not None


class NoPlatform(Exception):
    """Nobody is there to be asked: not in a worker, and no address in `SLIPWAY_API`."""


def connect(ask: Ask) -> None:
    """This process is a worker; `ask` is its way to the platform."""
    global _inside
    _inside = ask


def request(
    verb: str, target: str, body: bytes = b"", content_type: str = "application/octet-stream", accept: str = ""
) -> Response:
    """Ask for a path of the public API, with its query: `/v1/algo/OWNER/NAME`, `/v1/data/OWNER/DIRECTORY/FILE`.

    A large file comes in parts, joined here. Statuses of errors are answers like others. Raises NoPlatform, OSError
    where the platform cannot be reached, RuntimeError outside of a call.
    """
    headers = {"content-type": content_type}
    if accept:
        headers["accept"] = accept
    if verb != "GET" or not target.startswith(_DATA):
        return _ask(verb, target, body, headers)
    return _whole(target, headers)


def download(target: str, file: IO[bytes]) -> Response:
    """Write what lies at a path of hosted data into `file`, one part of it in memory at a time.

    The answer has no body then; where its status is not 200, it is as `request` gives it. Raises what `request` does.
    """
    return _write(target, {}, file)


def _whole(target: str, headers: Dict[str, str]) -> Response:
    content = io.BytesIO()
    answer = _write(target, headers, content)
    return answer if answer.status != 200 else answer._replace(body=content.getvalue())


def _write(target: str, headers: Dict[str, str], file: IO[bytes]) -> Response:
    first = _ask("GET", target, b"", {**headers, "range": f"bytes=0-{PART_BYTES - 1}"})
    if first.status == 416:  # an empty file has no first byte
        first = _ask("GET", target, b"", headers)
    if first.status not in (200, 206):
        return first
    match = _TOTAL.fullmatch(first.headers.get("content-range", ""))
    total = int(match.group(1)) if match else len(first.body)
    file.write(first.body)
    fetched = len(first.body)
    while fetched < total:
        part = _ask("GET", target, b"", {**headers, "range": f"bytes={fetched}-{fetched + PART_BYTES - 1}"})
        if part.status >= 400:
            return part
        if part.status != 206 or part.headers.get("etag") != first.headers.get("etag") or not part.body:
            # Another file has taken its place.
            file.seek(0)
            file.truncate()
            return _write(target, headers, file)
        file.write(part.body)
        fetched += len(part.body)
    told = {name: value for name, value in first.headers.items() if name != "content-range"}
    return Response(200, first.content_type, {**told, "content-length": str(fetched)}, b"")


def _ask(verb: str, target: str, body: bytes, headers: Dict[str, str]) -> Response:
    if _inside is not None:
        return _inside(verb, target, body, headers)
    for name in ("SLIPWAY_API", "ALGORITHMIA_API"):
        if os.environ.get(name):
            return _over_http(os.environ[name], os.environ.get(f"{name}_KEY", ""), verb, target, body, headers)
    raise NoPlatform("no platform to ask: set SLIPWAY_API to its address and SLIPWAY_API_KEY to a key")


def _over_http(address: str, key: str, verb: str, target: str, body: bytes, headers: Dict[str, str]) -> Response:
    if key:
        headers = {**headers, "authorization": f"Simple {key}"}
    url = address.rstrip("/") + target
    if not url.startswith(("http://", "https://")):
        raise NoPlatform(f"{address} is no address of a platform: write http://HOST:PORT")
    # Some megabytes that no worker needs.
    import urllib.error
    import urllib.request

    data = body if verb in ("POST", "PUT", "PATCH") else None
    asked = urllib.request.Request(url, data, headers, method=verb)  # noqa: S310 - checked above
    try:
        answer = urllib.request.urlopen(asked)  # noqa: S310
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        told = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status or 0, told.get("content-type", ""), told, answer.read())
