"""The film that is made of another: in the form of the recorder's own.

H.264 without B-frames, a key frame each second, upright and of square pixels, each picture at its
own time; where none comes for a second, the one that stands is shown again; of what was filmed in
two halves both (`fields`). AAC at 48 kHz, silence where there is none; of several tracks of sound,
all at once.
"""

# PyAV's packets are generic for the type checker and not when they run.
from __future__ import annotations

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from appliance.film.fragments import MUXER, MUXER_OPTIONS
from appliance.media.colours import Colours, Space, space_of
from appliance.media.fields import Fields
from appliance.media.footage import Sounds, Upright, aspect_of, light_in
from appliance.media.survey import Survey
from appliance.media.wire import FilmPipe, Wire

LONG_SIDE, SHORT_SIDE = 1920, 1080
TICKS = 90_000
MOST_THREADS = 4
RATE = 48_000
_BLOCK = 1024
"""Samples in one packet of AAC, and those that its encoder puts in front."""
_SOUND_BIT_RATE = 128_000
_CLOSEST = Fraction(1, 65)
"""Seconds between two frames: of slow motion at 240 a second every fourth is taken."""
_KEY_EACH = 1
"""Seconds; also, after which a picture that stands is shown again."""
_APART = 20
"""Seconds that tracks of sound may lie apart in a file before one is taken to be silent."""
ENCODER = {
    "preset": "veryfast",
    "crf": "20",
    "maxrate": "8M",
    "bufsize": "16M",
    "bf": "0",
    "g": "600",
    "forced-idr": "1",
    "sc_threshold": "0",
}


