from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from slipway.workers.runtimes.install import install_runtimes


def test_installs_once_for_each_content(tmp_path: Path) -> None:
    first = install_runtimes(tmp_path)
    marker = first / "marker"
    marker.touch()

    assert install_runtimes(tmp_path) == first
    assert marker.exists()
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


def test_several_processes_may_install_at_once(tmp_path: Path) -> None:
    program = "import sys, pathlib; from slipway.workers.runtimes.install import install_runtimes as i; "
    program += "print(i(pathlib.Path(sys.argv[1])))"
    command = [sys.executable, "-c", program, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(3)]
    found = {process.communicate(timeout=30)[0] for process in processes}

    assert len(found) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_what_is_installed_is_the_sdk_and_readable_by_everyone(tmp_path: Path) -> None:
    installed = install_runtimes(tmp_path)
    program = "import slipway, sys; print(sorted(slipway.__all__)); print(slipway.__file__)"
    command = [sys.executable, "-S", "-c", program]
    said = subprocess.run(
        command, env={"PYTHONPATH": str(installed)}, capture_output=True, text=True, check=True
    ).stdout

    assert "['AlgorithmError', 'CallError', 'InputError', 'UnsupportedError', 'call', 'model', 'secret']" in said
    assert str(installed) in said
    assert all(path.stat().st_mode & 0o004 for path in [installed, *installed.rglob("*")])
