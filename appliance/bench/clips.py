"""Clips, stills, filmstrip and sound peaks, against ffmpeg and smartcut, and checked by ffmpeg.

The films are made by the recorder's own encoder and muxer from its test card, which burns into each
frame its number; a minute is encoded, and repeated. What is timed is whole processes, from file to
file, each at the same random place; what is in a clip is told by ffmpeg, not by our own code.
"""

import io
import os
import random
import statistics
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from pathlib import Path

from appliance.age.identities import generate_identity
from appliance.bench import Row, children_seconds, films, in_turn, median_ratio, need, row, run
from appliance.bench.films import RATE
from appliance.errors import NotPossible
from appliance.film.recording import OpenedFilm, open_recording, write_film
from appliance.media.cutting import cut
from appliance.media.stills import filmstrip, peaks, still
from appliance.records.files import lines, new_id

MINUTES, CLIP = 10, 30
"""Minutes of the film that is cut, seconds of the clip that is timed."""
TIMES = 7
CUTS, LONGEST = 200, 120
"""Random cuts, and the frames of the longest of them, but for each tenth: that is a whole clip."""
LOOKED_AT = 20
"""Clips of which also every packet and the picture encoded again are compared with the film's."""
LONG_MINUTES, SMALL, PARTS = 45, 120, 2700
STILL = 0.25
"""Seconds that a still may take."""
SMARTCUT = "smartcut==1.7"
_CELLS, _BITS = 34, 24
"""How `firmware.cameras.testcard` burns a number in: two cells, the number, and eight of check."""


def rows() -> list[Row]:
    """Every measure of the part. Takes about six minutes and 2 GiB in the temporary directory.

    smartcut is installed into an environment of its own in the user's cache (~/.cache/attune/bench)
    and stays there; where it cannot be had, its row is left out and the reason told on standard
    error. Raises NotPossible without ffmpeg.
    """
    need("ffmpeg")
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as folder:
        bench = _Bench(Path(folder))
        return [*bench.times(), *bench.exactness(), bench.still(), bench.filmstrip()]


class _Bench:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dice = random.Random(8)  # noqa: S311 - places to cut at
        raw, long = folder / "raw.mp4", folder / "raw-long.mp4"
        films.make((raw, MINUTES), (long, LONG_MINUTES))
        self._film, self._long = folder / "film.mp4", folder / "plain.mp4"
        opened = _opened(raw, folder / new_id()), _opened(long, folder / new_id())
        # As `attune open` gives it.
        for recording, path in zip(opened, (self._film, self._long), strict=True):
            with path.open("wb") as plain:
                write_film(recording, plain)
        opened[0].close()
        self._sealed = opened[1]

    # --- Time -----------------------------------------------------------------------------------

    def times(self) -> list[Row]:
        """Seconds from the command to the clip."""
        film, clip = self._film, self._folder / "clip.mp4"
        places = [self._dice.randrange(RATE * (60 * MINUTES - CLIP)) for _ in range(TIMES + 1)]
        spans = [(f"{at / RATE:.9f}", f"{at / RATE + CLIP:.9f}") for at in places]

        def ours(spans: Iterator[tuple[str, str]]) -> float:
            start, end = next(spans)
            command = (sys.executable, "-m", "appliance", "cut", film)
            return _seconds(*command, "--from", start, "--to", end, "-o", clip)

        def encoding(spans: Iterator[tuple[str, str]]) -> float:
            start, _ = next(spans)
            options = ("-c:v", "libx264", "-preset", "veryfast", "-c:a", "aac")
            return _seconds(*_FFMPEG, "-ss", start, "-i", film, "-t", CLIP, *options, clip)

        def smart(spans: Iterator[tuple[str, str]]) -> float:
            return _seconds(smartcut, film, clip, "--keep", ",".join(next(spans)))

        version = _output("ffmpeg", "-version").decode().split()[2]
        others: list[tuple[str, Callable[[Iterator[tuple[str, str]]], float], str]] = [
            (f"ffmpeg {version} encoding it with libx264 veryfast", encoding, "<= 0.08")
        ]
        try:
            smartcut = _smartcut()
        except (NotPossible, OSError) as error:
            print(f"Not compared with {SMARTCUT}: {error}", file=sys.stderr)
        else:
            others.append((SMARTCUT.replace("==", " "), smart, "<= 0.60"))
        measures = (ours, *(measure for _, measure, _ in others))
        # Each goes through the same places.
        taken = in_turn(*(partial(measure, iter(spans)) for measure in measures), times=TIMES)
        return [
            row(f"time of an exact cut of {CLIP} s", name, median_ratio(taken[0], seconds), reach)
            for (name, _, reach), seconds in zip(others, taken[1:], strict=True)
        ]

    # --- What is in it --------------------------------------------------------------------------

    def exactness(self) -> list[Row]:
        """Random cuts, taken apart by ffmpeg with edit lists ignored."""
        originals = _packets(self._film)
        clip = self._folder / "clip.mp4"
        exact, copied, identical, worst = 0, 0, 0, 1.0
        for number in range(CUTS):
            length = self._dice.randint(1, LONGEST) if number % 10 else CLIP * RATE
            first = self._dice.randrange(RATE * 60 * MINUTES - length)
            with self._film.open("rb") as film, clip.open("wb") as out:
                done = cut(film, Fraction(first, RATE), Fraction(first + length, RATE), out)
            expected = [n % films.MINUTE for n in range(first, first + length)]
            exact += _numbers(clip) == expected and done.frames == length
            if number < LOOKED_AT:
                packets = _packets(clip)
                # What lies before the next key frame is encoded again.
                again = min(-first % RATE, length)
                copied += length - again
                theirs = originals[first + again : first + length]
                identical += sum(map(str.__eq__, packets[again:], theirs))
                if again:
                    worst = min(worst, _likeness(clip, self._film, first, again))
        return [
            row("random cuts exact in every frame", f"{CUTS} cuts", exact / CUTS, ">= 1.00"),
            row("pictures copied, identical", "the film's own", identical / copied, ">= 1.0000"),
            row("worst frame encoded again, SSIM", "the film's own", worst, ">= 0.9800"),
        ]

    # --- Its pictures ----------------------------------------------------------------------------

    def still(self) -> Row:
        taken = []
        for _ in range(10 * TIMES):
            at = Fraction(self._dice.randrange(RATE * 60 * MINUTES), RATE)
            with self._film.open("rb") as film:
                started = time.perf_counter()
                still(film, at, io.BytesIO())
                taken.append(time.perf_counter() - started)
        ratio = statistics.median(taken) / STILL
        return row("still at a random frame, median", f"{STILL} s", ratio, "<= 1.00")

    def filmstrip(self) -> Row:
        """Ours from the sealed film, as the page has it; ffmpeg from the plain one. Of the
        processor: on a busy machine a clock says most of how many threads each of them has."""
        film = self._sealed.film

        def ours() -> float:
            started = time.process_time()
            assert sum(1 for _ in filmstrip(film.open(), SMALL, 90)) == SMALL
            assert sum(1 for _ in peaks(film.open(), PARTS)) == PARTS
            return time.process_time() - started

        def theirs() -> float:
            keys = ("-skip_frame", "nokey", "-i", self._long, "-map", "0:v", "-f", "null", "-")
            before = children_seconds()
            run(*_FFMPEG, *keys)
            return children_seconds() - before

        taken = in_turn(ours, theirs, times=3)
        return row(
            f"processor time: filmstrip of {SMALL} and peaks of {LONG_MINUTES} sealed minutes",
            "one ffmpeg pass over the plain film decoding key frames",
            median_ratio(*taken),
            "<= 0.50",
        )


