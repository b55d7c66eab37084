"""What an algorithm may import as `slipway`. Standard library only, Python 3.9 and later."""

from __future__ import annotations

from slipway.sdk.api import AlgorithmError, CallError, InputError, UnsupportedError, call, model
from slipway.sdk.secrets import secret

__all__ = ["AlgorithmError", "CallError", "InputError", "UnsupportedError", "call", "model", "secret"]
