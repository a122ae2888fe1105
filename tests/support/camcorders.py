"""Films as camcorders make them: transport streams, and pictures of two fields."""

import io
from array import array
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
from av.packet import Packet

from tests.support import films

WITH_TIMES = {"mpegts_m2ts_mode": "1"}
"""As AVCHD has it: four bytes before each packet."""


def stream(
    pictures: int,
    sounds: Sequence[str] = ("ac3",),
    *,
    start: float = 0,
    options: dict[str, str] | None = None,
    pictured: int = 1,
    container: str = "mpegts",
    sample: Callable[[int], float] = films.beep,
) -> bytes:
    """Numbered pictures, 30 a second from `start` seconds on, in `pictured` tracks; beeps in tracks
    of these codecs."""
    out = io.BytesIO()
    with av.open(out, "w", format=container, options=options or {}) as made:
        shown = [
            made.add_stream("libx264", rate=30, options={"bf": "2", "g": "15"})
            for _ in range(pictured)
        ]
        heard = [made.add_stream(codec, rate=films.RATE, layout="mono") for codec in sounds]
        packets: list[Packet] = []
        for track in shown:
            track.width, track.height, track.pix_fmt = films.WIDTH, films.HEIGHT, "yuv420p"
            track.codec_context.time_base = Fraction(1, films.TICKS)
            for number in range(pictures):
                frame = films.numbered(number)
                frame.pts = round((start + number / 30) * films.TICKS)
                frame.time_base = Fraction(1, films.TICKS)
                packets += track.encode(frame)
            packets += track.encode(None)
        for sounding in heard:
            for first in range(0, round(pictures / 30 * films.RATE), 960):
                block = av.AudioFrame("flt", "mono", 960)
                samples = array("f", map(sample, range(first, first + 960)))
                block.planes[0].update(samples.tobytes())
                block.pts, block.time_base = (
                    round(start * films.RATE) + first,
                    Fraction(1, films.RATE),
                )
                block.sample_rate = films.RATE
                packets += sounding.encode(block)
            packets += sounding.encode(None)
        for packet in sorted(packets, key=lambda one: (one.dts or 0) * one.time_base):
            made.mux(packet)
    return out.getvalue()
