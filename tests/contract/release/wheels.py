"""Wheels made on the fly, so that no test needs a network."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path


def make_wheel(
    folder: Path, name: str, version: str, files: Mapping[str, str] | None = None, requires: Sequence[str] = ()
) -> Path:
    """A pure wheel of the modules in `files`; one module with its version by default."""
    folder.mkdir(parents=True, exist_ok=True)
    information = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    content = {
        **(files or {f"{name}.py": f'VERSION = "{version}"\n'}),
        f"{information}/METADATA": "\n".join(metadata) + "\n",
        f"{information}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*content, f"{information}/RECORD"))
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in {**content, f"{information}/RECORD": record}.items():
            wheel.writestr(file, text)
    return path


def make_slow_wheel(folder: Path) -> Path:
    """The wheel `slow`, whose bytecode takes long enough to compile that something can happen meanwhile."""
    body = "".join(
        f"def function_{number}(a, b=({number}, [a for a in 'ab'])):\n    return a + {number}\n"
        for number in range(400)
    )
    return make_wheel(folder, "slow", "1.0", {f"slow/part_{number}.py": body for number in range(60)})
