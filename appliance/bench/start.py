"""What it costs to start a recorder, up to its word that it is ready, beside an earlier commit.

It is started as its unit starts it, by `attune recorder`, with a scene for its camera and a home
that it knows. Processor time is that of the process, in it and for it in the system. A cold disk is
an ext4 of its own on a loop device, which holds the interpreter, its library and what is installed
with Attune, the same for both commits, and is mounted anew for each start: nothing of it is in
memory then, and the kernel counts what is read. The C library and OpenSSL are the system's and not
counted.
"""

import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from appliance.bench import MEMORY, Row, before, in_turn, median_ratio, need, row, run
from appliance.config import Config, write_config
from appliance.errors import NotPossible
from appliance.selftest.kit import wait_for

TIMES, COLD_TIMES = 9, 3
PATIENCE = 60.0
"""Seconds in which a recorder must be ready."""
_SECTOR = 512
"""Bytes of what the kernel counts (Documentation/block/stat.rst), whatever the device's own are."""
_NOT_READ = ("test", "site-packages", "config-*", "idlelib", "lib2to3", "ensurepip", "*.a")


def rows() -> list[Row]:
    """Every measure of the part. Takes a few minutes, and root for its disk."""
    memory = MEMORY if MEMORY.is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="attune-bench-", dir="/var/tmp") as place,
        tempfile.TemporaryDirectory(prefix="attune-bench-", dir=memory) as homes,
    ):
        folder = Path(place)
        trees = {"ours": before.HERE, "theirs": before.tree(folder)}
        kits = {name: _settings(Path(homes) / name) for name in trees}
        return [*_processor(trees, kits), _cold(folder, trees, kits)]


def _settings(root: Path) -> Path:
    """The settings of a kit whose camera is a scene."""
    root.mkdir()
    write_config(
        root / "attune.toml",
        Config(home=str(root / "home"), run=str(root / "run"), camera="scene"),
    )
    return root / "attune.toml"


def _processor(trees: Mapping[str, Path], kits: Mapping[str, Path]) -> Iterator[Row]:
    def start(name: str, until: Callable[["Started"], None]) -> Callable[[], float]:
        words = before.console(trees[name], "recorder", "--config", str(kits[name]))

        def once() -> float:
            with Started(words, before.surroundings(trees[name]), kits[name].parent) as started:
                until(started)
            return started.seconds

        return once

    against = f"{before.COMMIT}, the same scene"
    ready = [start(name, Started.ready) for name in ("ours", "theirs")]
    ours, theirs = in_turn(*ready, times=TIMES)
    what = "recorder from exec to READY: processor"
    yield row(what, against, median_ratio(ours, theirs), "<= 0.50")
    # What comes after that word is not to cost more than it saved.
    told = [start(name, Started.told) for name in ("ours", "theirs")]
    ours, theirs = in_turn(*told, times=TIMES)
    what = "recorder from exec to its first status: processor"
    yield row(what, against, median_ratio(ours, theirs), "<= 0.90")


def _cold(folder: Path, trees: Mapping[str, Path], kits: Mapping[str, Path]) -> Row:
    image = _image(folder, trees)
    mounted = folder / "mounted"
    mounted.mkdir()
    python = mounted / "python"
    around = {**os.environ, "PYTHONHOME": str(python), "LD_LIBRARY_PATH": str(python / "lib")}

    def start(name: str) -> Callable[[], float]:
        code = mounted / name
        environment = {**around, "PYTHONPATH": f"{code}:{mounted / 'installed'}"}

        def once() -> float:
            words = before.console(trees[name], "recorder", "--config", str(kits[name]))
            with _disk(image, mounted) as read:
                words[0] = str(python / "bin" / "python")
                began = read()
                with Started(words, environment, kits[name].parent) as started:
                    started.ready()
                    return read() - began

        return once

    ours, theirs = in_turn(start("ours"), start("theirs"), times=COLD_TIMES)
    what = "recorder from exec to READY: bytes read from a cold disk"
    against = f"{before.COMMIT}, {statistics.median(theirs) / (1 << 20):.0f} MiB"
    return row(what, against, median_ratio(ours, theirs), "<= 0.50")


