"""What decodes a film can do nothing but compute, and speak over one connection.

A decoder is the likeliest part to be broken by a hostile film, and whoever breaks it runs as the
user who owns the keys. So its process gives up every system call but those that stand here, for
itself and all its threads, before it has seen the first byte: it can read and write its one
connection, take memory that holds no code, and end. It can open, change, remove, rename or start
nothing, and reach no other process. The list is held by the kernel's seccomp and made by libseccomp
(https://github.com/seccomp/libseccomp), which every Debian has, for apt and systemd need it.

Where the kernel has Landlock as well, it is a second wall; Raspberry Pi OS has none.

    python -m appliance.media.sandbox       says as JSON what holds on this machine
"""

import contextlib
import ctypes
import errno
import json
import os
import resource
import struct
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class NoSandbox(Exception):
    """This machine cannot set a process apart; the reason is for whoever looks after it."""


@dataclass(frozen=True)
class _If:
    """A call is allowed if its argument (from 0), where `mask` has ones, is `value`."""

    argument: int
    value: int
    mask: int = 0xFFFFFFFF


_EXECUTABLE, _ANONYMOUS = 0x4, 0x20
"""PROT_EXEC and MAP_ANONYMOUS, the same on both kinds of machine."""
_A_THREAD = 0x3D0F00
"""How glibc starts a thread: everything is shared, so it is no process (clone(2))."""
_NAME_IT = 15
"""PR_SET_NAME: libav gives its threads names."""

ON_THE_CONNECTION = ("read", "write")
ANY = (
    # Memory, and giving it back.
    *("brk", "munmap", "mremap", "madvise"),
    # Threads, once they are there.
    *("futex", "set_robust_list", "rseq", "rt_sigprocmask"),
    *("sched_yield", "sched_getaffinity", "getpid", "gettid"),
    # A thread may still be in the signal by which glibc gave it another user (nptl(7), setuid).
    "rt_sigreturn",
    # The time, randomness, waiting.
    *("clock_gettime", "clock_getres", "gettimeofday", "getrandom"),
    *("nanosleep", "clock_nanosleep", "restart_syscall"),
    *("exit", "exit_group"),
)
"""Calls that are allowed whatever they are given: none takes a path or a descriptor, or reaches
another process."""
ONLY_SO: dict[str, tuple[_If, ...]] = {
    "mmap": (_If(2, 0, _EXECUTABLE), _If(3, _ANONYMOUS, _ANONYMOUS)),
    "mprotect": (_If(2, 0, _EXECUTABLE),),
    "clone": (_If(0, _A_THREAD),),
    "prctl": (_If(0, _NAME_IT),),
}
"""Calls that are allowed if all of that is so of what they are given."""
NOT_THERE = ("clone3",)
"""Its flags lie in memory, where no filter sees them; glibc then starts a thread with `clone`."""

_MACHINES = {0xC000003E: "x86_64", 0xC00000B7: "aarch64"}
"""AUDIT_ARCH_ of <linux/audit.h>: on 32-bit machines some of these calls have other names."""
_ERROR = 0x00050000
ALLOW, REFUSE = 0x7FFF0000, _ERROR | errno.EPERM
_MASKED_EQUAL, _SYNCHRONISE_THREADS = 7, 4
"""SCMP_CMP_MASKED_EQ and SCMP_FLTATR_CTL_TSYNC of <seccomp.h>."""

_NOBODY = 65534
_DIES_WITH_PARENT, _NOT_DUMPABLE, _NO_NEW_PRIVILEGES = 1, 4, 38
_CREATE_RULESET, _RESTRICT_SELF = 444, 446
_OF_FILES = {1: 13, 2: 14, 3: 15, 4: 15}
"""How many rights over files a version of Landlock knows; later ones know 16."""


