"""Pictures that carry their number, bars of colour below it, and a beep that tells the second.

A number is sixteen blocks, black or white, across the upper half of a picture of any size.
"""

import math
import random
from array import array
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TypeAlias

from av.audio.frame import AudioFrame
from av.filter import Graph
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter

RATE = 48_000
"""Samples a second."""
WIDTH, HEIGHT = 256, 64
_BITS, _BLOCK = 16, 16
_LINE = 1 / 8
"""Where numbers are read, of the height."""

Colour: TypeAlias = tuple[float, float, float]
Place: TypeAlias = Callable[[float, float], tuple[float, float]]
"""Where a point of what was drawn is now; both from 0 to 1, from the upper left."""

BARS: Sequence[Colour] = (
    (0.0, 0.0, 0.0), (0.25, 0.25, 0.25), (0.75, 0.75, 0.75), (1.0, 1.0, 1.0),
    (0.75, 0.0, 0.0), (0.0, 0.75, 0.0), (0.0, 0.0, 0.75), (0.8, 0.6, 0.5),
)  # fmt: skip
"""Black, greys, white, the colours of light and of a skin; as an eight-bit screen gets them."""
TO_2020 = (
    (0.627404, 0.329283, 0.043313), (0.069097, 0.919540, 0.011362), (0.016391, 0.088013, 0.895595),
)  # fmt: skip
"""Linear light of BT.709 in BT.2020 (ITU-R BT.2087)."""
WHITE = 203 / 1000
"""A white wall, of the brightest (ITU-R BT.2408)."""


def numbered(number: int, noisy: bool = False) -> VideoFrame:
    """A picture with its number, 256 by 64, and grey below; `noisy` in its colours."""
    frame = VideoFrame(WIDTH, HEIGHT, "yuv420p")
    row = b"".join(bytes([235 if bit == "1" else 16]) * _BLOCK for bit in f"{number:0{_BITS}b}")
    # Of another shade in each frame: a picture that is not still.
    grey = bytes([60 + 7 * number % 120]) * WIDTH
    line = frame.planes[0].line_size
    rows = [row.ljust(line, b"\0")] * (HEIGHT // 2) + [grey.ljust(line, b"\0")] * (HEIGHT // 2)
    frame.planes[0].update(b"".join(rows))
    dice = random.Random(number)  # noqa: S311 - a picture
    for plane in frame.planes[1:]:
        size = plane.buffer_size
        plane.update(dice.randbytes(size) if noisy else bytes([128]) * size)
    return frame


def sized(width: int, height: int) -> Callable[[int], VideoFrame]:
    """Draws such pictures in another size."""
    return lambda number: numbered(number).reformat(
        width, height, interpolation=Interpolation.POINT
    )


def half(number: int) -> int:
    """The number in a picture that is one of two in `woven`: of a code in which no bit changes
    twice in a row (F. Gray, 1953), or nobody could tell what stood in the other's lines."""
    return number ^ number >> 1


def woven(number: int) -> VideoFrame:
    """Two pictures in one, line by line, the upper line's first: `half` of 2n and of 2n + 1."""
    one, other = numbered(half(2 * number)), numbered(half(2 * number + 1))
    for plane, second in zip(one.planes, other.planes, strict=True):
        line = plane.line_size
        upper, lower = bytes(plane), bytes(second)
        plane.update(
            b"".join(
                (lower if at % 2 else upper)[at * line : (at + 1) * line]
                for at in range(plane.height)
            )
        )
    return in_halves(one)


def in_halves(frame: VideoFrame, upper_first: bool = True) -> VideoFrame:
    """The picture, marked as one that was filmed in halves: libx264 goes by the mark."""
    graph = Graph()
    begin = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25)
    )
    marks = graph.add("setfield", "mode=tff" if upper_first else "mode=bff")
    graph.link_nodes(begin, marks, graph.add("buffersink")).configure()
    graph.push(frame)
    marked = graph.pull()
    assert isinstance(marked, VideoFrame)
    return marked


def number_in(frame: VideoFrame, place: Place = lambda x, y: (x, y)) -> int:
    """The number in a picture."""
    grey = frame.reformat(format="gray")
    (plane,) = grey.planes
    data = bytes(plane)

    def light(x: float, y: float) -> int:
        across, down = place(x, y)
        return data[int(down * grey.height) * plane.line_size + int(across * grey.width)]

    bits = (light((bit + 0.5) / _BITS, _LINE) > 128 for bit in range(_BITS))
    return int("".join(str(int(bit)) for bit in bits), 2)


def fitted(inner: tuple[int, int], outer: tuple[int, int]) -> Place:
    """Where a picture of one size is in a frame of another, in its shape and in the middle."""
    shrunk = min(outer[0] / inner[0], outer[1] / inner[1])
    across, down = inner[0] * shrunk / outer[0], inner[1] * shrunk / outer[1]
    return lambda x, y: ((1 - across) / 2 + x * across, (1 - down) / 2 + y * down)


