"""What somebody who has taken a decoder over would try, each in a process of its own.

    python -m tests.support.attacker PLACE MODE      MODE: free, seccomp, landlock (and seccomp)

PLACE has a directory for each attempt, named by its number, with what `files` makes. Says as JSON
what came of each attempt: `DONE`, `refused`, or nothing where it was the end of the process; and
whether the other process, of the same user, still lived.
"""

import ctypes
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from appliance.media.sandbox import confine

NOBODY = 65534
_MACHINE = os.uname().machine
_LIBC = ctypes.CDLL(None, use_errno=True)
_NOTE = ctypes.create_string_buffer(4096)


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def files(place: Path) -> None:
    """A kit's files, all in reach of whoever the decoder runs as."""
    for directory in (place, place / "keys", place / "empty"):
        directory.mkdir(parents=True)
    for name in ("a.key", "b.key"):
        (place / "keys" / name).write_text("a practitioner's key")


def _asked(done: int) -> None:
    if done == -1:
        raise OSError(ctypes.get_errno(), "")


def _raw(number: int, *given: int | None) -> None:
    _asked(_LIBC.syscall(number, *(one if one is None else ctypes.c_long(one) for one in given)))


def _by(x86_64: int, elsewhere: int) -> int:
    """The number of a call on this machine."""
    return x86_64 if _MACHINE == "x86_64" else elsewhere


