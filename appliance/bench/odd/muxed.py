"""Writes films track by track: when each picture and each sound appears, how it is encoded, and
what the file says of it."""

# PyAV's packets are generic for the type checker and not when they run.
from __future__ import annotations

import io
import itertools
import struct
import tempfile
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.codec.context import CodecContext
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame

from appliance.bench import need, run
from appliance.bench.odd.drawn import RATE, beep, numbered

TICKS = 90_000
LIVE = {"live": "1"}
"""As a browser writes Matroska: no length anywhere."""
H264 = {"bf": "0", "g": "30", "preset": "ultrafast"}
REORDERED = {"bf": "2", "g": "30", "preset": "medium", "sc_threshold": "0"}
VP8 = {"g": "30", "deadline": "realtime", "cpu-used": "8"}
HEVC = {"preset": "ultrafast", "x265-params": "log-level=none"}
_ENCODERS = {
    "mp4": ("libx264", "aac", H264),
    "mov": ("libx264", "aac", REORDERED),
    "matroska": ("libx264", "aac", H264),
    "webm": ("libvpx", "libopus", VP8),
}
_FORMS = {"libopus": ("flt", 960), "pcm_s24le": ("s32", 1024), "pcm_u8": ("u8", 1024)}
_LOWEST = {"u8": 128, "s32": 0}


@dataclass(frozen=True)
class Pictures:
    """A track of pictures that appear at `times`, in seconds; the last is shown for `lasts`."""

    times: Sequence[float]
    codec: str = ""
    encoder: Mapping[str, str] = field(default_factory=dict)
    draw: Callable[[int], VideoFrame] = numbered
    lasts: float = 1 / 30
    rate: Fraction = Fraction(30)
    marks: Callable[[Any], None] = lambda context: None
    """Says more of the pictures, to whatever encodes them."""
    keys: Sequence[int] = ()
    """Pictures that are key frames, beside those that the encoder makes of itself."""


@dataclass(frozen=True)
class Heard:
    """A track of sound: it beeps as each second of the file's time begins."""

    begin: float
    end: float
    sample: Callable[[int], float] = beep
    codec: str = ""
    rate: int = RATE
    layout: str = "mono"
    gap: tuple[float, float] = (0.0, 0.0)
    """Nothing is there between these seconds: no packet either."""


def made(
    pictures: Sequence[float] | Pictures,
    *sounds: Heard,
    container: str = "mp4",
    options: Mapping[str, str] | None = None,
    sound_first: bool = False,
) -> bytes:
    """A film of one track of pictures (numbers are when they appear) and of sounds."""
    shown = pictures if isinstance(pictures, Pictures) else Pictures(pictures)
    usual, sounding, usually = _ENCODERS.get(container, _ENCODERS["mp4"])
    codec, encoder = (shown.codec, shown.encoder) if shown.codec else (usual, usually)
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=dict(options or {})) as file:
        heard: list[Any] = []
        if not sound_first:
            track = _track(file, shown, codec, encoder)
        for sound in sounds:
            each: Any = file.add_stream(sound.codec or sounding, rate=sound.rate)
            each.layout, each.format = sound.layout, _form(sound.codec or sounding)[0]
            heard.append(each)
        if sound_first:
            track = _track(file, shown, codec, encoder)
        packets = _encoded(track, shown, codec, encoder)
        for each, sound in zip(heard, sounds, strict=True):
            packets += _sounding(each, sound)
        for packet in sorted(packets, key=lambda one: (one.dts or 0) * one.time_base):
            file.mux(packet)
    return out.getvalue()


def _track(file: Any, shown: Pictures, codec: str, encoder: Mapping[str, str]) -> Any:
    first = shown.draw(0)
    track = file.add_stream(codec, rate=shown.rate, options=dict(encoder))
    track.width, track.height, track.pix_fmt = first.width, first.height, first.format.name
    track.time_base = track.codec_context.time_base = _base(shown, codec)
    shown.marks(track.codec_context)
    return track


def _base(shown: Pictures, codec: str) -> Fraction:
    # What is older knows no times, only one picture after the other.
    old = codec in ("h263", "mpeg4", "mjpeg")
    return 1 / shown.rate if old else Fraction(1, TICKS)


def _encoded(track: Any, shown: Pictures, codec: str, encoder: Mapping[str, str]) -> list[Any]:
    packets: list[Any] = []
    context, base = track.codec_context, _base(shown, codec)
    size = (context.width, context.height)
    for number, at in enumerate(shown.times):
        frame = shown.draw(number)
        if (frame.width, frame.height) != size:
            # An encoder has one size: another goes on where it stops.
            packets += context.encode(None)
            size = frame.width, frame.height
            context = _context(codec)
            context.width, context.height, context.pix_fmt = *size, frame.format.name
            context.time_base, context.framerate = base, shown.rate
            context.options = dict(encoder)
        frame.pts, frame.time_base = round(at / base), base
        frame.pict_type = PictureType.I if number in shown.keys else PictureType.NONE
        packets += context.encode(frame)
    packets += context.encode(None)
    begins = [round(at / base) for at in shown.times]
    ends = [*begins[1:], begins[-1] + round(shown.lasts / base)]
    lasting = dict(zip(begins, ends, strict=True))
    for packet in packets:
        packet.stream, packet.time_base = track, base
        packet.duration = (
            lasting.get(packet.pts, packet.pts + round(base / shown.rate)) - packet.pts
        )
    return packets