def to_the_right(x: float, y: float) -> tuple[float, float]:
    """Where a point is once its picture was turned by a quarter."""
    return 1 - y, x


# --- Colours ------------------------------------------------------------------------------------


def hlg(light: float) -> float:
    """The signal of a light; 1 is 1000 cd/m² on the screen (ITU-R BT.2100, table 5)."""
    scene = math.pow(light, 1 / 1.2)
    if scene <= 1 / 12:
        return math.sqrt(3 * scene)
    return 0.17883277 * math.log(12 * scene - 0.28466892) + 0.55991073


def pq(light: float) -> float:
    """The signal of a light; 1 is 1000 cd/m² (table 4)."""
    power = math.pow(light / 10, 0.1593017578125)
    return math.pow((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power), 78.84375)


def bright(colour: Colour, curve: Callable[[float], float]) -> Colour:
    """The signal in BT.2020 of what a plain screen shows as this colour."""
    light = [one**2.4 for one in colour]
    wide = (sum(a * b for a, b in zip(row, light, strict=True)) for row in TO_2020)
    red, green, blue = (curve(max(one, 0.0) * WHITE) for one in wide)
    return red, green, blue


def barred(
    number: int, width: int, height: int, signal: Callable[[Colour], Colour] = lambda one: one
) -> VideoFrame:
    """A picture with its number and, below, bars: 16 bits of each of red, green and blue."""
    frame = VideoFrame(width, height, "rgb48le")
    (plane,) = frame.planes

    def row(colours: Sequence[Colour]) -> bytes:
        """From the left to the right, each as wide as the others."""
        points = (
            b"".join(round(65535 * min(one, 1.0)).to_bytes(2, "little") for one in signal(colour))
            * ((at + 1) * width // len(colours) - at * width // len(colours))
            for at, colour in enumerate(colours)
        )
        return b"".join(points).ljust(plane.line_size, b"\0")

    white, black = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)
    upper = row([white if bit == "1" else black for bit in f"{number:0{_BITS}b}"])
    plane.update(upper * (height // 2) + row(BARS) * (height - height // 2))
    return frame


BT2020 = 9
"""As libswscale calls the matrix: Debian's PyAV has no name for it."""


def coded(picture: VideoFrame, matrix: int, reach: ColorRange, form: str) -> VideoFrame:
    """A picture of red, green and blue as a film has it."""
    return VideoReformatter().reformat(
        picture,
        format=form,
        dst_colorspace=matrix,
        src_color_range=ColorRange.JPEG,
        dst_color_range=reach,
    )


def bars_of(data: bytes, width: int, height: int) -> list[Colour]:
    """The colours of the bars, each the mean of its middle; `data` is packed RGB of 8 bits."""
    found: list[Colour] = []
    wide = width // len(BARS)
    for number in range(len(BARS)):
        left = number * width // len(BARS) + wide // 4
        total = [0, 0, 0]
        rows = range(height * 11 // 16, height * 13 // 16)
        for row in rows:
            begin = 3 * (row * width + left)
            piece = data[begin : begin + 3 * (wide // 2)]
            for channel in range(3):
                total[channel] += sum(piece[channel::3])
        count = 255 * len(rows) * (wide // 2)
        found.append((total[0] / count, total[1] / count, total[2] / count))
    return found


# --- Sound --------------------------------------------------------------------------------------


def beep(sample: int) -> float:
    """A 1 kHz beep in the first tenth of each second, silence otherwise."""
    return 0.5 * math.sin(sample * math.tau / 48) if sample % RATE < RATE // 10 else 0.0


def late_beep(sample: int) -> float:
    """Somebody else's, half a second later."""
    return beep(sample - RATE // 2)


def silence(_sample: int) -> float:
    """Nothing is said."""
    return 0.0


def beeps_in(frames: Sequence[tuple[float, AudioFrame]]) -> list[float]:
    """When each beep begins, in seconds; frames of floats, and when each of them begins.

    Found by what is loud beside the loudest: encoders change how loud it is.
    """
    loud: list[tuple[float, array[float]]] = []
    for at, frame in frames:
        plane = bytes(frame.planes[0])[: 4 * frame.samples]
        loud.append((at, array("f", (abs(one) for one in array("f", plane)))))
    most = max((max(samples) for _, samples in loud if samples), default=0.0)
    if most < 0.01:
        return []
    found: list[float] = []
    ended = -1.0
    for (at, samples), (_, frame) in zip(loud, frames, strict=True):
        for number, one in enumerate(samples):
            if one > 0.4 * most:
                when = at + number / frame.sample_rate
                if when - ended > 0.2:
                    found.append(when)
                ended = when
    return found


def seconds(number: int, rate: int | Fraction = 30) -> float:
    """When a picture of a film of this rate appears."""
    return float(number / Fraction(rate))
