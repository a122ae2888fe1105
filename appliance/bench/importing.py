"""Films that are brought in: odd ones and a browser's come whole and true, damaged ones in words,
and an ordinary one takes little more than decoding and encoding it.

The odd films are our own (`appliance.bench.odd`); their colours are held against Debian's ffmpeg.
"""

import itertools
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from appliance.bench import Row, children_seconds, films, in_turn, median_ratio, need, row, run
from appliance.bench.browser import chromium
from appliance.bench.odd.damaged import (
    LONGEST,
    MOST_SECONDS,
    STRANGE,
    Answer,
    answer,
    torn_and_turned,
)
from appliance.bench.odd.drawn import Colour, bars_of, sized
from appliance.bench.odd.expected import (
    IN_TIME,
    Findings,
    Reference,
    apart_by,
    bars_seen,
    bring,
    compared,
)
from appliance.bench.odd.films import FILMS
from appliance.bench.odd.muxed import HEVC, Pictures, made, steps
from appliance.bench.odd.recorded import FEWEST, expected, recordings
from appliance.errors import NotPossible
from appliance.media import remaking
from appliance.media.apart import LIMITS, Apart

MINUTES, TIMES = 10, 3
SDR, HDR = 4, 12
"""Of 255: how much each channel may be off."""
_SEED = 20
_PEAK = 1000 / 203
_TONE_MAPPED = (
    "zscale=t=linear:npl=203,format=gbrpf32le,zscale=p=bt709,"
    f"tonemap=mobius:desat=0:peak={_PEAK:.4f},zscale=t=bt709:m=bt709:r=tv,format=yuv444p,"
)
"""Light of HLG and PQ in what a plain screen shows: white at 203 cd/m² (ITU-R BT.2408)."""
_FFMPEG = ("ffmpeg", "-nostdin", "-v", "error", "-y")

_IMPORT = """
import sys
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from msgspec.structs import replace
from appliance.age.identities import generate_identity
from appliance.bench.films import beginning
from appliance.bench.odd.expected import Plain
from appliance.casework.importing import Original, import_film
from appliance.errors import KitError
from appliance.media.apart import Apart
from appliance.records.files import new_id
from appliance.records.signing import Signer

film, folder, seconds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
recipient = generate_identity().recipient
with closing(Apart()) as apart, closing(Original(folder)) as original:
    with film.open("rb") as file:
        while piece := file.read(1 << 20):
            original.write(piece)
    name = new_id()
    begun = replace(beginning(name, recipient), limit=seconds)
    signer, now = Signer.generate("bench"), lambda: datetime.now(UTC)
    import_film(original, folder / "imports" / name, begun, recipient, signer, now, apart)
    # What decoded is counted once the process that it was made from has seen it end: when the next
    # one is asked for.
    with suppress(KitError):
        list(apart.peaks(Plain(b"none"), 1))
"""


def rows(minutes: int = MINUTES) -> list[Row]:
    """Every measure of the part; the processor's time is taken of a film of so many minutes. Takes
    about an hour. Raises NotPossible without ffmpeg; where there is no Chromium, a row says so."""
    need("ffmpeg")
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as folder:
        place = Path(folder)
        with closing(Apart()) as apart:
            found = [
                *odd(apart, place),
                *browsers(apart),
                memory(),
                *damaged(apart),
            ]
        return [*found, processor(place, minutes)]


# --- Odd films ----------------------------------------------------------------------------------


def odd(apart: Apart, folder: Path) -> list[Row]:
    """Each film as it must be; times, sound and colours of all of them."""
    held = _Held()
    plain, bright = [0.0], [0.0]
    for name, film in FILMS.items():
        data = film.make()
        came = bring(data, apart)
        held.take(name, compared(came, film.expected))
        if film.colours is not None and came.film:
            (folder / name).write_bytes(data)
            theirs = _bars_by_ffmpeg(folder / name, film.colours, film.expected.size)
            (bright if film.colours.bright else plain).append(
                apart_by(bars_seen(came.film), theirs)
            )
    who = "Debian's ffmpeg"
    return [
        *held.rows("odd films"),
        row("grey and colour bars, worst channel, SDR", f"{SDR} of 255 beside {who}",
            max(plain) / SDR, "<= 1.00"),
        row("grey and colour bars, worst channel, HLG and PQ",
            f"{HDR} of 255 beside {who}, mobius at 203 cd/m²", max(bright) / HDR, "<= 1.00"),
    ]  # fmt: skip


class _Held:
    """Films, each held against what it must be."""

    def __init__(self) -> None:
        self._count, self._failed = 0, list[str]()
        self._worst = Findings()

    def take(self, name: str, found: Findings) -> None:
        self._count += 1
        if found.wrong:
            self._failed.append(name)
            print(f"{name}: {'; '.join(found.wrong)}", file=sys.stderr)
        self._worst.picture = max(self._worst.picture, found.picture)
        self._worst.sound = max(self._worst.sound, found.sound)

    def rows(self, what: str) -> list[Row]:
        return [
            _all_of(f"{what} that come in as they must", self._count, self._failed),
            row(f"{what}: worst picture's time", "half a frame", self._worst.picture, "<= 1.00"),
            row(f"{what}: worst of sound against picture", f"{1000 * IN_TIME:.0f} ms",
                self._worst.sound / IN_TIME, "<= 1.00"),
        ]  # fmt: skip


def _all_of(what: str, count: int, failed: Sequence[str]) -> Row:
    against = f"{count} of {count}"
    if failed:
        against += f"; not {', '.join(failed)}"
    return row(what, against, (count - len(failed)) / count, ">= 1.0000")


