"""Filming, compared with the same pictures encoded without a seal, and with what it must reach.

The recorder runs as a process of its own, with the test card before it. Latencies are what it says
of itself. The long film is made as fast as the card takes it, unless it is asked for in real time.
Its sound has a clock that drifts, and gaps; what is measured is the film after unsealing.
"""

import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import av

from appliance.bench import MEMORY, Row, in_turn, median_ratio, row, run
from appliance.config import Config, Faults
from appliance.errors import NotPossible
from appliance.film.recording import open_recording
from appliance.media import av_sync
from appliance.selftest.kit import Kit
from appliance.selftest.visit import Visit

WIDTH, HEIGHT, RATE = 1280, 720, 30
SECONDS = 15
"""Of a film whose CPU is taken."""
TIMES = 9
PRESSES = 9
LONG = 45 * 60
"""Seconds of the long film."""
PLACES = (0, LONG // 2 // 60 * 60, LONG - 5)
"""Seconds of it near which sound and picture are compared."""
SKEW, LOST = 200.0, 0.5
"""Millionths that the long film's sound clock is off, and seconds of sound lost in each minute."""

LIGHT_WITHIN, SEALED_WITHIN, CLOSED_WITHIN = 20.0, 250.0, 200.0
"""Milliseconds."""
GROWTH = 2 << 20
APART = 0.040
"""Seconds that sound may be off its picture."""

_PLAIN = """
import io, resource, sys, threading, time
from fractions import Fraction
import av
from appliance.film.fragments import MUXER, MUXER_OPTIONS
from appliance.records.clock import SystemClock
from firmware.camera import SAMPLE_RATE, TICKS
from firmware.cameras.scene import SceneCamera
from firmware.cameras.testcard import TestCard
from firmware.muxer import SOUND_BIT_RATE

out, width, height, rate, bit_rate, seconds = sys.argv[1], *map(int, sys.argv[2:])
opened, ended = [], threading.Event()

class Film:
    with_sound, busy, container = True, False, None

    def __init__(self, file):
        self.file, self.samples, self.heard = file, av.AudioFifo(), 0

    def picture(self, data, time_, duration, key):
        opened or opened.append(time.monotonic())
        if time_ >= seconds * TICKS:
            ended.set()
            return
        if self.container is None:
            self.container = av.open(self.file, "w", format=MUXER, options=dict(MUXER_OPTIONS))
            with av.open(io.BytesIO(data), format="h264") as coded:
                self.pictures = self.container.add_stream_from_template(coded.streams.video[0])
            self.pictures.time_base = Fraction(1, TICKS)
            self.sounds = self.container.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
            self.sounds.bit_rate = SOUND_BIT_RATE
        packet = av.Packet(data)
        packet.stream, packet.time_base = self.pictures, Fraction(1, TICKS)
        packet.pts = packet.dts = time_
        packet.duration, packet.is_keyframe = duration, key
        self.container.mux(packet)

    def sound(self, frame):
        if frame.pts >= seconds * SAMPLE_RATE:
            return
        frame.pts = None
        self.samples.write(frame)
        while (part := self.samples.read(1024)) is not None:
            part.pts, part.time_base = self.heard, Fraction(1, SAMPLE_RATE)
            self.heard += part.samples
            self.container.mux(self.sounds.encode(part))

    def close(self):
        self.container.mux(self.sounds.encode(None))
        self.container.close()

camera = SceneCamera(TestCard(width, height, rate), bit_rate, SystemClock())
with open(out, "wb", buffering=0) as file:
    film = Film(file)
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    camera.start(film, print)
    ended.wait()
    camera.stop()
    film.close()
after = resource.getrusage(resource.RUSAGE_SELF)
cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
print(cpu, 1000 * (opened[0] - began))
"""
"""The same pictures and sound by the same encoders into a plain fragmented MP4, by libav's own
muxer alone. Says how many seconds of CPU it took, and how many milliseconds the camera until its
first picture."""


def rows(real_time: bool = False) -> list[Row]:
    """Every measure of the part. Takes about a quarter of an hour, with `real_time` an hour."""
    # Where the page is told of the film: on a kit that is in memory, too.
    memory = MEMORY if MEMORY.is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="attune-bench-") as folder,
        tempfile.TemporaryDirectory(prefix="attune-bench-", dir=memory) as run,
    ):
        bench = _Bench(Path(folder), Path(run))
        return [bench.cpu(), *bench.latencies(), *bench.long_film(hurry=not real_time)]


