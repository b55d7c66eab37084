"""From what user code raised to the common API's error type, a message and a stack trace."""

from __future__ import annotations

import os
import traceback
from typing import Any, Tuple

from slipway.sdk import frames
from slipway.workers.runtimes.python.values import ResultError, UnreadableInput

# Raised by user code, these end the worker once it has answered.
FATAL = (MemoryError, SystemExit, KeyboardInterrupt)

_MESSAGE_LIMIT = 8 * 1024
_TRACE_LIMIT = 64 * 1024
_HERE = os.path.dirname(os.path.abspath(__file__))
_SDK = os.path.dirname(os.path.abspath(frames.__file__))
_MACHINERY = (_HERE, _SDK, "<frozen importlib", os.path.dirname(os.__file__) + "/asyncio/")
# The common API's error types that an author's own class may be named after.
DECLARED_TYPES = frozenset(
    {"AlgorithmError", "InputError", "UnsupportedError", "InitializationError", "LoadingError", "OutOfGpuMemoryError"}
    | {"LanguageError", "TooLargeError", "ParsingError", "EntityNotFoundError", "ThirdPartyCredentialError"}
)


class Cancelled(Exception):
    """Nobody waits for the call any more."""

    error_type = "TimeoutError"

    def __init__(self) -> None:
        super().__init__("the call was cancelled")


def describe(error: BaseException, plain: bool = False) -> Tuple[str, str, str]:
    """Error type, message, stack trace without the platform's frames; never raises.

    `plain`: the message is the error's text alone, without the name of its class.
    """
    kind, message = _kind(error, plain)
    return kind[:200], message[:_MESSAGE_LIMIT], stack_trace(error)


def describe_loading(error: BaseException, plain: bool = False) -> Tuple[str, str, str]:
    """The same, for what import or `load()` raised."""
    if isinstance(error, MemoryError):
        return describe(error)
    return "LoadingError", _message(error, plain)[:_MESSAGE_LIMIT], stack_trace(error)


def stack_trace(error: BaseException) -> str:
    """The traceback as text, without the platform's own frames; the last 64 KiB of it."""
    if isinstance(error, (ResultError, UnreadableInput, Cancelled)):
        return ""
    try:
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_MACHINERY):
            trace = trace.tb_next
        return "".join(traceback.format_exception(type(error), error, trace))[-_TRACE_LIMIT:]
    except BaseException:
        # An author's class may fail to print itself, and memory may be used up.
        return ""


def _kind(error: BaseException, plain: bool) -> Tuple[str, str]:
    if isinstance(error, MemoryError):
        return "OutOfMemoryError", "the algorithm passed its memory limit"
    if isinstance(error, (SystemExit, KeyboardInterrupt)):
        return "SystemExit", f"the algorithm called sys.exit({getattr(error, 'code', '')!r:.100})"
    declared: Any = getattr(error, "error_type", None)
    if isinstance(declared, str) and declared:
        return declared, _message(error, plain)
    name = type(error).__name__
    return name if name in DECLARED_TYPES else "AlgorithmError", _message(error, plain)


def _message(error: BaseException, plain: bool) -> str:
    try:
        text = str(error)
    except BaseException:
        text = "the error's text cannot be read"
    name = type(error).__name__
    if plain and text:
        return text
    if hasattr(error, "error_type") or isinstance(error, ResultError) or name in DECLARED_TYPES:
        return text
    return f"{name}: {text}" if text else name
