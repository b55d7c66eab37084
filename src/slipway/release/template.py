"""What a new algorithm's repository holds: it builds as it is and answers `hello INPUT`."""

from __future__ import annotations

import io
import json
import re
import tarfile
import time

_MANIFEST = """\
# How the platform builds and serves this repository: docs/reference/slipway-toml.md explains every key.

[algorithm]
name = {name}
sample_input = "world"

{environment}
# [resources]
# memory = "2 GiB"

# [release]
# on_push = "minor"
"""
_SOURCE = '''\
"""{path}."""


def apply(input):
    """Answer one call. `input` is what the caller sent: JSON, text or bytes."""
    return f"hello {{input}}"
'''
_README = """\
# {path}

`src/{name}.py` answers calls in `apply(input)`; a function `load()` beside it, if there is one, runs once when a worker
starts. What it imports goes into `requirements.txt`. Every push to `main` is built; `slipway.toml` says how.
"""
_REQUIREMENTS = "# One package a line, such as: scikit-learn>=1.4\n"
_ENVIRONMENT = '[environment]\npython = "{python}"\n'
_ANY_ENVIRONMENT = '# [environment]\n# python = "3.11"\n'
_PINNED = re.compile(r'^python = "([0-9.]+)"$', re.MULTILINE)


def files(owner: str, name: str, python: str = "") -> dict[str, str]:
    """The template's files by path; `owner` may be empty; `python`: the version that it asks for, as `3.11`."""
    names = {"path": f"{owner}/{name}" if owner else name, "name": name}
    return {
        "README.md": _README.format(**names),
        "requirements.txt": _REQUIREMENTS,
        "slipway.toml": manifest(name, python),
        f"src/{name}.py": _SOURCE.format(**names),
    }


def manifest(name: str, python: str = "") -> str:
    """The template's slipway.toml."""
    environment = _ENVIRONMENT.format(python=python) if python else _ANY_ENVIRONMENT
    return _MANIFEST.format(name=json.dumps(name), environment=environment)


def is_manifest(text: str, name: str) -> bool:
    """Whether this is the template's own slipway.toml, whatever Python it was made for."""
    pinned = _PINNED.search(text)
    return text == manifest(name, pinned[1] if pinned else "")


def is_source(content: bytes, name: str) -> bool:
    """Whether this is the template's own source, whoever owns the algorithm."""
    _, _, rest = content.decode("utf-8", "replace").partition("\n")
    return rest == _SOURCE.partition("\n")[2].format(name=name)


def archive(owner: str, name: str, python: str = "") -> bytes:
    """The same as a tar.gz."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for path, text in files(owner, name, python).items():
            content = text.encode()
            member = tarfile.TarInfo(path)
            member.size, member.mode, member.mtime = len(content), 0o644, int(time.time())
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def first_commit(owner: str, name: str, branch: str, python: str = "") -> bytes:
    """A stream for `git fast-import` that makes the template the branch's first commit."""
    message = "Begin from the platform's template\n"
    stream = [f"commit refs/heads/{branch}\ncommitter Slipway <slipway@localhost> now\n".encode(), _data(message)]
    for path, text in files(owner, name, python).items():
        stream += [f"M 100644 inline {path}\n".encode(), _data(text)]
    return b"".join(stream)


def _data(text: str) -> bytes:
    content = text.encode()
    return b"data %d\n%s\n" % (len(content), content)
