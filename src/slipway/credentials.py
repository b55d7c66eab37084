"""Where a client finds the platform's address and its key."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

DEFAULT_API = "http://127.0.0.1:8080"
_API_VARIABLES = ("SLIPWAY_API", "ALGORITHMIA_API")
_KEY_VARIABLES = ("SLIPWAY_API_KEY", "ALGORITHMIA_API_KEY")


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """An address and a key; the key is empty where none is known."""

    api: str
    key: str


def config_file(environ: Mapping[str, str] = os.environ) -> Path:
    """`slipway/config.toml` in the user's configuration directory."""
    base = environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "slipway" / "config.toml"


def find_credentials(
    api: str | None = None, key: str | None = None, environ: Mapping[str, str] = os.environ
) -> Credentials:
    """What is given, else the environment, else what `slipway login` has kept.

    A kept key goes with the address it was kept for, and with no other.
    """
    kept = _kept(config_file(environ))
    api = (api or _first(environ, _API_VARIABLES) or kept.api or DEFAULT_API).rstrip("/")
    api = api if "://" in api else f"http://{api}"
    key = key or _first(environ, _KEY_VARIABLES) or (kept.key if kept.api == api else "")
    return Credentials(api=api, key=key)


def keep_credentials(credentials: Credentials, file: Path | None = None) -> Path:
    """Write the configuration file, mode 0600; returns where it is."""
    file = file or config_file()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        # JSON's text form is TOML's too, for what an address and a key can hold.
        out.write(f"api = {json.dumps(credentials.api)}\nkey = {json.dumps(credentials.key)}\n")
    temporary.replace(file)
    return file


def _kept(file: Path) -> Credentials:
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        values = {}
    return Credentials(api=str(values.get("api", "")), key=str(values.get("key", "")))


def _first(environ: Mapping[str, str], names: tuple[str, ...]) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")