def _context(codec: str) -> Any:
    return CodecContext.create(codec, "w")


def _form(codec: str) -> tuple[str, int]:
    return _FORMS.get(codec, ("fltp", 1024))


def _sounding(track: Any, sound: Heard) -> list[Any]:
    packets: list[Any] = []
    form, block = _form(track.codec_context.name)
    if track.codec_context.name == "ac3":
        block = 1536
    # An encoder of AAC puts a block in front of what it is given, and its sound is that much late.
    before = 1024 if track.codec_context.name == "aac" else 0
    begin, end = (round(one * sound.rate) for one in (sound.begin, sound.end))
    for first in range(begin + before, end, block):
        part = av.AudioFrame(form, sound.layout, block)
        said = [
            sound.sample(one * RATE // sound.rate) if one < end else 0.0
            for one in range(first, first + block)
        ]
        _fill(part, form, said)
        part.pts, part.time_base, part.sample_rate = first, Fraction(1, sound.rate), sound.rate
        packets += track.encode(part)
    packets += track.encode(None)
    begin_gap, end_gap = sound.gap
    return [one for one in packets if not begin_gap <= one.pts * one.time_base < end_gap]


def _fill(part: av.AudioFrame, form: str, said: Sequence[float]) -> None:
    """The same in its first channel and, of two, in the other; silence in what else there is."""
    if form == "u8":
        data = bytes(round(128 + 127 * one) for one in said)
    elif form == "s32":
        data = array("i", (round(one * 0x7FFFFF00) for one in said)).tobytes()
    else:
        data = array("f", said).tobytes()
    if form.endswith("p"):
        for number, plane in enumerate(part.planes):
            heard = number < (2 if len(part.planes) == 2 else 1)
            plane.update(data if heard else bytes(len(data)))
    else:
        part.planes[0].update(data)


# --- What a file says, changed ------------------------------------------------------------------


def remuxed(
    film: bytes, name: str, *options: str, beside: tuple[bytes, str] | None = None
) -> bytes:
    """A film as Debian's ffmpeg writes it anew as `name`, its pictures and sounds unchanged.
    `beside`: another file and its name, also read. Raises NotPossible without ffmpeg."""
    program = need("ffmpeg")
    with tempfile.TemporaryDirectory(prefix="attune-odd-") as folder:
        place = Path(folder)
        (place / "film").write_bytes(film)
        inputs = ["-i", place / "film"]
        if beside is not None:
            (place / beside[1]).write_bytes(beside[0])
            inputs += ["-i", place / beside[1]]
        silent = ("-nostdin", "-v", "error", "-y")
        run(program, *silent, *inputs, *(options or ("-map", "0")), "-c", "copy", place / name)
        return (place / name).read_bytes()


def last_sound_as(film: bytes, entry: bytes, inside: bytes, handler: bytes = b"soun") -> bytes:
    """The last track of sound, told to be of another kind: as a telephone writes what few read."""
    found = bytearray(film)
    at = found.rindex(b"soun")
    found[at : at + 4] = handler
    at = found.index(b"mp4a", found.index(b"stsd", at))
    found[at : at + 4] = entry
    at = found.index(b"esds", at)
    found[at : at + 4] = inside
    return bytes(found)


def turned(film: bytes) -> bytes:
    """An MP4 whose picture is to be shown turned by a quarter to the right."""
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    at = film.index(upright, film.index(b"tkhd"))
    return (
        film[:at]
        + struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)
        + film[at + 36 :]
    )


def steps(begin: float, end: float, rate: float = 30) -> list[float]:
    """When pictures appear, from one second to another."""
    return [begin + number / rate for number in range(round((end - begin) * rate))]


def torn(film: bytes, share: float = 0.6) -> bytes:
    """Its beginning."""
    return film[: int(len(film) * share)]


def without_first(film: bytes, pictures: int) -> bytes:
    """A Matroska film without its first pictures: of a call that was joined between key frames."""
    out = io.BytesIO()
    with av.open(io.BytesIO(film), "r") as source, av.open(out, "w", format="matroska") as file:
        tracks = {one.index: file.add_stream_from_template(one) for one in source.streams}
        count = itertools.count()
        for packet in source.demux():
            if packet.size and (packet.stream.type != "video" or next(count) >= pictures):
                packet.stream = tracks[packet.stream.index]
                file.mux(packet)
    return out.getvalue()


def assembled(pictures: Sequence[bytes], codec: str, rate: int, container: str) -> bytes:
    """A film of key frames that were encoded before, whatever is in them."""
    out = io.BytesIO()
    with av.open(out, "w", format=container) as file:
        track: Any = file.add_stream(codec, rate=rate)
        track.width, track.height, track.pix_fmt = 64, 64, "yuv420p"
        track.time_base = Fraction(1, 1000)
        for number, data in enumerate(pictures):
            packet: Packet[Any] = Packet(data)
            packet.pts = packet.dts = number * 1000 // rate
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 1000), track, True
            file.mux(packet)
    return out.getvalue()
