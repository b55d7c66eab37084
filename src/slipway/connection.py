"""One HTTP connection to a platform: the key on every request, every error in one form."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, TypeVar

import httpx
import msgspec

from slipway.credentials import Credentials
from slipway.errors import SlipwayError

T = TypeVar("T")

_CONNECT_SECONDS = 10.0


class ClientError(SlipwayError):
    """The platform refused, or could not be reached. The message says why, on one line.

    `http_status` is 0 where there was no answer.
    """

    def __init__(self, message: str, http_status: int = 0, kind: str = "", stack_trace: str = "") -> None:
        super().__init__(message)
        self.message, self.http_status, self.kind, self.stack_trace = message, http_status, kind, stack_trace


class AlgorithmFailed(ClientError):
    """The algorithm answered with an error: `kind` is its error type, `stack_trace` where it was raised."""


class Connection:
    """Requests to one platform with one key."""

    def __init__(self, credentials: Credentials, timeout: float) -> None:
        self.api, self.key = credentials.api, credentials.key
        headers = {"Authorization": f"Simple {self.key}"} if self.key else {}
        limits = httpx.Timeout(timeout, connect=_CONNECT_SECONDS)
        try:
            self._http = httpx.Client(base_url=self.api, headers=headers, timeout=limits, follow_redirects=True)
        except (httpx.InvalidURL, ValueError) as error:
            raise ClientError(f"{self.api!r} is no address of a platform: {error}") from error

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401 - httpx's options
        """One request; raises ClientError for anything but success."""
        with self._reporting(path):
            response = self._http.request(method, path, **options)
            _raise_for(response)
            return response

    @contextlib.contextmanager
    def stream(self, method: str, path: str, **options: Any) -> Iterator[httpx.Response]:  # noqa: ANN401
        """As `request`, the body not yet read. It may take for ever to come."""
        with self._reporting(path), self._http.stream(method, path, **options) as response:
            if response.is_error:
                response.read()
            _raise_for(response)
            yield response

    def decoded(self, kind: type[T], method: str, path: str, **options: Any) -> T:  # noqa: ANN401
        """The JSON that a request is answered with."""
        return self._decode(kind, self.request(method, path, **options))

    def _decode(self, kind: type[T], response: httpx.Response) -> T:
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.MsgspecError as error:
            raise ClientError(f"{self.api} does not answer as a Slipway platform does: {error}") from error

    @contextlib.contextmanager
    def _reporting(self, path: str) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise ClientError(f"{self.api} took too long to answer {path}") from error
        except httpx.TransportError as error:
            raise ClientError(f"{self.api} cannot be reached: {error}") from error
        except httpx.InvalidURL as error:
            raise ClientError(f"{self.api}{path} is no address: {error}") from error


def _raise_for(response: httpx.Response) -> None:
    if response.is_success:
        return
    message, kind = _said(response)
    if response.status_code == 401:
        message = f"the API key was refused ({message}): run `slipway login`, or set SLIPWAY_API_KEY"
    raise ClientError(message, response.status_code, kind)


def _said(response: httpx.Response) -> tuple[str, str]:
    """The message and the error type of a refusal."""
    header = response.headers.get("X-Error-Message", "")
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return header or f"the platform answered {response.status_code} {response.reason_phrase}", ""
    if isinstance(error, dict):
        return header or str(error.get("message", error)), str(error.get("error_type", ""))
    return header or str(error), ""
