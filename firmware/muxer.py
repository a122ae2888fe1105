"""Pictures and sound into a fragmented MP4, in memory, as `appliance.film.fragments` reads it.

A fragment ends at each key frame and after about a fifth of a second, the first with its first
picture; there is no edit list, and times start at zero. libav makes the film's head and codes the
sound. The fragments are made here: libav ends one only with the picture after the next, and what
waits for that would be lost with the power.

A picture waits for the next one, for only then is it known how long it is seen. The encoder of the
sound would put its first packet before zero, where no edit list could hide it: the sound of the
first 21 ms is left out, and what follows is in time.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import av

from appliance.errors import BadInput
from appliance.film import boxes
from appliance.film.fragments import MUXER, MUXER_OPTIONS, Init
from appliance.media.avc import units_between
from firmware.camera import SAMPLE_RATE, TICKS

FRAGMENT = round(0.19 * TICKS)
"""Ticks of picture after which a fragment ends. A little under a fifth of a second: no sensor runs
quite at its rate, and five pictures at 25 a second, six at 30, are to be enough."""
SOUND_BIT_RATE = 96_000
_PRIMING = 1024
"""Samples that the AAC encoder puts in front of what it is given; also those of one packet."""
_OPTIONS = {**MUXER_OPTIONS, "video_track_timescale": str(TICKS)}


@dataclass(frozen=True)
class _Picture:
    data: bytes
    time: int
    duration: int
    key: bool


class Muxer:
    """A `Sink` that muxes; `write` gets the bytes and must not raise. One caller at a time."""

    def __init__(
        self, write: Callable[[bytes], None], sound: bool, busy: Callable[[], bool] = lambda: False
    ) -> None:
        """`busy`: whether what was written has to wait."""
        self._write = write
        self._busy = busy
        self._pictures: boxes.Gathered | None = None
        self._sounds: boxes.Gathered | None = None
        self._waiting: _Picture | None = None
        """The last picture."""
        self._coder: av.AudioStream | None = None
        self._container: av.container.OutputContainer | None = None
        """Holds the coder of the sound; nothing is muxed into it."""
        self.with_sound = sound
        self._samples = av.AudioFifo()
        self._taken = 0
        """Samples that have left the fifo."""
        self._fragments = 0

    @property
    def busy(self) -> bool:
        return self._busy()

    def picture(self, data: bytes, time: int, duration: int, key: bool) -> None:
        pictures = self._pictures or self._open(data)
        self._settle(until=time)
        if pictures.data and (key or not self._fragments or pictures.lasts >= FRAGMENT):
            self._end_fragment()
        self._waiting = _Picture(data, time, duration, key)

    def sound(self, frame: av.AudioFrame) -> None:
        if not self.with_sound:
            return
        if self._pictures is None:
            raise BadInput("Sound came before there was a picture to go with it.")
        frame.pts = None
        self._samples.write(frame)
        while (part := self._samples.read(_PRIMING)) is not None:
            self._encode(part)

    def close(self) -> None:
        """Write what is still held back. Nothing may be given afterwards. Safe to call twice."""
        if self._container is None:
            return
        self._settle()
        if self._coder is not None:
            rest = self._samples.read(partial=True)
            if rest is not None:
                self._encode(rest)
            if self._taken > _PRIMING:
                self._gather(self._coder.encode(None))
        self._end_fragment()
        container, self._container = self._container, None
        container.close()

    def _settle(self, until: int | None = None) -> None:
        """Take in the picture that waits, seen `until` the next one; the last as long as it says.

        Raises BadInput for a picture that is not after the one before it.
        """
        picture, self._waiting = self._waiting, None
        if picture is None:
            return
        assert self._pictures is not None
        duration = picture.duration if until is None else until - picture.time
        if duration <= 0:
            raise BadInput("Two pictures of a film have the same time.")
        units = units_between(picture.data)
        data = b"".join(part for unit in units for part in (len(unit).to_bytes(4), unit))
        self._pictures.add(data, picture.time, duration, picture.key)

    def _encode(self, part: av.AudioFrame) -> None:
        assert self._coder is not None
        part.pts, part.time_base = self._taken, Fraction(1, SAMPLE_RATE)
        self._taken += part.samples
        if part.pts >= _PRIMING:
            self._gather(self._coder.encode(part))

    def _gather(self, packets: "list[av.Packet[av.AudioStream]]") -> None:
        assert self._sounds is not None
        for packet in packets:
            assert packet.pts is not None
            self._sounds.add(bytes(packet), packet.pts, packet.duration or _PRIMING, True)

    def _end_fragment(self) -> None:
        runs = [run for run in (self._pictures, self._sounds) if run is not None and run.data]
        if runs:
            self._fragments += 1
            self._write(boxes.movie_fragment(self._fragments, runs))
            for run in runs:
                run.clear()

    def _open(self, first: bytes) -> boxes.Gathered:
        """Write the head, with the picture's parameters as its first key frame states them."""
        head = io.BytesIO()
        self._container = av.open(head, "w", format=MUXER, options=_OPTIONS)
        with av.open(io.BytesIO(first), format="h264") as coded:
            picture = self._container.add_stream_from_template(coded.streams.video[0])
        picture.time_base = Fraction(1, TICKS)
        if self.with_sound:
            sound = self._container.add_stream("aac", rate=SAMPLE_RATE)
            sound.layout, sound.format, sound.bit_rate = "mono", "fltp", SOUND_BIT_RATE
            self._coder = sound
        self._container.start_encoding()
        init = Init.parse(head.getvalue())
        for track in init.tracks.values():
            if track.kind == "sound":
                self._sounds = boxes.Gathered(track.id)
        self._pictures = boxes.Gathered(init.picture.id)
        self._write(init.data)
        return self._pictures
