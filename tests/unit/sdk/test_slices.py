from __future__ import annotations

import os
import subprocess
import sys

_ASK = """
import ctypes, os, struct, sys, threading
from slipway.sdk.slices import SERVING_US, STARTING_US, all_threads, take_slices

GETATTR = {"x86_64": 315, "aarch64": 275}[os.uname().machine]
LAYOUT = struct.Struct("=IIQiIQQQ")


def attributes(thread=0):
    buffer = ctypes.create_string_buffer(LAYOUT.size)
    assert ctypes.CDLL(None).syscall(GETATTR, thread, buffer, LAYOUT.size, 0) == 0
    return LAYOUT.unpack(buffer.raw)


def slice_of(thread):
    return attributes(thread)[5] // 1000


os.nice(3)
standard = slice_of(0)
take_slices(STARTING_US)
done = threading.Event()
other = threading.Thread(target=done.wait)
other.start()
starting = slice_of(0), slice_of(other.native_id)
take_slices(SERVING_US, all_threads())
serving = slice_of(0), slice_of(other.native_id)
done.set()
took = (20000, 20000) == starting and (200, 200) == serving
ignored = {standard} == {*starting, *serving}
print(took, ignored, attributes()[3])
"""


def test_all_threads_take_slices_where_the_kernel_has_them_and_stay_as_nice_as_they_are() -> None:
    printed = subprocess.run([sys.executable, "-c", _ASK], capture_output=True, text=True, check=True).stdout.split()

    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    assert printed == [str(release >= (6, 12)), str(release < (6, 12)), str(min(19, os.nice(0) + 3))]
