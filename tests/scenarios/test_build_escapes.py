"""A package that is built from its source tries to get out of the build, and brings along what it has found."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from slipway.testing import Platform
from slipway.workers.sandbox.levels import strength
from tests.contract.release.wheels import make_wheel

pytestmark = pytest.mark.skipif(strength().level != "namespaces", reason=f"no namespaces here: {strength().missing}")

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
# A build backend (PEP 517) of a few lines, which first does what SPYING says.
BACKEND = """
import json, os, zipfile

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    found = {}
    for name, attempt in json.loads(SPYING).items():
        scope = {"os": os, "_runs_the_platform": lambda p: "slipway.app" in open(f"/proc/{p}/cmdline").read()}
        try:
            exec(attempt, scope)
            found[name] = scope.get("result")
        except Exception as error:
            found[name] = type(error).__name__
    path = os.path.join(wheel_directory, "spy-1.0-py3-none-any.whl")
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("spy.py", f"FOUND = {found!r}\\n")
        wheel.writestr("spy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: spy\\nVersion: 1.0\\n")
        wheel.writestr("spy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("spy-1.0.dist-info/RECORD", "")
    return os.path.basename(path)
"""
SOURCE = "import spy\n\ndef apply(input):\n    return spy.FOUND\n"


def make_source_distribution(folder: Path, attempts: dict[str, str]) -> None:
    """`spy-1.0.tar.gz`, whose build makes these attempts."""
    folder.mkdir()
    files = {
        "pyproject.toml": PROJECT,
        "backend.py": f"SPYING = {json.dumps(attempts)!r}\n{BACKEND}",
        "PKG-INFO": "Metadata-Version: 2.1\nName: spy\nVersion: 1.0\n",
    }
    with tarfile.open(folder / "spy-1.0.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"spy-1.0/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))


def test_a_build_reaches_nothing_but_what_it_builds(tmp_path: Path) -> None:
    data, wheels = tmp_path / "data", tmp_path / "wheels"
    reads = {
        "store": data / "store.db",
        "master key": data / "secrets.key",
        "admin's key": data / "admin.key",
        "repositories": data / "git",
        "another's model": data / "files",
        "journal": data / "journal",
        "socket": data / "run" / "host.sock",
        "shadow": Path("/etc/shadow"),
        "operator": Path.home(),
    }
    attempts = {name: f"result = os.listdir({str(path)!r}) or 'empty'" for name, path in reads.items()}
    attempts |= {
        "processes": "result = [p for p in os.listdir('/proc') if p.isdigit() and _runs_the_platform(p)]",
        "environment": "open('/usr/lib/new', 'w')",
        "other environments": f"result = os.listdir({str(data / 'environments')!r})",
        "user": "result = os.getuid()",
        "privileges": "os.setuid(0) if os.getuid() else os.chroot('/tmp')",
        "signal": f"os.kill({os.getpid()}, 0)",
        "scratch": "open('scribble', 'w').write('x'); result = 'written'",
    }
    make_source_distribution(wheels, attempts)
    with Platform(data, find_links=wheels, offline=1) as platform:
        key = platform.account("ann")
        platform.request("POST", "/v1/data/ann", key, json={"name": "models"})
        platform.deploy("ann", "spying", key, SOURCE, "spy")
        platform.publish("ann", "spying", key)
        found: dict[str, Any] = platform.request("POST", "/v1/algo/ann/spying", key, json=1).json()["result"]
        (interpreter,) = (data / "environments").glob("*/bin/python")
        installed = next(interpreter.parents[1].rglob("spy.py"))

    assert found.pop("scratch") == "written"
    assert found.pop("processes") == []
    assert found.pop("other environments") in ("FileNotFoundError", "PermissionError", ["building"])
    assert found.pop("environment") in ("OSError", "PermissionError")
    user = found.pop("user")
    assert (user >= 200_000) is (os.geteuid() == 0)
    assert found.pop("privileges") == "PermissionError"
    assert found.pop("signal") == "ProcessLookupError"
    assert {name: seen for name, seen in found.items() if seen not in ("FileNotFoundError", "PermissionError")} == {}
    assert installed.stat().st_uid == os.geteuid()


def test_what_a_package_leaves_in_a_pth_file_is_not_run_by_the_platform(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    wheels = tmp_path / "wheels"
    line = f"import os; open({str(trace)!r}, 'a').write(str(os.getuid()))\n"
    make_wheel(wheels, "sly", "1.0", {"sly.py": "", "sly.pth": line})
    with Platform(tmp_path / "data", find_links=wheels, offline=1) as platform:
        key = platform.account("ann")
        platform.deploy("ann", "slow", key, "import sly\n\ndef apply(input):\n    return input\n", "sly")
        platform.publish("ann", "slow", key)
        assert platform.request("POST", "/v1/algo/ann/slow", key, json=1).json()["result"] == 1

    assert not trace.exists()
