"""The worker protocol's frames. The codec is the runners' own, so that both sides can never differ."""

from __future__ import annotations

from slipway.sdk.frames import *  # noqa: F403