class Started:
    """A program that was started and ends with this object; `seconds` of processor it had then."""

    def __init__(self, words: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self._folder = folder
        self.seconds = 0.0
        self._status = folder / "run/recorder/status.json"
        address = folder / "notify"
        address.unlink(missing_ok=True)
        self._wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._wire.bind(str(address))
        self._wire.settimeout(1.0)
        with open(folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                words,
                env={**environment, "NOTIFY_SOCKET": str(address)},
                # Not the one of this checkout, in which Python would find its code.
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> "Started":
        return self

    def __exit__(self, *error: object) -> None:
        self._process.send_signal(signal.SIGKILL)
        _, status, used = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        self._wire.close()
        self.seconds = used.ru_utime + used.ru_stime

    def ready(self) -> None:
        """Wait for its word that it is ready. Raises NotPossible."""
        end = time.monotonic() + PATIENCE
        while True:
            with suppress(TimeoutError):
                if self._wire.recv(1 << 10).startswith(b"READY=1"):
                    return
            over = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if over or time.monotonic() > end:
                said = (self._folder / "log").read_text(errors="replace")[-500:]
                raise NotPossible(f"The recorder does not become ready and says: {said}")

    def told(self) -> None:
        """Wait until its status says what it is doing. Raises NotPossible."""
        began = self._status.stat().st_mtime_ns if self._status.exists() else 0
        wait_for(
            "the recorder's status",
            lambda: self._status.exists() and self._status.stat().st_mtime_ns > began,
            PATIENCE,
        )


def _image(folder: Path, trees: Mapping[str, Path]) -> Path:
    """An ext4 with both trees, the interpreter and what is installed. Raises NotPossible."""
    if os.geteuid():
        raise NotPossible("A disk of its own can only be mounted by root.", "Run this as root.")
    root = folder / "disk"
    python = root / "python"
    # Debian's own, as on a kit, where it is of the version for which things are installed here.
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    interpreter = os.path.realpath(shutil.which(name, path="/usr/bin") or sys.executable)
    about = "import sysconfig as s; print(s.get_path('stdlib')); print(s.get_config_var('LIBDIR'))"
    library, libraries = run(interpreter, "-I", "-c", about).stdout.decode().split()
    not_read = shutil.ignore_patterns(*_NOT_READ)
    shutil.copytree(library, python / "lib" / Path(library).name, ignore=not_read)
    (python / "bin").mkdir()
    shutil.copy2(interpreter, python / "bin/python")
    for shared in Path(libraries).glob(f"lib{name}.so.*"):
        shutil.copy2(shared, python / "lib")
    for name in _installed("attune"):
        _take(name, root / "installed")
    for name, code in trees.items():
        for package in ("appliance", "firmware"):
            shutil.copytree(code / package, root / name / package)
    run(sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", root)
    image = folder / "image"
    size = sum(path.lstat().st_size + 8192 for path in root.rglob("*")) * 5 // 4 + (64 << 20)
    with open(image, "wb") as file:
        file.truncate(size)
    run(need("mkfs.ext4", "e2fsprogs"), "-q", "-F", "-d", root, image)
    shutil.rmtree(root)
    return image


def _installed(name: str, known: frozenset[str] = frozenset()) -> frozenset[str]:
    """What is installed of that which `name` needs, and of what that needs."""
    try:
        needed = distribution(name).requires or []
    except PackageNotFoundError:
        return known
    known |= {name}
    for text in needed:
        found = re.match(r"[\w.-]+", text)
        if found and "extra ==" not in text and found[0] not in known:
            known = _installed(found[0], known)
    return known


def _take(name: str, to: Path) -> None:
    """Copy what an installed distribution consists of."""
    for file in distribution(name).files or []:
        source = Path(str(file.locate()))
        if ".." not in file.parts and source.is_file():
            (to / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, to / file)


@contextmanager
def _disk(image: Path, mounted: Path) -> Iterator[Callable[[], int]]:
    """Mount the image; what is yielded says how many bytes were read of it since."""
    device = run(need("losetup", "mount"), "--find", "--show", "--read-only", image)
    loop = device.stdout.decode().strip()
    try:
        run("mount", "-t", "ext4", "-o", "ro,noload", loop, mounted)
        try:
            counts = Path(f"/sys/block/{Path(loop).name}/stat")
            yield lambda: int(counts.read_text().split()[2]) * _SECTOR
        finally:
            run("umount", mounted)
    finally:
        run("losetup", "--detach", loop)
