"""What a pulled plug costs while a film is made, and how often the card is asked to keep it.

A recorder films at its own default size and bit rate, once a scene that is nearly still and once
one that takes all the bits it is given. It is watched: when its camera gives a picture, and what
is in the film's files when a sync of the card has ended. So it is known for every moment which
picture a plug, pulled then, would leave as the last: the loss at a random moment has a median and
a most. The card is in memory and takes no time: what a real one needs for a sync comes on top,
and `attune hardware` measures that. `tests/vm/plug.py` pulls the power of whole machines.
"""

import bisect
import json
import random
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from appliance.age.sealing import CHUNK, TAG
from appliance.bench import MEMORY, Row, before, row, run
from appliance.bench.odd.expected import Plain
from appliance.errors import Incomplete, NotPossible
from appliance.film.index import rebuild_index
from appliance.records.files import lines

SECONDS = 60
"""Of each film."""
MEDIAN, MOST = 0.3, 0.5
"""Seconds of film that a plug may cost."""
STEP = 0.001
"""Seconds from one moment to the next at which a plug is thought to be pulled."""
KEPT_UP = 0.9
"""Of the pictures that were due, how many the machine must have had time for."""
_SIZE = (1280, 720)

_WATCHED = """
import os, runpy, sys, time
from firmware.camera import GuardedSink

told = open(sys.argv.pop(1), "w", buffering=1)

def note(sync):
    def watched(descriptor):
        sync(descriptor)
        at, size = time.monotonic(), os.fstat(descriptor).st_size
        told.write(f"sync {at} {size} {os.readlink(f'/proc/self/fd/{descriptor}')}\\n")
    return watched

take = GuardedSink.picture

def picture(self, *given, **named):
    at, before = time.monotonic(), self.pictures
    take(self, *given, **named)
    if self.pictures > before:
        told.write(f"picture {at}\\n")

GuardedSink.picture, os.fsync, os.fdatasync = picture, note(os.fsync), note(os.fdatasync)
runpy.run_module("firmware", run_name="__main__", alter_sys=True)
"""
"""A recorder that writes down what happens, in a process of its own. The same for both commits."""

_FILM = """
import importlib, json, sys
from pathlib import Path
from appliance.config import Config

root, scene, seconds, watched = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
kits, visits, sealed = (importlib.import_module(f"appliance.{name}") for name in sys.argv[5:])

class Watched(kits.Kit):
    def start(self, process, *options):
        words = ["-P", "-c", watched, str(root / "told"), "--config", str(self.config_path)]
        self._running[process] = kits.spawn([sys.executable, *words], root / "recorder.log")

config = Config(home=str(root / "home"), run=str(root / "run"), camera="scene", scene=scene)
with Watched(config, root / "logs") as kit:
    visit = visits.Visit.begin(kit)
    visit.vouch()
    visit.arm(limit=seconds)
    began = visit.film()
    ended = visit.ended(seconds + 60)
(root / "plain").mkdir()
for path in kit.home.recording(began.recording).glob("*.mp4.age"):
    plain = sealed.unseal(path.read_bytes(), [visit.case.identity])
    (root / "plain" / path.name).write_bytes(plain)
rate = getattr(config, "pictures_a_second", None) or config.frame_rate
print(json.dumps({"rate": rate, "why": ended.ended, "pictures": ended.frames_in}))
"""
"""A visit in which the watched recorder films. The segments are laid out in clear: nobody is on
them."""


_NAMES = ("selftest.kit", "selftest.visit", "age.unsealing")
_EARLIER_NAMES = ("kit", "kit", "unsealing")
"""What has a kit, a visit and what unseals, in each of the two commits."""


