"""The client that commands use, made from the options given before the command."""

from __future__ import annotations

from slipway.client import Client
from slipway.connection import ClientError

_given: dict[str, str | None] = {"api": None, "key": None}


def configure(api: str | None, key: str | None) -> None:
    """Remember what was given on the command line."""
    _given.update(api=api, key=key)


def given() -> tuple[str | None, str | None]:
    """Address and key as given on the command line."""
    return _given["api"], _given["key"]


def connect(timeout: float = 300.0) -> Client:
    """A client with a key; raises ClientError where none is known."""
    client = Client(*given(), timeout=timeout)
    if not client.key:
        raise ClientError(f"no API key is known for {client.api}: run `slipway login`, or set SLIPWAY_API_KEY")
    return client


def named(client: Client, algorithm: str) -> str:
    """`owner/name`, where the name alone means one of the caller's own."""
    return algorithm if "/" in algorithm else f"{client.whoami().username}/{algorithm}"
