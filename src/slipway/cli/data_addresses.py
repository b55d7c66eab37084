"""Addresses of hosted data as they are written on a command line, patterns included."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator

import typer

from slipway.connection import ClientError
from slipway.hosted_data import HostedData

SCHEME = "data://"


def is_hosted(place: str) -> bool:
    """Whether it is of hosted data rather than of this machine."""
    return place.startswith(SCHEME)


def hosted(place: str) -> str:
    """The address without a slash at its end; raises typer.BadParameter for what is none."""
    if not is_hosted(place):
        raise typer.BadParameter(
            f"{place!r} is no address of hosted data: write data://OWNER/DIRECTORY, or data://.my/…"
        )
    return SCHEME + place.removeprefix(SCHEME).strip("/")


def parted(address: str) -> tuple[str, str]:
    """The directory above and the last part."""
    parent, _, name = address.removeprefix(SCHEME).rpartition("/")
    return SCHEME + parent, name


def joined(address: str, name: str) -> str:
    """What lies in a directory under a name."""
    return f"{address.rstrip('/')}/{name}" if address != SCHEME else SCHEME + name


def expanded(data: HostedData, places: Iterable[str]) -> Iterator[str]:
    """The addresses, each pattern replaced by what fits it; raises ClientError where nothing does."""
    for address in map(hosted, places):
        parent, pattern = parted(address)
        if not any(sign in pattern for sign in "*?["):
            yield address
            continue
        found = [one.name for one in data.list(parent) if fnmatch.fnmatchcase(one.name, pattern)]
        if not found:
            raise ClientError(f"nothing fits {address}")
        yield from (joined(parent, name) for name in found)