def confine(connection: int, memory: int, seconds: int, *, landlock: bool = True) -> bool:
    """From now on this process computes and speaks over the descriptor `connection`, uses `memory`
    bytes and so much processor time at most, and does nothing else; whether Landlock holds too.

    Call it once everything is loaded. Raises NoSandbox: then nothing hostile may be read here.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        # Loaded first: nothing can be opened soon.
        libseccomp = ctypes.CDLL("libseccomp.so.2")
        with contextlib.suppress(OSError):
            # Where memory runs out, this is what goes.
            Path("/proc/self/oom_score_adj").write_text("1000")
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
        threads = len(os.listdir("/proc/self/task"))
        for number, value in ((_DIES_WITH_PARENT, 9), (_NOT_DUMPABLE, 0), (_NO_NEW_PRIVILEGES, 1)):
            if libc.prctl(number, value, 0, 0, 0):
                raise NoSandbox(f"prctl({number}): {os.strerror(ctypes.get_errno())}")
        walled = landlock and _landlock(libc)
        for limit, most in (
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_AS, memory),
            (resource.RLIMIT_CPU, seconds),
            # What is open stays open, and nothing can be opened: no file, no socket, no pipe.
            (resource.RLIMIT_NOFILE, 0),
        ):
            resource.setrlimit(limit, (most, most))
        _seccomp(libseccomp, connection, every_thread=threads > 1)
    except (OSError, ValueError, AttributeError) as error:
        raise NoSandbox(str(error)) from error
    return walled


class _Comparison(ctypes.Structure):
    """`struct scmp_arg_cmp` of <seccomp.h>."""

    _fields_ = (
        ("argument", ctypes.c_uint),
        ("how", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def _seccomp(library: ctypes.CDLL, connection: int, *, every_thread: bool) -> None:
    """Every call that is not listed above is answered with EPERM. Raises NoSandbox."""
    library.seccomp_init.restype = ctypes.c_void_p
    machine = library.seccomp_arch_native() & 0xFFFFFFFF
    if machine not in _MACHINES:
        raise NoSandbox(f"only {' and '.join(_MACHINES.values())} are known, not {machine:#x}")
    made = ctypes.c_void_p(library.seccomp_init(REFUSE))
    if not made:
        raise NoSandbox("libseccomp has no memory")
    # Threads that come later have it from the one that starts them. Some libraries start one when
    # they are loaded; asking for this where it is not needed would take a newer call.
    if every_thread and library.seccomp_attr_set(made, _SYNCHRONISE_THREADS, 1):
        raise NoSandbox("there are other threads, and this kernel cannot confine them")
    add_rules(library, made, connection)
    failed = library.seccomp_load(made)
    if failed:
        raise NoSandbox(f"the kernel takes no seccomp filter: {os.strerror(-failed)}")
    # It is believed when it is seen.
    try:
        os.stat("/")
    except PermissionError:
        return
    raise NoSandbox("the kernel took the seccomp filter and does not hold it")


def add_rules(library: ctypes.CDLL, made: ctypes.c_void_p, connection: int) -> None:
    """Put what is listed above into a filter of libseccomp. Raises NoSandbox."""

    def rule(action: int, name: str, *given: _If) -> None:
        number = library.seccomp_syscall_resolve_name(name.encode())
        many = (_Comparison * len(given))(
            *(_Comparison(one.argument, _MASKED_EQUAL, one.mask, one.value) for one in given)
        )
        # Below zero: this machine, or this library, does not know it.
        failed = number < 0 or library.seccomp_rule_add_array(
            made, ctypes.c_uint32(action), number, len(given), many
        )
        if failed:
            raise NoSandbox(f"libseccomp makes no rule for {name}")

    for name in ON_THE_CONNECTION:
        rule(ALLOW, name, _If(0, connection))
    for name in ANY:
        rule(ALLOW, name)
    for name, given in ONLY_SO.items():
        rule(ALLOW, name, *given)
    for name in NOT_THERE:
        rule(_ERROR | errno.ENOSYS, name)


def _landlock(libc: ctypes.CDLL) -> bool:
    """Give up every right that Landlock knows of (landlock(7)); whether there is Landlock here."""
    version = libc.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return False
    files = (1 << _OF_FILES.get(version, 16)) - 1
    rules = struct.pack("=Q", files)
    if version >= 4:
        rules += struct.pack("=Q", 3)  # TCP.
    if version >= 6:
        rules += struct.pack("=Q", 3)  # Signals, and sockets without a file.
    ruleset = libc.syscall(_CREATE_RULESET, rules, len(rules), 0)
    if ruleset < 0:
        return False
    done = libc.syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return bool(done == 0)


def main(arguments: Sequence[str]) -> int:
    """Try it, and say over the pipe that is the standard output what holds."""
    try:
        walled = confine(sys.stdout.fileno(), 1 << 30, 10)
    except NoSandbox as error:
        said = {"seccomp": False, "landlock": False, "why": str(error)}
    else:
        said = {"seccomp": True, "landlock": walled, "why": ""}
    os.write(sys.stdout.fileno(), json.dumps(said).encode())
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