class Attacker:
    """In reach of a place and a victim, and with what it needs open and loaded before."""

    kept: int
    listening: socket.socket

    def __init__(self, place: Path, victim: int = -1, report: int = -1) -> None:
        self.key, self.other = str(place / "keys" / "a.key"), str(place / "keys" / "b.key")
        self.place, self.victim, self.report = str(place), victim, report

    def begin(self) -> None:
        """Open what a process may have open."""
        self.kept = os.open(self.key, os.O_RDWR)
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(f"{self.place}/listening")
        self.listening.listen()

    def attempts(self) -> dict[str, Callable[[], object]]:
        place, key, victim = self.place, self.key, self.victim
        return {
            "a file is read": lambda: os.open(key, os.O_RDONLY),
            "a file is opened for writing": lambda: os.open(key, os.O_WRONLY),
            "a file is made": lambda: os.open(f"{place}/made", os.O_CREAT | os.O_WRONLY),
            "an open file is written": lambda: os.write(self.kept, b"gone"),
            "an open file is written at a place": lambda: os.pwrite(self.kept, b"gone", 2),
            "an open file is read": lambda: os.read(self.kept, 4),
            "an open file is read into memory": lambda: mmap.mmap(self.kept, 4),
            "an open file is cut off": lambda: os.ftruncate(self.kept, 0),
            "an open file is given room": lambda: os.posix_fallocate(self.kept, 0, 99),
            "an open file is handed on": lambda: self._copied(os.sendfile),
            "a file is cut off": lambda: os.truncate(key, 0),
            "a file is removed": lambda: os.unlink(self.other),
            "a directory is removed": lambda: os.rmdir(f"{place}/empty"),
            "a file is renamed": lambda: os.rename(key, f"{place}/renamed"),
            "a file is linked": lambda: os.link(key, f"{place}/linked"),
            "a link is made": lambda: os.symlink(key, f"{place}/link"),
            "a directory is made": lambda: os.mkdir(f"{place}/new"),
            "a pipe is made on the card": lambda: os.mkfifo(f"{place}/pipe"),
            "rights are changed": lambda: os.chmod(place, 0o700),
            "rights of an open file are changed": lambda: os.fchmod(self.kept, 0),
            "an owner is changed": lambda: os.chown(key, -1, os.getegid()),
            "an owner of an open file is changed": lambda: os.fchown(self.kept, -1, os.getegid()),
            "a time is changed": lambda: os.utime(key),
            "an attribute is set": lambda: os.setxattr(key, "user.x", b"1"),
            "a directory is listed": lambda: os.listdir("/"),
            "a file is looked at": lambda: os.stat("/"),
            "another directory is gone to": lambda: os.chdir("/"),
            "where it is, is asked": os.getcwd,
            "a process is made": lambda: self._child(os.fork),
            "a process is made as none": lambda: self._child(lambda: self._cloned(17)),
            "a process is made that shares": lambda: self._child(lambda: self._cloned(17 | 0x400)),
            "a program is started": self._program,
            "another process is ended": lambda: os.kill(victim, signal.SIGKILL),
            "another process is looked for": lambda: os.kill(victim, 0),
            "a thread is sent a signal": lambda: _raw(_by(234, 131), victim, victim, 0),
            "it is traced": lambda: _asked(_LIBC.ptrace(0, 0, None, None)),
            "memory is written from outside": self._other_memory,
            "another's limits are read": lambda: resource.prlimit(victim, 7),
            "its own limits are lifted": lambda: resource.setrlimit(7, (0, 0)),
            "a socket of the network": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
            "a call out": lambda: self._call(socket.AF_INET, ("127.0.0.1", 9)),
            "a call to another process": lambda: self._call(socket.AF_UNIX, f"{place}/listening"),
            "a call by a socket that was open": lambda: self.listening.getsockname(),
            "a pipe": os.pipe,
            "a pair of sockets": socket.socketpair,
            "a copy of what is open": lambda: os.dup(self.kept),
            "something is closed": lambda: os.close(self.kept),
            "memory with a name": lambda: os.memfd_create("x"),
            "memory for code": lambda: mmap.mmap(-1, 4096, prot=7).close(),
            "memory that becomes code": self._turned_into_code,
            "a name space of its own": lambda: _raw(_by(272, 97), 0x200),
            "io_uring": lambda: _raw(425, 4, ctypes.addressof(_NOTE)),
            "a ring of keys": lambda: _raw(_by(250, 219), 0, -3, 1),
            "a wait for events": lambda: _raw(_by(291, 20), 0),
            "a hold on a process": lambda: os.pidfd_open(victim),
            "a call that Landlock has": lambda: _raw(444, None, 0, 1),
            "another priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, 19),
            "another dump": lambda: _asked(_LIBC.prctl(4, 1, 0, 0, 0)),
            "a signal handler": lambda: signal.signal(signal.SIGUSR1, lambda *_: None),
            "control of a file": lambda: fcntl.fcntl(self.kept, fcntl.F_GETFD),
            "a lock": lambda: fcntl.flock(self.kept, fcntl.LOCK_EX),
            "a mask": lambda: os.umask(0),
            "a group of its own": lambda: os.setpgid(0, 0),
            "who it is, is changed": lambda: os.setuid(os.getuid()),
        }

    def _child(self, start: Callable[[], int]) -> None:
        pid = start()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)

    def _cloned(self, flags: int) -> int:
        pid = _LIBC.syscall(_by(56, 220), ctypes.c_long(flags), None, None, None, None)
        _asked(pid)
        return int(pid)

    def _program(self) -> None:
        # In place of this process: that it was done is seen by what it writes.
        os.set_inheritable(self.report, True)
        path = f"/proc/self/fd/{self.report}"
        os.execv("/bin/sh", ["sh", "-c", f"printf DONE >{path}"])

    def _copied(self, copy: Callable[[int, int, int, int], int]) -> None:
        copy(self.report, self.kept, 0, 0)

    def _turned_into_code(self) -> None:
        _LIBC.mmap.restype = ctypes.c_void_p
        at = _LIBC.mmap(None, ctypes.c_size_t(4096), 3, 0x22, -1, ctypes.c_long(0))
        _asked(_LIBC.mprotect(ctypes.c_void_p(at), ctypes.c_size_t(4096), 5))

    def _other_memory(self) -> None:
        here = _Vector(ctypes.addressof(_NOTE), 8)
        there = _Vector(ctypes.addressof(_NOTE) + 16, 8)
        wrote = _LIBC.process_vm_writev(
            os.getpid(), ctypes.byref(here), 1, ctypes.byref(there), 1, 0
        )
        _asked(wrote)

    def _call(self, family: int, address: object) -> None:
        with socket.socket(family, socket.SOCK_DGRAM if family == socket.AF_INET else 1) as way:
            way.connect(address)  # type: ignore[arg-type]


NAMES = tuple(Attacker(Path()).attempts())


def _tried(place: Path, number: int, mode: str) -> tuple[str, bool]:
    victim = os.fork()
    if not victim:
        signal.pause()
        os._exit(0)
    ours, theirs = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(ours)
        attacker = Attacker(place, victim, theirs)
        attacker.begin()
        attempt = list(attacker.attempts().values())[number]
        if mode != "free":
            confine(theirs, 1 << 30, 10, landlock=mode == "landlock")
        try:
            attempt()
            said = b"DONE"
        except (OSError, MemoryError, ValueError):
            said = b"refused"
        os.write(theirs, said)
        os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as report:
        said = report.read()
    os.waitpid(pid, 0)
    # Whoever was killed before this does not die of it, even if it has not come to dying yet.
    os.kill(victim, signal.SIGTERM)
    _pid, status = os.waitpid(victim, 0)
    return said.decode(), os.WTERMSIG(status) == signal.SIGTERM


def main(place: str, mode: str) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    came = {
        name: _tried(Path(place) / str(number), number, mode) for number, name in enumerate(NAMES)
    }
    print(json.dumps(came))


if __name__ == "__main__":
    main(*sys.argv[1:])
