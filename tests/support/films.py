"""Films for tests: each frame carries its number as black and white blocks."""

import io
from array import array
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from appliance.age.sealing import Recipient
from appliance.bench.odd import drawn
from appliance.film.fragments import MUXER, MUXER_OPTIONS, Fragment, FragmentSplitter, Init
from appliance.film.manifest import SegmentClosed
from appliance.film.segment import SealedSegment

RATE, WIDTH, HEIGHT = drawn.RATE, drawn.WIDTH, drawn.HEIGHT
TICKS = 90_000
numbered, number_in, beep = drawn.numbered, drawn.number_in, drawn.beep
LIKE_OURS = {"preset": "ultrafast", "tune": "zerolatency", "g": "30"}
# Key frames only where they are due, and not where the picture changes much.
_STEADY = {"sc_threshold": "0"}
LIKE_OTHERS = {
    "preset": "medium", "bf": "3", "g": "40", "x264-params": "open-gop=1:b-pyramid=2", **_STEADY,
}  # fmt: skip


def film(
    frames: int,
    *,
    rate: Fraction = Fraction(30),
    sound: Callable[[int], float] | None = None,
    codec: str = "libx264",
    encoder: Mapping[str, str] = LIKE_OURS,
    container: str = MUXER,
    options: Mapping[str, str] = MUXER_OPTIONS,
    times: Callable[[int], int] | None = None,
    noisy: bool = False,
) -> bytes:
    """A film of so many frames; `sound` gives each sample, `times` each frame's ticks."""
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=dict(options)) as made:
        picture = made.add_stream(codec, rate=rate, options=dict(encoder))
        picture.width, picture.height, picture.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        picture.time_base = picture.codec_context.time_base = Fraction(1, TICKS)
        heard = made.add_stream("aac", rate=RATE, layout="mono") if sound else None
        when = times or (lambda n: round(n * TICKS / rate))
        made_samples = 0
        for number in range(frames):
            frame = numbered(number, noisy)
            frame.pts, frame.time_base = when(number), Fraction(1, TICKS)
            for packet in picture.encode(frame):
                packet.duration = when(number + 1) - when(number)
                made.mux(packet)
            while heard and sound and made_samples * TICKS < when(number + 1) * RATE:
                # The encoder's own first block comes 1024 samples before what it is given.
                given = made_samples + 1024
                block = array("f", map(sound, range(given, given + 1024)))
                part = av.AudioFrame("fltp", "mono", 1024)
                part.planes[0].update(block.tobytes())
                part.pts, part.time_base = given, Fraction(1, RATE)
                part.sample_rate = RATE
                made_samples += 1024
                made.mux(heard.encode(part))
        made.mux(picture.encode(None))
        if heard:
            made.mux(heard.encode(None))
    return out.getvalue()


def uneven(number: int) -> int:
    """The time of a frame of an uneven film."""
    return number * 3000 + (number * 7919) % 1500


PLAIN: Mapping[str, Any] = {"container": "mp4", "options": {}}
SOURCES: Mapping[str, Mapping[str, Any]] = {
    "ours": {"sound": beep},
    "with B-frames": {"sound": beep, "encoder": {"bf": "3", "g": "40", **_STEADY}, **PLAIN},
    "with B-frames and open groups": {"sound": beep, "encoder": LIKE_OTHERS, **PLAIN},
    "of a simple encoder": {"encoder": {"profile": "baseline", "g": "40", **_STEADY}, **PLAIN},
    "Matroska": {
        "sound": beep,
        "encoder": {"bf": "2", "g": "25", **_STEADY},
        "container": "matroska",
        "options": {},
    },
    "a transport stream": {
        "sound": beep,
        "encoder": LIKE_OTHERS,
        "container": "mpegts",
        "options": {},
    },
    "WebM": {
        "codec": "libvpx",
        "encoder": {"g": "40", "deadline": "realtime"},
        "container": "webm",
        "options": {},
    },
    "of uneven frames": {"times": uneven, **PLAIN},
    "29.97 frames a second": {"rate": Fraction(30000, 1001), **PLAIN},
    "one key frame": {"encoder": {**LIKE_OTHERS, "g": "1000"}, **PLAIN},
}
"""Films as other encoders and containers make them: arguments for `film`."""


def packets(data: bytes | io.RawIOBase) -> list[tuple[str, int, int, int, bytes, bool]]:
    """Every packet: its track, times and length in ticks, its bytes, whether it is a key."""
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    with av.open(source, "r") as opened:
        found = [
            (p.stream.type, p.pts, p.dts, p.duration or 0, bytes(p), p.is_keyframe)
            for p in opened.demux()
            if p.size
        ]
    return sorted(found, key=lambda p: (p[0], p[2]))


def begin(opened: Any) -> Fraction:
    """Second of an opened file at which its film begins, with the first of picture and sound; an
    MP4's begins at zero."""
    if "mp4" in opened.format.name:
        return Fraction(0)
    found = [one for one in opened.demux() if one.size]
    opened.seek(0)
    picture, *sounds = (
        min(one.pts for one in found if one.stream is track) * track.time_base
        for track in opened.streams
    )
    # A block in which a coder of sound begins is none.
    return min([picture, *(one for one in sounds if one < picture - Fraction(1, 25))])


def frame_times(data: bytes) -> list[Fraction]:
    """When each frame appears, and when the last one goes, from the beginning of the film on."""
    with av.open(io.BytesIO(data), "r") as opened:
        stream = opened.streams.video[0]
        first = begin(opened)
        times = [frame.pts * frame.time_base - first for frame in opened.decode(stream)]
        return [*times, times[-1] + 1 / Fraction(30)]


def seal_segments(stream: bytes, directory: Path, recipient: Recipient) -> list[SegmentClosed]:
    """Put a film into a recording's directory, in segments from key frame to key frame."""
    init, *fragments = FragmentSplitter().feed(stream)
    assert isinstance(init, Init)
    made: list[SealedSegment] = []
    for fragment in fragments:
        assert isinstance(fragment, Fragment)
        if fragment.starts_with_key:
            made.append(SealedSegment(directory, directory.name, len(made), init, recipient))
        made[-1].add(fragment)
    return [segment.close() for segment in made]


def a_second_apart(claps: Sequence[float], by: float) -> bool:
    """Whether claps come a second apart, and none is late or early by more than `by`.

    The card that hears them is a file, and gives its sound as fast as it is read: on a machine that
    is late a piece of it is left out, and perhaps one clap with it. A real card's waits.
    """
    steps = [after - before for before, after in pairwise(claps)]
    whole = [max(round(step), 1) for step in steps]
    steady = all(abs(step - least) <= by for step, least in zip(steps, whole, strict=True))
    return steady and sum(whole) - len(whole) <= 1
