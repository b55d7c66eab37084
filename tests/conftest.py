"""What all tests share."""

from __future__ import annotations

import signal

# Shells start what runs in the background deaf to interrupts, and so would be all that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
