"""Why a build failed, in one line that says what to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from slipway.types import AlgorithmFailure

# Distributions whose name is not that of what they let one import.
DISTRIBUTIONS: Final = {
    "Algorithmia": "algorithmia",
    "Bio": "biopython",
    "Crypto": "pycryptodome",
    "MySQLdb": "mysqlclient",
    "OpenSSL": "pyOpenSSL",
    "PIL": "Pillow",
    "attr": "attrs",
    "bs4": "beautifulsoup4",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "docx": "python-docx",
    "dotenv": "python-dotenv",
    "faiss": "faiss-cpu",
    "fitz": "PyMuPDF",
    "github": "PyGithub",
    "google.protobuf": "protobuf",
    "jwt": "PyJWT",
    "Levenshtein": "python-Levenshtein",
    "magic": "python-magic",
    "mpl_toolkits": "matplotlib",
    "nacl": "PyNaCl",
    "pkg_resources": "setuptools",
    "pptx": "python-pptx",
    "psycopg2": "psycopg2-binary",
    "serial": "pyserial",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "slugify": "python-slugify",
    "umap": "umap-learn",
    "usb": "pyusb",
    "yaml": "PyYAML",
    "zmq": "pyzmq",
}
_MISSING = re.compile(r"No module named '([^']+)'")
_FRAME = re.compile(r'File "([^"]+)", line (\d+)')
_LABEL = re.compile(r"^[\s\W]*(?:(?:error|cause|Caused by):)?")  # uv draws trees with arrows and crosses
_OFFLINE = " (the platform is offline: only its wheel folder and cache are used)"
_LONGEST = 600


def explain_check(failure: AlgorithmFailure, directory: str, sampled: bool) -> str:
    """Why a version that was built does not load, or does not answer its sample input."""
    text = f"{failure.message}\n{failure.stack_trace}"
    if missing := _MISSING.search(text):
        return explain_import(missing[1])
    place = _place(failure.stack_trace, directory)
    last = _last_line(failure)
    if "SyntaxError" in text or "IndentationError" in text:
        return f"{last}{place}"
    if sampled and failure.error_type not in ("LoadingError", "InitializationError"):
        return f"the sample input is answered with {last}{place}"
    return f"it does not load: {last}{place}"


def explain_import(module: str) -> str:
    """`No module named 'x'`, with the distribution that holds it.

    >>> explain_import("sklearn.linear_model")
    "No module named 'sklearn.linear_model': add scikit-learn to requirements.txt"
    """
    top = module.partition(".")[0]
    distribution = DISTRIBUTIONS.get(module) or DISTRIBUTIONS.get(top) or top
    return f"No module named {module!r}: add {distribution} to requirements.txt"


def explain_uv(lines: Sequence[str], otherwise: str, offline: bool = False) -> str:
    """What uv printed, condensed to its reason."""
    causes = [cause for line in lines if (cause := _LABEL.sub("", line).strip())]
    because = next((cause for cause in causes if cause.startswith("Because ")), "")
    if because:
        return f"{otherwise}: {_conflict(because)}{_OFFLINE if offline and 'not found' in because else ''}"
    if missing := next(filter(None, map(_MISSING.search, causes)), None):
        return f"{otherwise}: building it needs {missing[1]!r}: pin a version that has a wheel"
    said = "; ".join(causes[:3])[:_LONGEST]
    return f"{otherwise}: {said}" if said else otherwise


def _conflict(because: str) -> str:
    reason = because.partition(", we can conclude")[0].removeprefix("Because ")
    reason = re.sub(r" in the package registry| in the provided package locations", "", reason)
    return reason.replace("you require", "requirements.txt asks for")[:_LONGEST]


def _last_line(failure: AlgorithmFailure) -> str:
    lines = [line.strip() for line in failure.stack_trace.splitlines() if line.strip()]
    if lines and re.match(r"[\w.]+(:|$)", lines[-1]) and not lines[-1].startswith("File "):
        return lines[-1][:_LONGEST]
    return f"{failure.error_type}: {' '.join(failure.message.split())}"[:_LONGEST]


def _place(trace: str, directory: str) -> str:
    """` (src/echo.py line 3)`, the innermost place in the author's own files."""
    for file, line in reversed(_FRAME.findall(trace)):
        if file.startswith(f"{directory}/"):
            return f" ({file[len(directory) + 1 :]} line {line})"
        if not file.startswith(("/", "<")):
            return f" ({file} line {line})"
    return ""
