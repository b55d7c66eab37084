"""Which system calls a sandbox refuses: what reaches around it, or at the kernel, and what no model needs.

A seccomp filter (seccomp(2)) in classic BPF. Refused calls fail with EPERM; where the host listens, it hears of each.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Dict, List, NamedTuple, Optional

from slipway.workers.runtimes.python import kernel

# name: number on x86_64, on aarch64 (None: it has no such call)
REFUSED: Dict[str, "tuple[Optional[int], Optional[int]]"] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    # files by handle, quotas, everybody's files
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "fanotify_init": (300, 262),
    # the kernel
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "syslog": (103, 116),
    "lookup_dcookie": (212, 18),
    "modify_ldt": (154, None),
    "iopl": (172, None),
    "ioperm": (173, None),
    # the machine
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
}


class _Machine(NamedTuple):
    column: int
    audit: int
    clone: int
    clone3: int
    socket: int
    ioctl: int
    seccomp: int


_MACHINES = {
    "x86_64": _Machine(0, 0xC000003E, 56, 435, 41, 16, 317),
    "aarch64": _Machine(1, 0xC00000B7, 220, 435, 198, 29, 277),
}
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in what a filter is given; low words of arguments
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL, _NOTIFY, _KILL = 0x7FFF0000, 0x00050000, 0x7FC00000, 0x80000000
_SET_FILTER, _NEW_LISTENER = 1, 1 << 3
_X32 = 0x40000000
# Of namespaces: all, and the one of clocks.
_NAMESPACES = 0x7E020080 & ~0x01000000
_LOCAL_SOCKETS, _INTERNET_SOCKETS = (1, 16), (2, 10)  # of this machine, and netlink, which tells of it; IPv4 and IPv6
_TERMINAL_TRICKS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX: input for whoever shares the terminal


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def names() -> Dict[int, str]:
    """The refused calls by their numbers on this machine."""
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        return {}
    found = ((numbers[machine.column], name) for name, numbers in REFUSED.items())
    return {number: name for number, name in found if number is not None}


def refuse_calls(listen: bool, internet: bool = True) -> int:
    """Refuse them from now on, here and in all that is started; raises OSError where the kernel has no filters.

    With `listen`, a descriptor from which somebody must answer for each refused call; else, or where there is such a
    listener already, -1: they fail by themselves. Without `internet` there are no sockets for that either.
    """
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        raise OSError(errno.ENOSYS, f"no filter of system calls is known for {os.uname().machine}")
    if listen:
        try:
            return _install(machine, program(_NOTIFY, internet), _NEW_LISTENER)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
    _install(machine, program(_FAIL | errno.EPERM, internet), 0)
    return -1


def program(refusal: int, internet: bool) -> bytes:
    """The filter: 8 bytes an instruction."""
    machine = _MACHINES[os.uname().machine]
    fail = _FAIL | errno.EPERM
    lines: List[bytes] = [_load(_ARCHITECTURE), *_unless(_EQUAL, machine.audit, _KILL), _load(_NUMBER)]
    lines += _if(_AT_LEAST, _X32, _KILL)
    lines += _if(_EQUAL, machine.clone3, _FAIL | errno.ENOSYS)  # its flags cannot be seen here: libraries use clone
    for number in names():
        lines += _if(_EQUAL, number, refusal)
    lines += _within(machine.clone, [_load(_FIRST), *_if(_ANY_BIT, _NAMESPACES, refusal)])
    families = _LOCAL_SOCKETS + (_INTERNET_SOCKETS if internet else ())
    # Each known family jumps over the rest, and the refusal behind them.
    known = [_step(_EQUAL, family, len(families) - index, 0) for index, family in enumerate(families)]
    lines += _within(machine.socket, [_load(_FIRST), *known, _return(fail)])
    lines += _within(machine.ioctl, [_load(_SECOND), *(x for one in _TERMINAL_TRICKS for x in _if(_EQUAL, one, fail))])
    return b"".join([*lines, _return(_ALLOW)])


def _install(machine: _Machine, instructions: bytes, flags: int) -> int:
    filters = _Program(len(instructions) // 8, instructions)
    return kernel.call(machine.seccomp, _SET_FILTER, flags, ctypes.byref(filters))


def _within(number: int, lines: List[bytes]) -> List[bytes]:
    """Lines for that call only, which is allowed where they do not return."""
    return [_step(_EQUAL, number, 0, len(lines) + 1), *lines, _return(_ALLOW)]


def _if(test: int, value: int, verdict: int) -> List[bytes]:
    return [_step(test, value, 0, 1), _return(verdict)]


def _unless(test: int, value: int, verdict: int) -> List[bytes]:
    return [_step(test, value, 1, 0), _return(verdict)]


def _load(offset: int) -> bytes:
    return struct.pack("=HBBI", _LOAD, 0, 0, offset)


def _step(test: int, value: int, true: int, false: int) -> bytes:
    return struct.pack("=HBBI", test, true, false, value)


def _return(verdict: int) -> bytes:
    return struct.pack("=HBBI", _RETURN, 0, 0, verdict)