def _bars_by_ffmpeg(film: Path, colours: Reference, size: tuple[int, int]) -> list[Colour]:
    """The bars of the tenth picture as Debian's ffmpeg shows them on a plain screen."""
    matrix, reach = ("bt709", "tv") if colours.bright else (colours.matrix, colours.reach)
    shown = (
        f"scale=in_color_matrix={matrix}:in_range={reach}:out_range=pc"
        ":flags=accurate_rnd+full_chroma_int+full_chroma_inp,format=rgb24"
    )
    chain = f"select=eq(n\\,9),{_TONE_MAPPED if colours.bright else ''}{shown}"
    out = ("-frames:v", "1", "-f", "rawvideo", "-")
    data = run(*_FFMPEG, "-i", film, "-vf", chain, *out).stdout
    return bars_of(data, *size)


# --- A browser's --------------------------------------------------------------------------------


def browsers(apart: Apart) -> list[Row]:
    """What Chromium records, in each kind that it offers."""
    held, count = _Held(), 0
    try:
        with chromium() as browser:
            for recording in recordings(browser):
                count += 1
                came = bring(recording.film, apart)
                held.take(recording.name, compared(came, expected(recording.film)))
    except NotPossible as error:
        return [row("recordings by Chromium", f"{FEWEST}: {error.sentence}", 0.0, ">= 1.00")]
    enough = row("recordings by Chromium", f"{FEWEST} of them", count / FEWEST, ">= 1.00")
    return [enough, *held.rows("recordings by Chromium")]


# --- What is damaged ----------------------------------------------------------------------------


def damaged(apart: Apart) -> list[Row]:
    """Every odd film torn and with a bit turned, and what says strange things of itself."""
    answers: dict[str, Answer] = {}
    for number, (name, film) in enumerate(FILMS.items()):
        for how, data in torn_and_turned(film.make(), _SEED + number):
            answers[f"{name} {how}"] = answer(data, apart)
    for name, make in STRANGE.items():
        answers[name] = answer(make(), apart, LONGEST)
    wrong = [name for name, one in answers.items() if one.wrong]
    for name in wrong:
        print(f"{name}: {answers[name].wrong}", file=sys.stderr)
    slowest = max(one.seconds for one in answers.values())
    what = "torn films, turned bits and strange heads"
    return [
        _all_of(f"{what}, answered in words", len(answers), wrong),
        row(f"{what}: the slowest", f"{MOST_SECONDS:.0f} s", slowest / MOST_SECONDS, "<= 1.00"),
    ]


# --- What it takes ------------------------------------------------------------------------------


def processor(folder: Path, minutes: int) -> Row:
    """Ours with all that belongs to it, sealing too; theirs with the encoder's settings of ours."""
    raw, film, out = folder / "raw.mp4", folder / "film.mp4", folder / "out.mp4"
    films.make((raw, minutes))
    run(*_FFMPEG, "-i", raw, "-map", "0", "-c", "copy", film)
    encoder = itertools.chain.from_iterable((f"-{k}", v) for k, v in remaking.ENCODER.items())
    threads = min(os.cpu_count() or 1, remaking.MOST_THREADS)
    options: tuple[object, ...] = (
        *("-fps_mode", "passthrough", "-c:v", "libx264", *encoder, "-threads", threads),
        *("-force_key_frames", "expr:gte(t,n_forced)", "-pix_fmt", "yuv420p"),
        *("-c:a", "aac", "-b:a", "128k", "-movflags", "frag_keyframe+empty_moov"),
    )

    def ours() -> float:
        return _children(sys.executable, "-c", _IMPORT, film, folder, 60 * minutes + 60)

    def theirs() -> float:
        return _children(*_FFMPEG, "-threads", threads, "-i", film, *options, out)

    taken = in_turn(ours, theirs, times=TIMES)
    return row(
        f"processor time to bring in {minutes} min of 1080p H.264",
        "ffmpeg decoding and encoding it alike",
        median_ratio(*taken),
        "<= 1.15",
    )


def _children(*command: object) -> float:
    before = children_seconds()
    run(*command)
    return children_seconds() - before


def memory() -> Row:
    """The largest that the process gets which decodes a film of 4K, 60 pictures a second and ten
    bits."""
    draw = sized(3840, 2160)
    shown = Pictures(
        steps(0, 1.5, 60), "libx265", HEVC, lambda n: draw(n).reformat(format="yuv420p10le")
    )
    film = made(shown, container="mov")
    with closing(Apart()) as apart, _largest() as most:
        came = bring(film, apart)
    limit = f"its limit of {LIMITS.memory >> 20} MiB"
    against = limit if came.film else f"{limit}: it was refused"
    found = row("memory to decode 4K60 HEVC of ten bits", against,
                max(most) / LIMITS.memory, "<= 1.00")  # fmt: skip
    return replace(found, met=found.met and bool(came.film))


@contextmanager
def _largest() -> Iterator[list[int]]:
    """Bytes of address space of each process that comes from this one, looked at all the time."""
    most, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(0.02):
            most.extend(map(_address_space, _descendants()))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        yield most
    finally:
        over.set()
        looking.join()


def _descendants() -> list[int]:
    """The processes that come from this one."""
    children: dict[int, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        said = _read(place / "stat").rpartition(")")[2].split()
        if said:
            children.setdefault(int(said[1]), []).append(int(place.name))
    found = children.get(os.getpid(), [])
    for one in found:
        found += children.get(one, [])
    return found


def _address_space(process: int) -> int:
    """Bytes; 0 of one that has ended."""
    said = _read(Path(f"/proc/{process}/status")).partition("VmPeak:")[2].split()
    return int(said[0]) << 10 if said else 0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