_NO_MESSAGES = "filter_units=remove_types=6"
_FFMPEG = ("ffmpeg", "-nostdin", "-v", "error", "-y")


def _numbers(clip: Path) -> list[int | None]:
    """The number burned into each frame of the file, hidden or not; None where there is none."""
    look = f"crop=iw:ih/24:0:ih/48,scale={_CELLS}:1:flags=area,format=gray"
    options = ("-fps_mode", "passthrough", "-f", "rawvideo", "-")
    command = (*_FFMPEG, "-ignore_editlist", 1, "-i", clip, "-map", "0:v", "-vf", look, *options)
    frames = _output(*command)
    return [_number(frames[at : at + _CELLS]) for at in range(0, len(frames), _CELLS)]


def _number(cells: bytes) -> int | None:
    bits = "".join("1" if cell > 128 else "0" for cell in cells)
    value, check = int(bits[2 : 2 + _BITS], 2), int(bits[2 + _BITS :], 2)
    right = zlib.crc32(value.to_bytes(_BITS // 8, "big")) & 0xFF == check
    return value if right and bits.startswith("10") else None


def _packets(film: Path) -> list[str]:
    """The MD5 of each packet of the picture, in order, hidden or not; of all that is in it but
    messages, for an encoder signs in one, and a clip does not repeat that."""
    copying = ("-map", "0:v", "-c", "copy", "-bsf:v", _NO_MESSAGES, "-f", "framemd5", "-")
    told = _output(*_FFMPEG, "-ignore_editlist", 1, "-i", film, *copying).decode()
    return [line.rpartition(",")[2].strip() for line in lines(told) if not line.startswith("#")]


def _likeness(clip: Path, film: Path, first: int, count: int) -> float:
    """The SSIM of the worst of the first `count` frames of a clip, beside the film's."""
    parts = f"[0:v]trim=end_frame={count},setpts=N[a];[1:v]trim=end_frame={count},setpts=N[b]"
    # A little early: the first frame then is the one meant.
    start = f"{max(first / RATE - 0.01, 0):.6f}"
    compared = f"{parts};[a][b]ssim=stats_file=-"
    told = _output(
        *_FFMPEG, "-i", clip, "-ss", start, "-i", film, "-lavfi", compared, "-f", "null", "-"
    ).decode()
    return min(float(line.partition("All:")[2].split()[0]) for line in lines(told))


def _opened(raw: Path, folder: Path) -> OpenedFilm:
    """What the recorder's muxer made, as the recorder keeps it, and opened again."""
    identity = generate_identity()
    started = films.beginning(folder.name, identity.recipient)
    films.keep(raw, folder, identity.recipient, started)
    return open_recording(folder, [identity])


def _smartcut() -> Path:
    """The program, from an environment of its own. Raises NotPossible if it cannot be had."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "attune" / "bench" / SMARTCUT
    program = place / "bin" / "smartcut"
    if not program.exists():
        run(sys.executable, "-m", "venv", "--clear", place)
        run(place / "bin" / "pip", "install", "--quiet", "--only-binary", ":all:", SMARTCUT)
    return program


def _seconds(*command: object) -> float:
    started = time.perf_counter()
    run(*command)
    return time.perf_counter() - started


def _output(*command: object) -> bytes:
    return run(*command).stdout
