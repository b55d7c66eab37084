"""A systemd unit for the platform on a data directory."""

from __future__ import annotations

import getpass
import os
import sys

from slipway.settings import Settings

_STOP_MARGIN_SECONDS = 30
# What would break the platform is left out: RestrictNamespaces and NoNewPrivileges (sandboxes), PrivateDevices (GPUs),
# MemoryDenyWriteExecute (compilers inside models), ProtectHome (data and environments of ordinary users).
_HARDENING = """\
ProtectSystem=full
ProtectClock=yes
ProtectHostname=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
LockPersonality=yes
RestrictRealtime=yes
"""
_UNIT = """\
[Unit]
Description=Slipway on {data}
Documentation=https://www.freedesktop.org/software/systemd/man/systemd.service.html
{network}
[Service]
Type=notify
ExecStart={python} -m slipway.cli.main up --data {data}
ExecReload={python} -m slipway.cli.main reload --data {data}
Restart=on-failure
RestartSec=2
# The settings, the port or the data directory are at fault: trying again does not help.
RestartPreventExitStatus=2
TimeoutStartSec=120
TimeoutStopSec={stop}
# The supervisor drains the calls in flight and ends its processes itself.
KillMode=mixed
Delegate=yes
OOMPolicy=continue
LimitNOFILE=65536
{user}{hardening}
[Install]
WantedBy={target}
"""


def unit(settings: Settings, *, user: bool) -> str:
    """The unit's text; `user`: for a user's own systemd, which cannot harden."""
    account = "" if user or os.geteuid() == 0 else f"User={getpass.getuser()}\n"
    return _UNIT.format(
        data=_quoted(str(settings.root)),
        python=_quoted(sys.executable),
        network="" if user else "Wants=network-online.target\nAfter=network-online.target\n",
        stop=int(settings.drain_seconds) + _STOP_MARGIN_SECONDS,
        user=account,
        hardening="" if user else _HARDENING,
        target="default.target" if user else "multi-user.target",
    )


def _quoted(word: str) -> str:
    """As one word of a command line: systemd expands % and splits at spaces."""
    word = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{word}"' if " " in word or '"' in word else word
