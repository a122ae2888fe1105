"""What whoever breaks a decoder can do to the kit: compute, and tell lies about one film."""

import ctypes
import errno
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.media.sandbox import ALLOW, ANY, ON_THE_CONNECTION, ONLY_SO, REFUSE, add_rules
from tests.support.attacker import NAMES, NOBODY, files


@pytest.fixture
def place() -> Iterator[Path]:
    """A kit's files for each attempt, in reach of whoever the decoder runs as."""
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        for number in range(len(NAMES)):
            files(place / str(number))
        if os.geteuid() == 0:
            for path in (place, *place.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        yield place


def attacked(place: Path, mode: str) -> dict[str, tuple[str, bool]]:
    """What came of each attempt, and whether the other process lived."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.attacker", str(place), mode],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    return {name: (said, lives) for name, (said, lives) in json.loads(done.stdout).items()}


def everything(place: Path) -> dict[str, tuple[object, ...]]:
    """Every file there: its content, rights, times, attributes."""
    return {
        str(path.relative_to(place)): (
            path.read_bytes() if path.is_file() else b"",
            path.lstat().st_mode,
            path.lstat().st_mtime_ns if path.is_file() else 0,
            os.listxattr(path, follow_symlinks=False),
        )
        for path in (place, *place.rglob("*"))
        if path.name != "listening"
    }


@pytest.mark.parametrize("mode", ["seccomp", "landlock"])
def test_who_breaks_the_decoder_can_do_nothing_to_the_kit(mode: str, place: Path) -> None:
    """`seccomp`: as on a Pi, whose kernel has no Landlock."""
    before = everything(place)
    came = attacked(place, mode)
    assert {name: said for name, (said, _) in came.items() if said != "refused"} == {}
    assert all(lives for _, lives in came.values())
    assert everything(place) == before


def test_each_of_these_attempts_succeeds_where_nothing_is_confined(place: Path) -> None:
    """Else the test above would show nothing."""
    came = attacked(place, "free")
    some_kernels_refuse = {"io_uring", "a ring of keys", "a call that Landlock has"}
    refused = {name for name, (said, _) in came.items() if said != "DONE"}
    assert refused <= some_kernels_refuse
    assert not came["another process is ended"][1]
    assert len(came) > 50


_WITH_A_THREAD = """
import os, sys, threading
from appliance.media.sandbox import confine
confined, came, said = threading.Event(), [], os.dup(1)

def other():
    confined.wait()
    try:
        os.stat("/")
    except PermissionError:
        came.append(1)

thread = threading.Thread(target=other)
thread.start()
confine(said, 1 << 30, 10)
confined.set()
thread.join()
os.write(said, b"refused" if came else b"DONE")
os._exit(0)
"""


def test_a_thread_that_a_library_started_before_is_confined_too() -> None:
    """Also one that is late: it comes back from a signal when the filter holds already."""
    several = [
        subprocess.Popen([sys.executable, "-c", _WITH_A_THREAD], stdout=subprocess.PIPE)
        for _number in range(12)
    ]
    assert {one.communicate(timeout=120)[0] for one in several} == {b"refused"}
    assert {one.returncode for one in several} == {0}


# --- The filter itself: every call of each kind of machine --------------------------------------

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
CONNECTION = 7
LAST = 1024
"""No kernel has a call of a higher number, but for x32."""


@dataclass(frozen=True)
class Filter:
    """What the kernel is given for one kind of machine, run here as the kernel runs it."""

    machine: int
    program: bytes

    def verdict(self, number: int, *arguments: int, machine: int | None = None) -> int:
        """Of a call: what seccomp(2) names SECCOMP_RET_DATA and its like."""
        given = (*arguments, *(0,) * (6 - len(arguments)))
        words = struct.pack("=iIQ6Q", number, machine or self.machine, 0, *given)
        held = place = 0
        steps = list(struct.iter_unpack("=HBBI", self.program))
        while True:
            code, yes, no, value = steps[place]
            place += 1
            match code:
                case 0x20:  # A word of what is asked.
                    (held,) = struct.unpack_from("=I", words, value)
                case 0x54:
                    held &= value
                case 0x05:
                    place += value
                case 0x15:
                    place += yes if held == value else no
                case 0x25:
                    place += yes if held > value else no
                case 0x35:
                    place += yes if held >= value else no
                case 0x45:
                    place += yes if held & value else no
                case 0x06:
                    return value
                case _:
                    raise AssertionError(f"an instruction that is not known: {code:#x}")


@pytest.fixture(scope="module", params=MACHINES)
def made(request: pytest.FixtureRequest) -> Filter:
    """The filter as it is on that machine; libseccomp makes it on any."""
    library, machine = ctypes.CDLL("libseccomp.so.2"), MACHINES[request.param]
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(REFUSE))
    ours = library.seccomp_arch_native() & 0xFFFFFFFF
    if machine != ours:
        assert library.seccomp_arch_add(rules, ctypes.c_uint32(machine)) == 0
        assert library.seccomp_arch_remove(rules, ctypes.c_uint32(ours)) == 0
    add_rules(library, rules, CONNECTION)
    with tempfile.TemporaryFile() as out:
        assert library.seccomp_export_bpf(rules, out.fileno()) == 0
        out.seek(0)
        program = out.read()
    library.seccomp_release(rules)
    return Filter(machine, program)


def number_of(name: str, machine: int) -> int:
    library = ctypes.CDLL("libseccomp.so.2")
    return int(library.seccomp_syscall_resolve_name_arch(ctypes.c_uint32(machine), name.encode()))


def test_of_all_calls_of_the_kernel_those_that_stand_in_the_list_are_allowed_and_no_other(
    made: Filter,
) -> None:
    listed = {number_of(name, made.machine) for name in (*ANY, *ONLY_SO, *ON_THE_CONNECTION)}
    assert len(listed) == len(ANY) + len(ONLY_SO) + len(ON_THE_CONNECTION)
    assert all(0 <= number < LAST for number in listed)
    # Whatever each may be given: what is let through if it is given the right things.
    kinds = [(0,) * 6, (CONNECTION, 0, 0, 0x22), (0, 0, 3, 0x22), (0x3D0F00,), (15,), (1,) * 6]
    allowed = {
        number
        for number in (*range(LAST), *range(0x40000000, 0x40000000 + LAST))
        if any(made.verdict(number, *given) == ALLOW for given in kinds)
    }
    assert allowed == listed


def test_what_is_listed_with_a_condition_is_refused_without_it(made: Filter) -> None:
    def verdict(name: str, *given: int) -> int:
        return made.verdict(number_of(name, made.machine), *given)

    for name in ON_THE_CONNECTION:
        assert verdict(name, CONNECTION, 1, 2) == ALLOW
        for other in (0, 1, 2, 6, 8, 0xFFFFFFFF):
            assert verdict(name, other) == REFUSE
    anonymous, of_a_file = 0x22, 0x2
    minus_one = (1 << 64) - 1
    for prot in range(16):
        expected = REFUSE if prot & 4 else ALLOW
        assert verdict("mmap", 0, 4096, prot, anonymous, minus_one, 0) == expected
        assert verdict("mmap", 0, 4096, prot, of_a_file, CONNECTION, 0) == REFUSE
        assert verdict("mprotect", 0, 4096, prot) == expected
    a_thread = 0x3D0F00
    assert verdict("clone", a_thread) == ALLOW
    for bit in range(32):
        # Not one flag more or less: a name space, a process, a thing of its own.
        assert verdict("clone", a_thread ^ (1 << bit)) == REFUSE
    assert verdict("prctl", 15) == ALLOW
    assert {verdict("prctl", option) for option in range(100) if option != 15} == {REFUSE}
    assert verdict("clone3") == 0x00050000 | errno.ENOSYS


def test_a_call_by_another_machines_number_ends_the_process(made: Filter) -> None:
    """A 64-bit kernel also answers 32-bit calls, whose numbers mean others."""
    for machine in (0x40000003, 0x40000028, *MACHINES.values()):
        if machine != made.machine:
            for number in range(LAST):
                assert made.verdict(number, machine=machine) & 0xFFFF0000 in (0x80000000, 0)


def test_the_kernel_refuses_what_the_filter_refuses(made: Filter) -> None:
    """Each such call of this machine, made by a process that is confined."""
    if made.machine != MACHINES.get(os.uname().machine):
        pytest.skip("this is another machine")
    # A kernel answers what its own probes ask (uretprobe, uprobe) before any filter, and ends
    # whoever else asks it.
    probes = (335, 336) if made.machine == MACHINES["x86_64"] else ()
    expected = [
        number
        for number in range(LAST)
        if made.verdict(number, 1) == REFUSE and number not in probes
    ]
    done = subprocess.run(
        [sys.executable, "-c", _EACH_CALL, *map(str, expected)],
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == expected
    assert len(expected) > 900


_EACH_CALL = """
import ctypes, json, os, sys
from appliance.media.sandbox import confine
libc = ctypes.CDLL(None, use_errno=True)
numbers, said, zero = [int(word) for word in sys.argv[1:]], os.dup(1), [0] * 5
ctypes.set_errno(0)
confine(said, 1 << 30, 10)
refused = [n for n in numbers if libc.syscall(n, 1, *zero) == -1 and ctypes.get_errno() == 1]
os.write(said, json.dumps(refused).encode())
os._exit(0)
"""