@dataclass(frozen=True)
class Watched:
    """A film that was watched as it was made."""

    rate: int
    given: list[float]
    """Monotonic seconds at which its camera gave each picture."""
    syncs: list[tuple[float, int]]
    """When each sync had ended, and how many pictures were whole on the card from then on."""

    @property
    def syncs_a_second(self) -> float:
        first, last = self.given[0], self.given[-1]
        return sum(first <= at <= last for at, _ in self.syncs) / (last - first)

    def losses(self) -> list[float]:
        """Seconds of film that a plug costs at each moment, from the first picture to the last."""
        first, last = self.given[0], self.given[-1]
        times = [at for at, _ in self.syncs]
        kept = [0, *(count for _, count in self.syncs)]
        moments = (first + STEP * step for step in range(int((last - first) / STEP)))
        return [
            (bisect.bisect(self.given, at) - kept[bisect.bisect(times, at)]) / self.rate
            for at in moments
        ]


def rows() -> list[Row]:
    """Every measure of the part. Takes about five minutes."""
    memory = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="attune-bench-", dir=memory) as place:
        folder = Path(place)
        snow = folder / "snow.mp4"
        make_snow(snow)
        earlier = before.tree(folder)
        return list(
            _rows(folder, earlier, {"a still scene": "", "a scene of many bits": str(snow)})
        )


def _rows(folder: Path, earlier: Path, scenes: dict[str, str]) -> Iterator[Row]:
    for number, (name, scene) in enumerate(scenes.items()):
        ours = watch(before.HERE, folder / f"ours-{number}", scene)
        theirs = watch(earlier, folder / f"theirs-{number}", scene)
        lost, once = ours.losses(), theirs.losses()
        for what, reach, of in (("median", MEDIAN, statistics.median), ("most", MOST, max)):
            against = f"{reach} s ({before.COMMIT}: {of(once):.2f} s)"
            yield row(f"film lost by a plug, {name}, {what}", against, of(lost) / reach, "<= 1.00")
        ratio = ours.syncs_a_second / theirs.syncs_a_second
        against = f"{before.COMMIT}, {theirs.syncs_a_second:.1f}"
        yield row(f"syncs of the card a second, {name}", against, ratio, "<= 1.50")


def watch(code: Path, root: Path, scene: str) -> Watched:
    """Film `scene` with the recorder of that tree. Raises NotPossible if it does not, or does
    not keep up."""
    root.mkdir()
    names = _NAMES if code == before.HERE else _EARLIER_NAMES
    words = [sys.executable, "-P", "-c", _FILM, root, scene, SECONDS, _WATCHED, *names]
    done = json.loads(run(*words, env=before.surroundings(code)).stdout)
    plain = {path.name: path.read_bytes() for path in (root / "plain").iterdir()}
    kept = dict.fromkeys(plain, 0)
    given, syncs = list[float](), list[tuple[float, int]]()
    for line in lines((root / "told").read_text()):
        kind, at, *more = line.split(" ", 3)
        if kind == "picture":
            given.append(float(at))
            continue
        path = Path(more[1])
        if path.name in plain:
            kept[path.name] = pictures_in(path, int(more[0]), plain[path.name])
        syncs.append((float(at), sum(kept.values())))
    if len(given) < KEPT_UP * done["rate"] * SECONDS:
        raise NotPossible(
            f"The camera gave only {len(given)} pictures in {SECONDS} s.",
            "Try again when the machine has less to do.",
        )
    return Watched(done["rate"], given, syncs)


def pictures_in(sealed: Path, size: int, plain: bytes) -> int:
    """How many whole pictures lie in the first `size` bytes of a sealed segment."""
    there = sealed.stat().st_size
    head = there - len(plain) - TAG * -(-len(plain) // CHUNK)
    part = plain if size >= there else plain[: max(size - head, 0) // (CHUNK + TAG) * CHUNK]
    try:
        return rebuild_index(Plain(part), "", 0).frames
    except Incomplete:
        return 0


def make_snow(path: Path) -> None:
    """Two seconds of a picture that no encoder can make small."""
    dice = random.Random(1)  # noqa: S311 - only to look at
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=Fraction(30), options={"preset": "ultrafast"})
        stream.width, stream.height = _SIZE
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 20_000_000
        for _ in range(60):
            frame = av.VideoFrame(*_SIZE, "yuv420p")
            for plane in frame.planes:
                plane.update(dice.randbytes(plane.buffer_size))
            film.mux(stream.encode(frame))
        film.mux(stream.encode(None))