class Remade:
    """A film while it is made. One thread at a time."""

    def __init__(
        self, wire: Wire, found: Survey, like: VideoStream, sounds: int, layout: str
    ) -> None:
        """Of what was `found`; its picture is `like` this track. So many tracks of sound, each
        given in `layout`, mono or stereo."""
        self._found = found
        self._file = FilmPipe(wire)
        options = {
            **MUXER_OPTIONS,
            "video_track_timescale": str(TICKS),
            "flush_packets": "1",
            "max_interleave_delta": "1000000",
        }
        self._container = av.open(self._file, "w", format=MUXER, options=options)
        light = light_in(like)
        self._upright, space = Upright(found.first), space_of(found.first, light)
        self._colours = Colours(space, light)
        self._aspect = aspect_of(like)
        self._size = _size(found.size, self._aspect)
        self._picture, self._heard = self._tracks(space, layout if sounds else None)
        self._mix = Mix(sounds, layout, round(found.length * RATE))
        self._fields = Fields()
        self._hushed = 0
        """The sample before which what has not come is silence."""
        self._stands: VideoFrame | None = None
        """The picture that is seen now."""
        self._last = self._key = Fraction(-_KEY_EACH)
        self._next = 0
        """Which of the pictures that were found comes next."""
        self._held: Packet[Any] | None = None
        """The last picture: how long it is shown is known when the next one comes."""
        if found.pictures and found.pictures[0] > 0:
            self.show(found.first, Fraction(0))

    def show(self, frame: VideoFrame, at: Fraction) -> None:
        """One picture that appears at `at` seconds; what is too close to the last is left out."""
        for picture, second in self._fields.of(frame, at):
            self._see(picture, second)
        if self._fields.waits and self._after(at) - at > _KEY_EACH:
            self._see_the_rest()

    def _see_the_rest(self) -> None:
        for picture, second in self._fields.rest():
            self._see(picture, second)

    def _see(self, frame: VideoFrame, at: Fraction) -> None:
        if at - self._last < _CLOSEST or at >= self._found.length:
            return
        if self._stands is not None:
            self._stand(at)
        self._stands = self._upright.turned(self._fitted(frame))
        self._put(at)

    def hear(self, track: int, piece: AudioFrame) -> None:
        """Some sound of a track, at its time in the film."""
        at = Fraction(piece.pts or 0) * Fraction(piece.time_base or 0)
        if at > self._found.length:
            return
        # A picture that stands for a while is shown again as the sound goes on.
        while self._next < len(self._found.pictures) and self._coming() <= self._last:
            self._next += 1
        if self._stands is not None:
            self._stand(min(at, self._coming()))
        self._hush(round(at * RATE) - _APART * RATE)
        self._mix.add(track, round(at * RATE), piece)
        self._say(self._mix.blocks(_BLOCK))

    def finish(self) -> None:
        """Close the film: its picture stands and its sound is silent up to the end."""
        end = self._found.length
        self._see_the_rest()
        self._stand(end)
        self._keep(self._picture.encode(None))
        if self._held is not None:
            self._held.duration = max(round(end * TICKS) - (self._held.pts or 0), 1)
            self._container.mux(self._held)
        if self._heard is not None:
            self._hush(round(end * RATE))
            self._mix.fill(round(end * RATE))
            self._say(self._mix.blocks(_BLOCK, rest=True))
            self._container.mux(self._heard.encode(None))
        self._container.close()
        self._file.flush()

    def _hush(self, until: int) -> None:
        """What has not come before sample number `until` is silence, made a little at a time: a
        microphone may be off for most of an hour, and that would not fit into the memory."""
        for sample in range(self._hushed + _APART * RATE, until, _APART * RATE):
            self._mix.fill(sample)
            self._say(self._mix.blocks(_BLOCK))
        self._hushed = max(self._hushed, until)

    def _coming(self) -> Fraction:
        """When the next picture is due."""
        return self._due(self._next)

    def _after(self, at: Fraction) -> Fraction:
        """When a picture is due after the one that appears at `at`."""
        # They are known in thousandths of a second.
        return self._due(bisect_right(self._found.pictures, int(at * 1000) + 1))

    def _due(self, number: int) -> Fraction:
        if number < len(self._found.pictures):
            return Fraction(self._found.pictures[number], 1000)
        return self._found.length

    def _stand(self, until: Fraction) -> None:
        """Show what stands again each second, before `until`."""
        while until - self._last > _KEY_EACH + _CLOSEST:
            self._put(self._last + _KEY_EACH)

    def _put(self, at: Fraction) -> None:
        picture = self._stands
        assert picture is not None
        picture.pts, picture.time_base = round(at * TICKS), Fraction(1, TICKS)
        picture.pict_type = PictureType.NONE
        if at - self._key >= _KEY_EACH:
            self._key, picture.pict_type = at, PictureType.I
        self._last = at
        self._keep(self._picture.encode(picture))

    def _keep(self, packets: Sequence[Packet[Any]]) -> None:
        for packet in packets:
            if self._held is not None:
                self._held.duration = (packet.pts or 0) - (self._held.pts or 0)
                self._container.mux(self._held)
            packet.dts = packet.pts
            self._held = packet

    def _say(self, blocks: Iterator[AudioFrame]) -> None:
        assert self._heard is not None
        for block in blocks:
            # The encoder puts a packet in front of what it is given, before zero, where no edit
            # list could hide it: the sound of the first 21 ms is left out, the rest is in time.
            if (block.pts or 0) >= _BLOCK:
                self._container.mux(self._heard.encode(block))

    def _tracks(self, space: Space, layout: str | None) -> tuple[VideoStream, AudioStream | None]:
        picture = self._container.add_stream("libx264", rate=Fraction(30), options=ENCODER)
        width, height = self._size
        sideways = self._upright.is_sideways
        picture.width, picture.height = (height, width) if sideways else (width, height)
        picture.pix_fmt = "yuv420p"
        picture.time_base = picture.codec_context.time_base = Fraction(1, TICKS)
        context = picture.codec_context
        context.thread_count = min(os.cpu_count() or 1, MOST_THREADS)
        context.colorspace, context.color_primaries, context.color_trc = space.value
        context.color_range = ColorRange.MPEG
        if layout is None:
            return picture, None
        sound = self._container.add_stream("aac", rate=RATE)
        sound.layout, sound.format, sound.bit_rate = layout, "fltp", _SOUND_BIT_RATE
        return picture, sound

    def _fitted(self, frame: VideoFrame) -> VideoFrame:
        """A picture in the size of the film; one of another shape has bars at its sides."""
        size = self._size
        if (frame.width, frame.height) != self._found.size:
            size = _within(_square((frame.width, frame.height), self._aspect), *size)
        picture = self._colours.plain(frame, *size)
        return picture if size == self._size else _framed(picture, *self._size)


