"""What a new algorithm's repository holds: it builds as it is and answers `hello INPUT`."""

from __future__ import annotations

import json

_MANIFEST = """\
# How the platform builds and serves this repository: docs/reference/slipway-toml.md explains every key.

[algorithm]
name = {name}
sample_input = "world"

# [environment]
# python = "3.11"

# [resources]
# memory = "2 GiB"

# [release]
# on_push = "minor"
"""
_SOURCE = '''\
"""{owner}/{name}."""


def apply(input):
    """Answer one call. `input` is what the caller sent: JSON, text or bytes."""
    return f"hello {{input}}"
'''
_README = """\
# {owner}/{name}

`src/{name}.py` answers calls in `apply(input)`; a function `load()` beside it, if there is one, runs once when a worker
starts. What it imports goes into `requirements.txt`. Every push to `main` is built; `slipway.toml` says how.
"""
_REQUIREMENTS = "# One package a line, such as: scikit-learn>=1.4\n"


def files(owner: str, name: str) -> dict[str, str]:
    """The template's files by path."""
    names = {"owner": owner, "name": name}
    return {
        "README.md": _README.format(**names),
        "requirements.txt": _REQUIREMENTS,
        "slipway.toml": manifest(name),
        f"src/{name}.py": _SOURCE.format(**names),
    }


def manifest(name: str) -> str:
    """The template's slipway.toml."""
    return _MANIFEST.format(name=json.dumps(name))


def is_source(content: bytes, name: str) -> bool:
    """Whether this is the template's own source, whoever owns the algorithm."""
    _, _, rest = content.decode("utf-8", "replace").partition("\n")
    return rest == _SOURCE.partition("\n")[2].format(name=name)


def first_commit(owner: str, name: str, branch: str) -> bytes:
    """A stream for `git fast-import` that makes the template the branch's first commit."""
    message = "Begin from the platform's template\n"
    stream = [f"commit refs/heads/{branch}\ncommitter Slipway <slipway@localhost> now\n".encode(), _data(message)]
    for path, text in files(owner, name).items():
        stream += [f"M 100644 inline {path}\n".encode(), _data(text)]
    return b"".join(stream)


def _data(text: str) -> bytes:
    content = text.encode()
    return b"data %d\n%s\n" % (len(content), content)