class _Bench:
    def __init__(self, folder: Path, memory: Path) -> None:
        self._folder = folder
        self._memory = memory
        self._camera_starts: list[float] = []
        """Milliseconds that the camera took by itself to its first picture."""

    def _kit(self, name: str, **settings: Any) -> Kit:
        folder = self._folder / name
        config = Config(
            home=str(folder / "home"),
            run=str(self._memory / name),
            camera="scene",
            width=WIDTH,
            height=HEIGHT,
            frame_rate=RATE,
            **settings,
        )
        return Kit(config, folder / "logs")

    def cpu(self) -> Row:
        """CPU of a picture, from the press to the closed film, and in the same encode beside it."""
        with self._kit("cpu") as kit:
            visit = Visit.begin(kit)
            visit.vouch()

            def sealed() -> float:
                visit.arm(limit=SECONDS)
                kit.recorder_shows("ready", lambda s: s.state == "ready")
                before = _cpu_of(kit.pid("recorder"))
                visit.film()
                pictures = visit.ended().frames_in
                return (_cpu_of(kit.pid("recorder")) - before) / pictures

            ours, theirs = in_turn(
                sealed, lambda: self._plain(kit.config.bits_a_second), times=TIMES
            )
        what = f"CPU of filming {SECONDS} s of 720p30 sealed"
        against = "the same encode to a plain fragmented MP4"
        return row(what, against, median_ratio(ours, theirs), "<= 1.05")

    def _plain(self, bit_rate: int) -> float:
        numbers = (WIDTH, HEIGHT, RATE, bit_rate, SECONDS)
        done = run(sys.executable, "-c", _PLAIN, self._folder / "plain.mp4", *numbers)
        cpu, start = map(float, done.stdout.split())
        self._camera_starts.append(start)
        return cpu / (SECONDS * RATE)

    def latencies(self) -> Iterator[Row]:
        """Medians over a few films, as the recorder tells them. Comes after `cpu`."""
        told: dict[str, list[float]] = {}
        with self._kit("latencies") as kit:
            visit = Visit.begin(kit)
            visit.vouch()
            visit.arm(films=PRESSES)
            for _ in range(PRESSES):
                kit.recorder_shows("ready", lambda s: s.state == "ready")
                visit.film()
                kit.press(0.1)
                ended = visit.ended()
                for name, value in ended.timings_ms.items():
                    told.setdefault(name, []).append(value)
        start = statistics.median(self._camera_starts)
        for what, name, reach, more in (
            ("accepted release to light", "release_to_light", LIGHT_WITHIN, 0.0),
            ("accepted release to first sealed frame", "release_to_sealed", SEALED_WITHIN, start),
            ("stop press to camera closed", "stop_to_closed", CLOSED_WITHIN, 0.0),
        ):
            against = f"{reach:.0f} ms"
            against += f" and the camera's own start, {more:.0f} ms" if more else ""
            found = statistics.median(told[name]) / (reach + more)
            yield row(f"{what}, median of {PRESSES}", against, found, "<= 1.00")

    def long_film(self, hurry: bool) -> Iterator[Row]:
        """Memory, frames and sound of the longest film that is offered."""
        faults = Faults(sound_ppm=SKEW, sound_lost=LOST)
        with self._kit("long", hurry=hurry, faults=faults) as kit:
            visit = Visit.begin(kit)
            visit.vouch()
            visit.arm(limit=LONG)
            began = visit.film()
            memory: list[tuple[float, int]] = []
            while (status := visit.status).state == "filming":
                memory.append((status.frames_in / RATE, _memory_of(kit.pid("recorder"))))
                time.sleep(0.25 if hurry else 2)
            ended = visit.ended()
        if ended.ended != "limit":
            raise NotPossible(
                f"The long film was ended by {ended.ended} after {ended.frames_in} frames.",
                "Try again when the machine has less to do.",
            )
        first = statistics.median(size for at, size in memory if 60 <= at < 120)
        last = statistics.median(size for at, size in memory if at >= LONG - 60)
        what = "memory growth over a film of 45 minutes, from its second minute to its last"
        yield row(what, "2 MiB", (last - first) / GROWTH, "<= 1.00")
        directory = kit.home.recording(began.recording)
        with closing(open_recording(directory, [visit.case.identity])) as opened:
            with opened.film.open() as film, av.open(film, "r") as container:
                kept = {
                    round(packet.pts * packet.time_base * RATE)
                    for packet in container.demux(video=0)
                    if packet.pts is not None
                }
            # By the clock the limit counts from the press, and the camera begins a little later:
            # what it had no time for is not lost. All up to its last picture must be here.
            given = max(max(kept) + 1 - ended.frames_missed, ended.frames_in)
            if given < (LONG - 1) * RATE:
                raise NotPossible(f"The long film ended after {given} frames.")
            what = "frames lost in 45 minutes of 720p30 that the kit did not report"
            yield row(what, f"{given} frames", (given - len(kept)) / given, "<= 0.000000")
            for at in PLACES:
                with opened.film.open() as film:
                    apart = av_sync.worst(film, at)
                what = (
                    f"sound against picture at {at // 60}:{at % 60:02} of 45 minutes, sound clock "
                    f"{SKEW:.0f} ppm off and {LOST} s of each minute lost"
                )
                yield row(what, "40 ms", apart / APART, "<= 1.00")


def _cpu_of(process: int) -> float:
    """CPU seconds of a process so far, in it and for it in the system."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _memory_of(process: int) -> int:
    """Bytes of memory that a process has filled with things of its own, not read from files."""
    told = Path(f"/proc/{process}/smaps_rollup").read_text()
    found = re.search(r"^Anonymous:\s+(\d+) kB", told, re.M)
    assert found is not None
    return int(found[1]) << 10
