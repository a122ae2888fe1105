"""Films whose picture and sound begin, stand and end when they like, as calls and telephones make
them; and what becomes of them when they are brought in."""

import io
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import av

from appliance.errors import KitError
from appliance.media.decoder import Remote
from appliance.media.transcoding import transcode
from appliance.media.wire import FilmNote, Kind, decoded
from tests.support import films

CODECS = {
    "mp4": ("libx264", "aac", {"bf": "0", "g": "30", "preset": "ultrafast"}),
    "mov": ("libx264", "aac", {"bf": "2", "g": "30", "preset": "medium"}),
    "matroska": ("libx264", "aac", {"bf": "0", "g": "30", "preset": "ultrafast"}),
    "webm": ("libvpx", "libopus", {"g": "30", "deadline": "realtime", "cpu-used": "8"}),
}
LIVE = {"live": "1"}
"""As a browser writes: no length anywhere."""


@dataclass(frozen=True)
class Heard:
    """A track of sound: it beeps as each second of the file's time begins."""

    begin: float
    end: float
    sample: Callable[[int], float] = films.beep


def made(
    pictures: Sequence[float],
    *sounds: Heard,
    container: str = "mp4",
    options: dict[str, str] | None = None,
    sizes: Callable[[int], tuple[int, int]] = lambda number: (films.WIDTH, films.HEIGHT),
    lasts: float = 1 / 30,
) -> bytes:
    """A film whose numbered pictures appear at these seconds, the last for so long."""
    codec, sounding, encoder = CODECS[container]
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=options or {}) as file:
        track = file.add_stream(codec, rate=30, options=encoder)
        track.width, track.height, track.pix_fmt = *sizes(0), "yuv420p"
        track.time_base = track.codec_context.time_base = Fraction(1, films.TICKS)
        heard = [
            file.add_stream(sounding, rate=films.RATE, layout="mono", format=_form(sounding))
            for _ in sounds
        ]
        packets = [
            *_pictures(track, codec, encoder, pictures, sizes, lasts),
            *(
                one
                for each, sound in zip(heard, sounds, strict=True)
                for one in _sound(each, sound)
            ),
        ]
        for packet in sorted(packets, key=lambda one: (one.dts or 0) * one.time_base):
            file.mux(packet)
    return out.getvalue()


def _pictures(
    track: Any,
    codec: str,
    encoder: dict[str, str],
    pictures: Sequence[float],
    sizes: Callable[[int], tuple[int, int]],
    lasts: float,
) -> list[Any]:
    packets: list[Any] = []
    context, size = track.codec_context, sizes(0)
    gone = dict(zip(pictures, [*pictures[1:], pictures[-1] + lasts], strict=True))
    for number, at in enumerate(pictures):
        if sizes(number) != size:
            # An encoder has one size: another goes on where it stops.
            packets += context.encode(None)
            size = sizes(number)
            context = av.CodecContext.create(codec, "w")
            context.width, context.height, context.pix_fmt = *size, "yuv420p"
            context.time_base, context.framerate = Fraction(1, films.TICKS), Fraction(30)
            context.options = encoder
        frame = films.numbered(number)
        if size != (films.WIDTH, films.HEIGHT):
            frame = frame.reformat(*size)
        frame.pts, frame.time_base = round(at * films.TICKS), Fraction(1, films.TICKS)
        packets += context.encode(frame)
    packets += context.encode(None)
    ends = {round(at * films.TICKS): round(end * films.TICKS) for at, end in gone.items()}
    for packet in packets:
        packet.stream, packet.time_base = track, Fraction(1, films.TICKS)
        packet.duration = ends.get(packet.pts, packet.pts + 3000) - packet.pts
    return packets


def _form(codec: str) -> str:
    return "flt" if codec == "libopus" else "fltp"


def _sound(track: Any, sound: Heard) -> list[Any]:
    packets: list[Any] = []
    # An encoder of AAC puts a block in front of what it is given.
    block, before = (960, 0) if _form(track.codec_context.name) == "flt" else (1024, 1024)
    begin, end = (round(one * films.RATE) for one in (sound.begin, sound.end))
    for first in range(begin + before, end, block):
        part = av.AudioFrame(_form(track.codec_context.name), "mono", block)
        said = (sound.sample(one) if one < end else 0.0 for one in range(first, first + block))
        part.planes[0].update(array("f", said).tobytes())
        part.pts, part.time_base, part.sample_rate = first, Fraction(1, films.RATE), films.RATE
        packets += track.encode(part)
    return [*packets, *track.encode(None)]


def without_first_key(film: bytes) -> bytes:
    """A Matroska film without the picture that the next ones need."""
    out = io.BytesIO()
    with av.open(io.BytesIO(film), "r") as source, av.open(out, "w", format="matroska") as file:
        tracks = {one.index: file.add_stream_from_template(one) for one in source.streams}
        first = True
        for packet in source.demux():
            if packet.size and not (first and packet.stream.type == "video"):
                packet.stream = tracks[packet.stream.index]
                file.mux(packet)
            elif packet.size:
                first = False
    return out.getvalue()


@dataclass
class Came:
    """What was made of a film."""

    film: bytearray = field(default_factory=bytearray)
    notes: list[FilmNote] = field(default_factory=list)
    said: list[KitError] = field(default_factory=list)

    @property
    def pictures(self) -> dict[int, float]:
        """When each numbered picture is first seen."""
        seen: dict[int, float] = {}
        with av.open(io.BytesIO(bytes(self.film)), "r") as opened:
            for frame in opened.decode(video=0):
                at, usual = float(frame.time or 0), frame.reformat(films.WIDTH, films.HEIGHT)
                seen.setdefault(films.number_in(usual), at)
        return seen

    @property
    def times(self) -> list[float]:
        """When each of its pictures appears, and when the last goes."""
        with av.open(io.BytesIO(bytes(self.film)), "r") as opened:
            found = [one for one in opened.demux(video=0) if one.size]
        times = sorted(float((one.pts or 0) * one.time_base) for one in found)
        return [*times, max(float(((one.pts or 0) + (one.duration or 0)) * one.time_base)
                            for one in found)]  # fmt: skip

    def loud(self, above: float = 0.2) -> list[float]:
        """When each beep begins."""
        found: list[float] = []
        with av.open(io.BytesIO(bytes(self.film)), "r") as opened:
            for frame in opened.decode(audio=0):
                samples = array("f", bytes(frame.planes[0]))
                first = next((n for n, one in enumerate(samples) if abs(one) > above), None)
                if first is not None:
                    at = float(frame.time or 0) + first / films.RATE
                    if not found or at - found[-1] > 0.3:
                        found.append(at)
        return found


class _Here:
    """A wire to nobody else."""

    def __init__(self, film: bytes) -> None:
        self._whole, self.came = film, Came()

    def ask(self, offset: int, length: int) -> bytes:
        return self._whole[offset : offset + length]

    def send(self, kind: bytes, data: bytes) -> None:
        if kind == Kind.FILM:
            self.came.film += data
        elif kind == Kind.NOTE:
            said = decoded(data, FilmNote)
            self.came.said.append(said)
            self.came.notes.append(next(one for one in FilmNote if one.sentence == said.said[0]))


def brought_in(film: bytes, longest: int = 600) -> Came:
    """What becomes of a film. Raises as `transcode`."""
    here = _Here(film)
    transcode(Remote(here, len(film)), len(film), here, Fraction(longest))
    return here.came
