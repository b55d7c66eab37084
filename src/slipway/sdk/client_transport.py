"""The published `Algorithmia` client inside an algorithm: its requests become requests to the platform.

The client talks through `requests`, whose extension point this is: a transport adapter for the addresses at which the
client believes the platform to be. It needs no key, and one that it was given is not used: the platform knows on whose
behalf the call runs. `requests` is handed in, since only the environment knows whether it has it.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
from http.client import responses
from typing import Any, Callable, List

# What `ALGORITHMIA_API` says inside a worker. No name server knows a name that ends so.
ADDRESS = "http://platform.slipway.invalid"
# The second is what the client takes where nobody names an address, and what old code names.
_ADDRESSES = (f"{ADDRESS}/", "https://api.algorithmia.com/")
_INSTALLED = "slipway_transport"

Request = Callable[..., Any]  # as slipway.sdk.platform.request


def connect_client(request: Request) -> None:
    """Lead the environment's `Algorithmia` client to the platform; does nothing where it is not installed."""
    if importlib.util.find_spec("Algorithmia") is None:
        return
    try:
        requests = importlib.import_module("requests")
    except ImportError:
        return  # whoever imports the client will be told
    install(requests, request)


def install(requests: Any, request: Request) -> None:
    """Give every session that is made from now on the platform's adapter."""
    if hasattr(requests.Session, _INSTALLED):
        return
    adapter = Adapter(requests, request)
    make = requests.Session.__init__

    def with_adapter(session: Any, *arguments: Any, **named: Any) -> None:
        make(session, *arguments, **named)
        for address in _ADDRESSES:
            session.mount(address, adapter)

    requests.Session.__init__ = with_adapter
    setattr(requests.Session, _INSTALLED, True)


class Adapter:
    """A transport adapter, as `requests.Session.mount` takes it."""

    def __init__(self, requests: Any, request: Request) -> None:
        self._requests, self._request = requests, request

    def send(self, request: Any, **_: Any) -> Any:
        """Send a prepared request; the options of connections mean nothing here. Raises requests' ConnectionError."""
        target = "/" + request.path_url.lstrip("/")
        content_type = _text(request.headers.get("Content-Type")) or "application/octet-stream"
        try:
            reply = self._request(request.method, target, _body(request.body), content_type)
        except Exception as error:
            raise self._requests.exceptions.ConnectionError(str(error), request=request) from error
        return self._response(request, reply)

    def close(self) -> None:
        """Nothing is held."""

    def _response(self, request: Any, reply: Any) -> Any:
        response = self._requests.Response()
        response.status_code = reply.status
        response.reason = responses.get(reply.status, "")
        response.headers.update(reply.headers)
        if reply.content_type:
            response.headers["Content-Type"] = reply.content_type
        response.encoding = self._requests.utils.get_encoding_from_headers(response.headers)
        response.raw = io.BytesIO(reply.body)
        response.url, response.request, response.connection = request.url, request, self
        return response


def _body(body: Any) -> bytes:
    """Of text, bytes, a file or chunks."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, (bytes, bytearray)):
        return bytes(body)
    if hasattr(body, "read"):
        return _body(body.read())
    chunks: List[bytes] = [_body(chunk) for chunk in body]
    return b"".join(chunks)


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value or ""
