"""Pictures and sound into a fragmented MP4, in memory, as `appliance.film.fragments` reads it.

A fragment ends at each key frame and after about a sixth of a second; there is no edit list, and
times start at zero. The encoder of the sound would put its first packet before zero, where no
edit list could hide it: the sound of the first 21 ms is left out, and what follows is in time.

A picture waits for the next one, for only then is it known how long it is seen. libav begins a
fragment where the one before ended by what its last picture was said to last: where pictures are
missing there, the next would be shown too early.
"""

import io
from collections.abc import Callable
from fractions import Fraction

import av

from appliance.errors import BadInput
from appliance.film.fragments import MUXER, MUXER_OPTIONS
from firmware.camera import SAMPLE_RATE, TICKS

SOUND_BIT_RATE = 96_000
_PRIMING = 1024
"""Samples that the AAC encoder puts in front of what it is given; also those of one packet."""

_OPTIONS = {
    **MUXER_OPTIONS,
    "video_track_timescale": str(TICKS),
    # What is made goes out at once: what waits here would be lost with the power.
    "flush_packets": "1",
    # Microseconds that a picture waits for its sound, which comes late from its encoder: no more
    # than one picture waits. A player finds the sound wherever in the film it lies.
    "max_interleave_delta": "10000",
}


class _Pipe:
    """What libav writes to. Only bytes go through; nothing may be raised here."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write

    def write(self, data: bytes) -> int:
        self._write(bytes(data))
        return len(data)


class Muxer:
    """A `Sink` that muxes; `write` gets the bytes and must not raise. One caller at a time."""

    def __init__(
        self, write: Callable[[bytes], None], sound: bool, busy: Callable[[], bool] = lambda: False
    ) -> None:
        """`busy`: whether what was written has to wait."""
        self._busy = busy
        self._pipe = _Pipe(write)
        self._container: av.container.OutputContainer | None = None
        self._picture: av.VideoStream | None = None
        self._waiting: av.Packet[av.stream.Stream] | None = None
        """The last picture."""
        self._sound: av.AudioStream | None = None
        self.with_sound = sound
        self._samples = av.AudioFifo()
        self._taken = 0
        """Samples that have left the fifo."""

    @property
    def busy(self) -> bool:
        return self._busy()

    def picture(self, data: bytes, time: int, duration: int, key: bool) -> None:
        if self._container is None:
            self._open(data)
        assert self._container is not None and self._picture is not None
        packet = av.Packet(data)
        packet.stream = self._picture
        packet.time_base = Fraction(1, TICKS)
        packet.pts = packet.dts = time
        packet.duration = duration
        packet.is_keyframe = key
        self._pass_on(until=time)
        self._waiting = packet

    def sound(self, frame: av.AudioFrame) -> None:
        if not self.with_sound:
            return
        if self._container is None:
            raise BadInput("Sound came before there was a picture to go with it.")
        frame.pts = None
        self._samples.write(frame)
        while (part := self._samples.read(_PRIMING)) is not None:
            self._encode(part)

    def close(self) -> None:
        """Write what is still held back. Nothing may be given afterwards. Safe to call twice."""
        if self._container is None:
            return
        self._pass_on()
        if self._sound is not None:
            rest = self._samples.read(partial=True)
            if rest is not None:
                self._encode(rest)
            if self._taken > _PRIMING:
                self._container.mux(self._sound.encode(None))
        self._container.close()
        self._container = None

    def _pass_on(self, until: int | None = None) -> None:
        """Mux the picture that waits, seen `until` the next one; the last as long as it says."""
        packet, self._waiting = self._waiting, None
        if packet is None:
            return
        assert self._container is not None and packet.pts is not None
        if until is not None:
            packet.duration = until - packet.pts
        self._container.mux(packet)

    def _encode(self, part: av.AudioFrame) -> None:
        assert self._container is not None and self._sound is not None
        part.pts, part.time_base = self._taken, Fraction(1, SAMPLE_RATE)
        self._taken += part.samples
        if part.pts >= _PRIMING:
            self._container.mux(self._sound.encode(part))

    def _open(self, first: bytes) -> None:
        """Make the container, with the picture's parameters as its first key frame states them."""
        self._container = av.open(self._pipe, "w", format=MUXER, options=_OPTIONS)
        with av.open(io.BytesIO(first), format="h264") as coded:
            self._picture = self._container.add_stream_from_template(coded.streams.video[0])
        self._picture.time_base = Fraction(1, TICKS)
        if self.with_sound:
            sound = self._container.add_stream("aac", rate=SAMPLE_RATE)
            sound.layout, sound.format, sound.bit_rate = "mono", "fltp", SOUND_BIT_RATE
            self._sound = sound
