"""Tries what no process of a kit may do, and says what came of each: "done", or the error's name.

Run inside a unit's sandbox by `Booted.probe`, with the system's Python and nothing of ours.
"""

import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
SOMEWHERE = ("203.0.113.1", 9)
"""An address that belongs to nobody (RFC 5737)."""


def asked(answer: int) -> None:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def must(held: bool) -> None:
    if not held:
        raise PermissionError(errno.EPERM, "not seen")


def write_anywhere() -> None:
    Path("/srv/open/probe").write_text("here")


def change_the_program() -> None:
    with open("/opt/attune/lib/python3.13/site-packages/firmware/__init__.py", "ab"):
        pass


def read_homes() -> None:
    Path("/home/visitor/letter").read_text()


def read_what_others_left() -> None:
    Path("/tmp/left-behind").read_text()


def read_keys() -> None:
    os.listdir("/var/lib/attune/keys")


def read_signing_key() -> None:
    Path("/var/lib/attune/kit/signing.key").read_bytes()


def write_recordings() -> None:
    Path("/var/lib/attune/recordings/probe").write_text("")
    os.unlink("/var/lib/attune/recordings/probe")


def write_permits() -> None:
    Path("/var/lib/attune/permits/probe").write_text("")
    os.unlink("/var/lib/attune/permits/probe")


def speak_to_the_network() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.connect(("127.0.0.1", 8443))


def call_out() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wire:
        wire.sendto(b"out", SOMEWHERE)


def hear_all_packets() -> None:
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()


def see_other_processes() -> None:
    must(Path("/proc/1").exists())


def make_a_namespace() -> None:
    asked(LIBC.unshare(0x10000000))


def change_personality() -> None:
    asked(LIBC.personality(0x0400000))


def take_real_time() -> None:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def take_priority() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, -5)


def change_root() -> None:
    os.chroot("/srv/open")


def mount_something() -> None:
    asked(LIBC.mount(b"none", b"/srv/open", b"tmpfs", 0, None))
    asked(LIBC.umount2(b"/srv/open", 0))


def name_the_host() -> None:
    socket.sethostname(socket.gethostname())


def tune_the_kernel() -> None:
    path = Path("/proc/sys/kernel/domainname")
    path.write_text(path.read_text())


def make_a_control_group() -> None:
    place = Path("/sys/fs/cgroup/probe")
    place.mkdir()
    place.rmdir()


def make_setuid() -> None:
    path = Path("/var/lib/attune/probe") if os.getuid() else Path("/srv/open/setuid")
    path.write_text("")
    try:
        path.chmod(0o4755)
    finally:
        path.unlink()


def become_root() -> None:
    told = subprocess.run(["/srv/become-root", "-u"], capture_output=True, text=True, check=True)
    must(told.stdout.strip() == "0")


def leave_a_core() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20))


def start_many() -> None:
    children = []
    try:
        for _ in range(200):
            if (child := os.fork()) == 0:
                signal.pause()
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def open_devices() -> None:
    os.close(os.open("/dev/probe-disk", os.O_RDWR))


def take_memory() -> None:
    """More than a unit has; the kernel ends whoever takes it."""
    child = os.fork()
    if child == 0:
        with mmap.mmap(-1, 600 << 20) as taken:
            for place in range(0, len(taken), 4096):
                taken[place] = 1
        os._exit(0)
    _, status = os.waitpid(child, 0)
    must(os.waitstatus_to_exitcode(status) == 0)


def trace_others() -> None:
    child = os.fork()
    if child == 0:
        time.sleep(5)
        os._exit(0)
    try:
        asked(LIBC.ptrace(16, child, None, None))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


TRIED: tuple[Callable[[], None], ...] = (
    write_anywhere,
    change_the_program,
    read_homes,
    read_what_others_left,
    read_keys,
    read_signing_key,
    write_recordings,
    write_permits,
    speak_to_the_network,
    call_out,
    hear_all_packets,
    see_other_processes,
    make_a_namespace,
    change_personality,
    take_real_time,
    take_priority,
    name_the_host,
    tune_the_kernel,
    make_a_control_group,
    make_setuid,
    become_root,
    leave_a_core,
    start_many,
    open_devices,
    take_memory,
    trace_others,
    mount_something,
    change_root,
)


def tried(act: Callable[[], None]) -> str:
    try:
        act()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "?")
    except (ValueError, subprocess.SubprocessError) as error:
        return type(error).__name__
    return "done"


if __name__ == "__main__":
    # Each in a process of its own, so that none changes what the next may do.
    found = {}
    for act in TRIED:
        reading, writing = os.pipe()
        if os.fork() == 0:
            os.write(writing, tried(act).encode())
            os._exit(0)
        os.close(writing)
        with open(reading, "rb") as told:
            found[act.__name__] = told.read().decode() or "killed"
        os.wait()
    print(json.dumps(found))