class Resampled:
    """The sound of one track at our rate, in pieces that say where in the film they belong."""

    def __init__(self, layout: str) -> None:
        self._layout = layout
        self._form: tuple[str, str, int] | None = None
        self._resampler: AudioResampler | None = None

    def pieces(self, frame: AudioFrame, at: Fraction) -> Iterator[AudioFrame]:
        """What comes of a frame that belongs to second `at` of the film."""
        # A source may change its form midway; a resampler may not.
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._form:
            self._form, self._resampler = form, AudioResampler("fltp", self._layout, RATE)
        assert self._resampler is not None
        frame.time_base = Fraction(1, frame.sample_rate)
        frame.pts = round(at * frame.sample_rate)
        for piece in self._resampler.resample(frame):
            if piece is not None and piece.pts is not None:
                yield piece


class Mix:
    """Several tracks of sound in one, each sample where it belongs."""

    def __init__(self, tracks: int, layout: str, stop: int) -> None:
        """Nothing is kept from sample number `stop` on."""
        self._tracks = [Sounds(layout, RATE, 0, stop) for _ in range(tracks)]

    def add(self, track: int, at: int, piece: AudioFrame) -> None:
        """Sound of a track whose first sample is number `at` of the film."""
        self._tracks[track].add(at, piece)
        self.fill(at - _APART * RATE)

    def fill(self, until: int) -> None:
        """What has not come before sample number `until` is silence."""
        for track in self._tracks:
            track.fill(until)

    def blocks(self, samples: int, *, rest: bool = False) -> Iterator[AudioFrame]:
        """As `Sounds.blocks`, what all tracks have."""
        each = [track.blocks(samples, rest=rest) for track in self._tracks]
        if len(each) == 1:
            yield from each[0]
            return
        while all(track.waiting >= (1 if rest else samples) for track in self._tracks):
            blocks = [next(track) for track in each]
            for number, plane in enumerate(blocks[0].planes):
                planes = (array("f", bytes(block.planes[number])) for block in blocks)
                heard = array("f", map(sum, zip(*planes, strict=True)))
                plane.update(array("f", (max(-1.0, min(1.0, one)) for one in heard)).tobytes())
            yield blocks[0]


def _square(size: tuple[int, int], aspect: Fraction) -> tuple[Fraction, Fraction]:
    """Its sides in square pixels."""
    return size[0] * aspect, Fraction(size[1])


def _within(sides: tuple[Fraction, Fraction], width: int, height: int) -> tuple[int, int]:
    """Even sides of the same shape that are no larger than these."""
    shrunk = min(width / sides[0], height / sides[1])
    return min(_even(sides[0] * shrunk), width), min(_even(sides[1] * shrunk), height)


def _size(size: tuple[int, int], aspect: Fraction) -> tuple[int, int]:
    """Of the film that is made of one whose largest picture is of `size`."""
    across, down = _square(size, aspect)
    shrunk = min(Fraction(1), LONG_SIDE / max(across, down), SHORT_SIDE / min(across, down))
    return _even(across * shrunk), _even(down * shrunk)


def _framed(picture: VideoFrame, width: int, height: int) -> VideoFrame:
    """A picture in the middle of a black one."""
    black = VideoFrame(width, height, "yuv420p")
    for number, (plane, small) in enumerate(zip(black.planes, picture.planes, strict=True)):
        row = bytes([128 if number else 16]) * plane.line_size
        inner, rows = memoryview(bytes(small)), [row] * plane.height
        # Even in the planes of colour too, which have half as many points.
        half = 2 if number else 1
        down, across = (
            (one // 4 * 2) // half for one in (height - picture.height, width - picture.width)
        )
        for at in range(small.height):
            begin = at * small.line_size
            told = bytes(inner[begin : begin + small.width])
            rows[down + at] = row[:across] + told + row[across + small.width :]
        plane.update(b"".join(rows))
    return black


def _even(side: Fraction) -> int:
    return max(2, 2 * round(side / 2))
