"""The test card: a moving picture that says of each frame which one it is.

On top the frame's number stands as black and white blocks (two to find them by, 24 bits of number,
8 of check), below as digits. Under them bands move, each at a pace of its own; the lowest flashes
for the first tenth of each second, and the sound beeps with it, each second a little higher until
after eight it begins again, so a beep cannot be taken for that of another second.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from fractions import Fraction

import av

from appliance.media.av_sync import HIGHER, LOWEST, PITCHES
from firmware.camera import SAMPLE_RATE, TICKS
from firmware.cameras.scene import Take

_BITS, _CHECK = 24, 8
_CELLS = 2 + _BITS + _CHECK
_BLACK, _GREY, _WHITE = 16, 60, 235
_SIGNAL = Fraction(1, 10)
"""Seconds of flash and beep."""
_FONT = (
    "0e11131519110e",
    "040c040404040e",
    "0e11010204081f",
    "1f02040201110e",
    "02060a121f0202",
    "1f101e0101110e",
    "0608101e11110e",
    "1f010204080808",
    "0e11110e11110e",
    "0e11110f01020c",
)
"""Digits, seven rows of five pixels each."""


class TestCard:
    """A scene (see `firmware.cameras.scene.Scene`) that never ends and knows each of its frames."""

    __test__ = False
    name = "test card"
    has_sound = True

    def __init__(self, width: int, height: int, frame_rate: int) -> None:
        self.width, self.height = width, height
        self.rate = Fraction(frame_rate)
        self._line = av.VideoFrame(width, height, "yuv420p").planes[0].line_size
        wave = [
            128 + round(70 * math.sin(2 * math.pi * x / 96) * math.sin(x / 31))
            for x in range(width)
        ]
        self._texture = bytes(wave) + bytes(wave) + bytes(self._line)
        beeps = b"".join(map(_second_of_sound, range(PITCHES)))
        self._turn = len(beeps)
        self._beeps = beeps + beeps[: 2 * SAMPLE_RATE]

    def takes(self) -> Iterator[Take]:
        number = 0
        while True:
            time, end = (round(n * TICKS / self.rate) for n in (number, number + 1))
            yield Take(self.frame(number), time, end - time, self._sound(time, end))
            number += 1

    def _sound(self, start: int, end: int) -> bytes:
        first, last = (2 * (ticks * SAMPLE_RATE // TICKS) for ticks in (start, end))
        turn = first - first % self._turn
        return self._beeps[first - turn : last - turn]

    def frame(self, number: int) -> av.VideoFrame:
        """The card as it looks in frame `number`."""
        frame = av.VideoFrame(self.width, self.height, "yuv420p")
        strip, scale = strip_height(self.height), max(self.height // 60, 1)
        flash = _WHITE if number / self.rate % 1 < _SIGNAL else _GREY
        low = self.height // 6
        band = (self.height - strip - 9 * scale - low) // 3
        rows = [
            self._row(b"".join(self._cells(number))) * strip,
            self._row(b"") * scale,
            *(self._row(line) * scale for line in _digits(f"{number:07d}", scale)),
            self._row(b"") * scale,
            *(self._texture_row(number * pace) * band for pace in (2, 5, 11)),
        ]
        rows.append(bytes([flash]) * (self._line * self.height - sum(map(len, rows))))
        frame.planes[0].update(b"".join(rows))
        for plane, value in ((frame.planes[1], 118), (frame.planes[2], 138)):
            plane.update(bytes([value]) * plane.buffer_size)
        return frame

    def _cells(self, number: int) -> Iterator[bytes]:
        for place, bit in enumerate(_code(number)):
            width = (place + 1) * self.width // _CELLS - place * self.width // _CELLS
            yield bytes([_WHITE if bit else _BLACK]) * width

    def _row(self, start: bytes) -> bytes:
        return start[: self._line] + bytes([_BLACK]) * (self._line - len(start))

    def _texture_row(self, shift: int) -> bytes:
        shift %= self.width
        return self._texture[shift : shift + self._line]


def read_number(frame: av.VideoFrame) -> int | None:
    """The number that the test card burned into `frame`, or None if there is none to be read.

    Works on what encoding and scaling left of it; the check makes a false reading unlikely (1 in
    256 of pictures that begin like a test card).
    """
    grey = frame.reformat(format="gray")
    plane = grey.planes[0]
    data, line = memoryview(plane), plane.line_size
    height = strip_height(grey.height)
    bits = []
    for place in range(_CELLS):
        left, right = (n * grey.width // _CELLS for n in (place, place + 1))
        quarter = (right - left) // 4
        seen = [
            byte
            for row in range(height // 4, max(height - height // 4, height // 4 + 1))
            for byte in data[row * line + left + quarter : row * line + right - quarter]
        ]
        bits.append(sum(seen) > 128 * len(seen))
    value = 0
    for bit in bits[2 : 2 + _BITS]:
        value = 2 * value + bit
    return value if bits == _code(value) else None


def strip_height(height: int) -> int:
    """Rows that the block code takes of a picture this high."""
    return height // 12


def _code(number: int) -> list[bool]:
    value = number % (1 << _BITS)
    check = zlib.crc32(value.to_bytes(_BITS // 8, "big")) & 0xFF
    text = f"10{value:0{_BITS}b}{check:0{_CHECK}b}"
    return [letter == "1" for letter in text]


def _digits(text: str, scale: int) -> Iterator[bytes]:
    """Seven rows of pixels, each as wide as the whole text."""
    for row in range(7):
        pixels = (f"{int(_FONT[int(digit)][2 * row : 2 * row + 2], 16):05b}0" for digit in text)
        yield b"".join(
            bytes([_WHITE if pixel == "1" else _BLACK]) * scale for pixel in "0" + "".join(pixels)
        )


def _second_of_sound(number: int) -> bytes:
    """A tenth of a second of a tone and silence: signed 16 bit, mono."""
    beep, pitch = round(SAMPLE_RATE * _SIGNAL), LOWEST + number * HIGHER
    tone = (round(12_000 * math.sin(2 * math.pi * pitch * n / SAMPLE_RATE)) for n in range(beep))
    return struct.pack(f"<{beep}h", *tone) + bytes(2 * (SAMPLE_RATE - beep))
