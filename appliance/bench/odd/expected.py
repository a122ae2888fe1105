"""What must become of a film that is brought in, and what became of it: the two held together."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace

from appliance.bench.odd.drawn import Colour, Place, bars_of, beeps_in, number_in
from appliance.errors import KitError
from appliance.film.fragments import FragmentSplitter, Init
from appliance.media.apart import Apart
from appliance.media.structure import check_init
from appliance.media.wire import FilmNote, FilmRefusal, reason_of

IN_TIME = 0.02
"""Seconds that sound may be off."""
SDR = 4
"""Of 255: how much each channel may be off."""
_AT_THE_END = 0.06
"""Seconds that a film may be longer or shorter: sound comes in packets."""
_CUT = 0.25
"""Seconds at the beginning in which no beep is looked for: the first 21 ms are left out."""
_STANDS = 1.1
"""Seconds after which a picture that stands is shown again."""
_DARK = 40

Seen: TypeAlias = "tuple[int, float]"
"""The number of a picture, and the second at which it appears."""


def everywhere(x: float, y: float) -> tuple[float, float]:
    """A picture that fills the film's."""
    return x, y


@dataclass(frozen=True)
class Expected:
    """What a film must come out as, in seconds from its own beginning."""

    pictures: Sequence[Seen] = ()
    """Each that is new, in order."""
    beeps: Sequence[float] | None = None
    """Each, but for one at the very beginning; None: it has no sound."""
    length: float = 0.0
    size: tuple[int, int] = (256, 64)
    refused: FilmRefusal | None = None
    """Why it does not come in: then nothing else is looked at."""
    notes: tuple[FilmNote, ...] = ()
    place: Callable[[float], Place] = lambda at: everywhere
    """Where in the film the picture is that is seen at a second."""
    step: float = 1 / 30
    """Seconds from one of its pictures to the next, mostly: times may be half of it off."""
    least: int | None = None
    """Of a torn film: how many of the pictures must be there at least. Only what is there counts,
    and it lasts as long as that."""
    bars: Sequence[Colour] | None = None


@dataclass(frozen=True)
class Reference:
    """How another reads its colours: what its numbers mean, as ffmpeg's `scale` calls it, or that
    its light has to be brought into what a plain screen shows."""

    matrix: str = "bt709"
    reach: str = "tv"
    bright: bool = False


@dataclass(frozen=True)
class OddFilm:
    """A film as something in the world writes it, and what must become of it."""

    make: Callable[[], bytes]
    expected: Expected
    colours: Reference | None = None
    """Of a film with bars."""


@dataclass(frozen=True)
class Came:
    """What was made of a film, or why nothing."""

    film: bytes = b""
    notes: tuple[FilmRefusal | FilmNote | None, ...] = ()
    refused: KitError | None = None


@dataclass
class Findings:
    """How far off it is, and what is wrong, in words."""

    picture: float = 0.0
    """The worst of its pictures' times, in halves of a step."""
    sound: float = 0.0
    """The worst of its beeps, in seconds."""
    wrong: list[str] = field(default_factory=list)


class Plain:
    """A film in memory, as what decodes it asks for it."""

    def __init__(self, film: bytes) -> None:
        self._film, self.size = film, len(film)

    def read_at(self, offset: int, length: int, /) -> bytes:
        return self._film[offset : offset + length]


def bring(film: bytes, apart: Apart, longest: int = 600) -> Came:
    """Bring a film in as a kit does: by a process set apart, and held against the form of ours.

    What is refused is an answer; anything else that is raised is a fault."""
    splitter, made, seconds = FragmentSplitter(), bytearray(), Fraction(0)

    def take(data: bytes) -> float:
        nonlocal seconds
        made.extend(data)
        for unit in splitter.feed(data):
            if isinstance(unit, Init):
                check_init(unit.data)
            else:
                seconds += unit.seconds
        return float(seconds)

    try:
        came = apart.film(Plain(film), longest, take, lambda done: None)
        splitter.finish()
    except KitError as error:
        return Came(refused=error)
    return Came(bytes(made), tuple(map(reason_of, came.notes)))


def seen_in(
    film: bytes, place: Callable[[float], Place] = lambda at: everywhere
) -> tuple[list[Seen], list[float]]:
    """Each new picture of a film with when it appears, and the times of all its pictures.
    `place` as in `Expected`."""
    found: list[Seen] = []
    times: list[float] = []
    with av.open(io.BytesIO(film), "r") as opened:
        for frame in opened.decode(video=0):
            at = float(frame.time or 0.0)
            number = number_in(frame, place(at))
            times.append(at)
            if not found or number != found[-1][0]:
                found.append((number, at))
    return found, times


def heard_in(film: bytes) -> list[float] | None:
    """When each beep of a film begins; None if it has no sound."""
    pieces: list[tuple[float, AudioFrame]] = []
    with av.open(io.BytesIO(film), "r") as opened:
        if not opened.streams.audio:
            return None
        plain = AudioResampler("fltp", "mono")
        for frame in opened.decode(audio=0):
            begins = float(frame.time or 0.0)
            if frame.format.name == "fltp":
                pieces.append((begins, frame))
            else:
                pieces += [(begins, one) for one in plain.resample(frame)]
    return beeps_in(pieces)


