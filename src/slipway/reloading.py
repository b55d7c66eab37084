"""Reading the settings again while the platform runs: what takes effect, what needs a restart."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from slipway import live
from slipway.errors import SettingsError
from slipway.settings import Settings, load_settings


class Reloaded(msgspec.Struct, frozen=True, kw_only=True):
    """What came of reading the settings again."""

    number: int  # of readings since the platform started
    error: str = ""  # what is wrong with them: nothing has changed then
    changed: list[str] = []  # in effect now
    restart: list[str] = []  # differ from what runs, and stay as they were until `slipway up`


class Reloading:
    """Reads settings as `slipway up` did, whose options and environment these are; `settings` is changed in place."""

    def __init__(self, settings: Settings, options: Mapping[str, Any], environ: Mapping[str, str]) -> None:
        self._settings, self._options, self._environ = settings, dict(options), dict(environ)
        self._number = 0
        live.forget(settings)
        _file(settings).unlink(missing_ok=True)

    def reload(self) -> Reloaded:
        """Take over what may change, and leave the answer for `slipway reload`."""
        self._number += 1
        try:
            new = load_settings(self._options, self._environ)
        except SettingsError as error:
            answer = Reloaded(number=self._number, error=str(error))
        else:
            # Where the data lies was settled at the start; a relative path may mean another place by now.
            differing = live.changed(self._settings, msgspec.structs.replace(new, data=self._settings.data))
            live.take_over(self._settings, new)
            live.write(self._settings)
            answer = Reloaded(
                number=self._number, changed=sorted(differing & live.LIVE), restart=sorted(differing - live.LIVE)
            )
        _leave(self._settings, answer)
        return answer


def answered(settings: Settings) -> Reloaded:
    """The last answer that a running platform gave; number 0 before the first."""
    try:
        return msgspec.json.decode(_file(settings).read_bytes(), type=Reloaded)
    except FileNotFoundError:
        return Reloaded(number=0)


def _leave(settings: Settings, answer: Reloaded) -> None:
    temporary = _file(settings).with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(answer))
    os.chmod(temporary, 0o600)
    temporary.replace(_file(settings))


def _file(settings: Settings) -> Path:
    return settings.run_directory / "reload.json"
