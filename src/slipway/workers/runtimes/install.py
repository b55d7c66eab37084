"""Copies runners and SDK to where every worker can read them, under the name `slipway`."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

_PACKAGE = Path(__file__).parents[2]  # src/slipway
_FOLDERS = ("sdk", "workers/runtimes/python")
_TOP = _PACKAGE / "workers/runtimes/python/path"  # packages that workers find under names of their own


def install_runtimes(target: Path) -> Path:
    """The directory to put on a worker's module path; made once for each content of the runner's files.

    Inside, `slipway` is the SDK, not the platform: an algorithm that imports it gets what is meant for algorithms.
    """
    files = [path for folder in _FOLDERS for path in sorted((_PACKAGE / folder).glob("*.py"))]
    packages = sorted(_TOP.glob("*/*.py"))
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files + packages)).hexdigest()[:16]
    final = target / f"python-{digest}"
    if final.exists():
        return final
    target.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target))
    for path in files:
        _copy(path, temporary / "slipway" / path.relative_to(_PACKAGE))
    for path in packages:
        _copy(path, temporary / path.relative_to(_TOP))
    _copy(_PACKAGE / "sdk" / "__init__.py", temporary / "slipway" / "__init__.py")
    for folder in ("workers", "workers/runtimes"):
        (temporary / "slipway" / folder / "__init__.py").write_text("")
    temporary.chmod(0o755)
    try:
        temporary.rename(final)
    except OSError:
        # Another process was faster.
        shutil.rmtree(temporary)
    return final


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    os.chmod(target, 0o644)