def ends(film: bytes) -> float:
    """The second at which the last of its pictures and sounds ends."""
    with av.open(io.BytesIO(film), "r") as opened:
        return max(
            float(((packet.pts or 0) + (packet.duration or 0)) * packet.time_base)
            for packet in opened.demux()
            if packet.size
        )


def bars_seen(film: bytes) -> list[Colour]:
    """The bars of the tenth picture of a film of ours, as a screen shows what it says they are."""
    with av.open(io.BytesIO(film), "r") as opened:
        *_, tenth = itertools.islice(opened.decode(video=0), 10)
    shown = tenth.reformat(
        format="rgb24",
        src_colorspace=Colorspace.ITU709 if tenth.colorspace == 1 else Colorspace.ITU601,
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
    )
    (plane,) = shown.planes
    wide, data = 3 * shown.width, bytes(plane)
    rows = (data[at * plane.line_size :][:wide] for at in range(shown.height))
    return bars_of(b"".join(rows), shown.width, shown.height)


def apart_by(found: Sequence[Colour], wanted: Sequence[Colour]) -> float:
    """The worst channel, of 255."""
    pairs = zip(found, wanted, strict=True)
    return 255 * max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))


def compared(came: Came, wanted: Expected) -> Findings:
    """How what came in stands to what must."""
    found = Findings()
    if came.refused is not None or wanted.refused is not None:
        said = came.refused and reason_of(came.refused)
        if came.refused is None or said != wanted.refused:
            as_wanted = wanted.refused.value if wanted.refused else "to come in"
            told = came.refused.sentence if came.refused else "It came in."
            found.wrong.append(f"wanted {as_wanted}: {told}")
        return found
    if sorted(map(str, came.notes)) != sorted(map(str, wanted.notes)):
        told = ", ".join(one.value if one else "something else" for one in came.notes) or "nothing"
        found.wrong.append(f"told: {told}")
    _pictures(came, wanted, found)
    _sound(came, wanted, found)
    _shape(came, wanted, found)
    return found


def _pictures(came: Came, wanted: Expected, found: Findings) -> None:
    seen, times = seen_in(came.film, wanted.place)
    there = list(wanted.pictures)
    if wanted.least is not None and wanted.least <= len(seen):
        there = there[: len(seen)]
    if [number for number, _ in seen] != [number for number, _ in there]:
        missing = sorted({number for number, _ in there} - {number for number, _ in seen})
        found.wrong.append(f"{len(seen)} pictures of {len(there)}; not there: {missing[:5]}")
    else:
        off = [abs(a[1] - b[1]) for a, b in zip(seen, there, strict=True)]
        found.picture = max(off) / (wanted.step / 2)
        if found.picture > 1:
            found.wrong.append(f"a picture is {max(off):.4f} s off")
    last = ends(came.film)
    length = wanted.length if wanted.least is None else last
    if abs(last - length) > max(_AT_THE_END, wanted.step):
        found.wrong.append(f"it lasts {last:.3f} s in place of {length:.3f} s")
    stands = max(b - a for a, b in itertools.pairwise([0.0, *times, last]))
    if times[0] != 0 or stands > _STANDS:
        found.wrong.append(f"for {stands:.2f} s no picture is shown")


def _sound(came: Came, wanted: Expected, found: Findings) -> None:
    beeps = heard_in(came.film)
    if beeps is None or wanted.beeps is None:
        if beeps is not None or wanted.beeps is not None:
            found.wrong.append("it has no sound" if beeps is None else "it has sound")
        return
    heard = [one for one in beeps if one > _CUT]
    there = [one for one in wanted.beeps if one > _CUT]
    if wanted.least is not None:
        there = there[: max(len(heard), wanted.least * len(there) // len(wanted.pictures) - 1)]
    if len(heard) != len(there):
        found.wrong.append(f"{len(heard)} beeps of {len(there)}")
        return
    found.sound = max((abs(a - b) for a, b in zip(heard, there, strict=True)), default=0.0)
    if found.sound > IN_TIME:
        found.wrong.append(f"sound is {1000 * found.sound:.0f} ms off")


def _shape(came: Came, wanted: Expected, found: Findings) -> None:
    with av.open(io.BytesIO(came.film), "r") as opened:
        for frame in opened.decode(video=0):
            size = frame.width, frame.height
            if size != wanted.size:
                found.wrong.append(f"its size is {size}, in place of {wanted.size}")
                return
            if not _dark_beside(frame, wanted.place(float(frame.time or 0.0))):
                found.wrong.append(f"at {frame.time:.2f} s it is drawn out")
                return
    if wanted.bars is not None:
        off = apart_by(bars_seen(came.film), wanted.bars)
        if off > SDR:
            found.wrong.append(f"its colours are {off:.0f} of 255 off")


def _dark_beside(frame: VideoFrame, place: Place) -> bool:
    """Whether what is not of the picture is black: below its middle, and left of its lower half."""
    plane = frame.reformat(format="gray").planes[0]
    data = bytes(plane)
    corners = place(0.0, 0.0), place(1.0, 1.0)
    left = min(x for x, _ in corners)
    upper, lower = sorted(y for _, y in corners)
    points = []
    if upper > 0.02:
        points.append((0.5, (1 + lower) / 2))
    if left > 0.02:
        points.append((left / 2, (upper + lower) / 2 + (lower - upper) / 4))
    return all(
        data[int(y * frame.height) * plane.line_size + int(x * frame.width)] < _DARK
        for x, y in points
    )
