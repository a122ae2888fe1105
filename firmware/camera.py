"""What a camera is, and the sink that stands between it and the film.

A camera gives coded pictures (H.264, Annex B, a key frame each second with its parameter sets) and
sound. Times count from the first picture of each film: nothing from before the press can have one.
"""

# Decoders are not loaded just for their types: see `firmware.cameras.late`.
from __future__ import annotations

import logging
import math
import threading
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from operator import mul
from typing import TYPE_CHECKING, Protocol

from appliance.film.manifest import EndReason, FilmedWith
from appliance.protocol.status import SoundLevel
from appliance.records.clock import Clock

if TYPE_CHECKING:
    import av

_errors = logging.getLogger(__name__)

TICKS = 90_000
"""Ticks a second of picture times."""
SAMPLE_RATE = 48_000
_PEAKS, _SOME = 2, 4
"""One sample in so many counts for the peak, and for the loudness: all of them would be a fiftieth
of the cost of filming, and these miss next to nothing of a voice."""
_REMEMBERED = 12
"""Quarters of a second over which the loudest is remembered."""
_SILENT_AFTER = 1.0
"""Seconds without sound after which its level is not known any more."""
PREVIEW_WIDTH = 480
"""Pixels across of a picture for framing."""
PREVIEW_EVERY = 0.25
"""Seconds from one to the next."""


@dataclass(frozen=True)
class Seen:
    """A picture for framing. It is kept nowhere."""

    picture: bytes
    """A JPEG."""
    light: float
    """How bright it is in the middle of all its points: 0 is black, 1 is white."""
    whole: bool = False
    """True where it has all the points of a film, to see whether it is sharp."""


See = Callable[[Seen], None]
"""Gets what is seen for framing."""
Hear = Callable[["av.AudioFrame"], None]
"""Gets sound as `Sink.sound` does."""
OnEnd = Callable[[EndReason], None]
"""Told, from any thread, that no more can be given or taken, and why."""


class Sink(Protocol):
    """Takes what a camera gives, from the camera's threads; never raises, never blocks for long."""

    @property
    def with_sound(self) -> bool:
        """False where only pictures were agreed to: then no microphone may be open at all."""

    @property
    def busy(self) -> bool:
        """True while more than a second of film waits: who can wait with the next picture, does."""

    def picture(self, data: bytes, time: int, duration: int, key: bool) -> None:
        """One coded picture. `time` and `duration` in ticks; the first is a key frame at 0."""

    def sound(self, frame: av.AudioFrame) -> None:
        """Some sound: 48 kHz, mono, signed 16 bit, `pts` in samples from the first picture on,
        without gaps."""


class Camera(Protocol):
    """A camera that is off unless `start` was called."""

    @property
    def name(self) -> str:
        """What the page calls it."""

    @property
    def has_sound(self) -> bool: ...

    def present(self) -> bool:
        """True if it answers. Does not switch it on."""

    def start(self, sink: Sink, on_failure: OnEnd) -> FilmedWith:
        """Switch it on; pictures go to `sink`. Returns what it is set to. Raises CameraFailed,
        SoundFailed.

        If it fails later, `on_failure` is called once, from any thread.
        """

    def preview(self, show: See, hear: Hear | None, on_failure: OnEnd) -> FilmedWith:
        """Open for framing as for a film: JPEGs, about 480 px wide, about 4 a second, given to
        `show` in memory only, until `stop`. Returns what a film would be made with. Raises
        CameraFailed; fails later as `start` does.

        `hear` gets sound as `Sink.sound` does; None opens no microphone at all. One that fails
        ends nothing: `hear` is just not called, until it works. Both are called from any thread,
        one call at a time, and never raise.
        """

    def look_closely(self) -> None:
        """The next picture for framing comes whole as well."""

    def stop(self) -> None:
        """Return when the sensor is off and the sink has its last picture, `show` its last JPEG,
        `hear` its last sound. Safe to call twice.

        Raises CameraFailed or SoundFailed if it cannot be sure.
        """


class GuardedSink:
    """Passes a camera's pictures on, counts them, and lets none past the agreed limit.

    The second of two deadlines: the recorder's runs on the clock, this one on the film's own time.
    Where the agreement ends before the limit, so does the film. Nothing is raised into a camera's
    thread: the first error is told once, and everything after it is dropped.
    """

    def __init__(
        self,
        target: Sink,
        limit: float,
        clock: Clock,
        on_end: OnEnd,
        until: float = math.inf,
    ) -> None:
        """`limit` in seconds of film, `until` the monotonic second at which the agreement ends.
        `on_end` gets LIMIT, or why no more can be taken."""
        self._target = target
        self._lasts = limit
        """Seconds of film; what is left of the agreement is known with the first picture."""
        self._until = until
        self._clock = clock
        self._on_end = on_end
        self._lock = threading.Lock()
        self._ended = False
        self.pictures = 0
        self.missed = 0
        """Pictures that should have stood between those that were taken."""
        self._next = 0
        self.last_picture = clock.monotonic()
        """Monotonic second of the last one, or of when they were due."""
        self.last_sound = self.last_picture
        """Likewise of the last sound."""
        self.meter = Meter(clock)

    @property
    def with_sound(self) -> bool:
        return self._target.with_sound

    @property
    def busy(self) -> bool:
        return self._target.busy

    def expect(self) -> None:
        """The camera is open: from now on pictures and sound are due."""
        with self._lock:
            self.last_picture = self.last_sound = self._clock.monotonic()

    def picture(self, data: bytes, time: int, duration: int, key: bool) -> None:
        with self._lock:
            if self._ended:
                return
            if not self.pictures:
                # The film's own time begins here, and the camera took its time to open.
                self._lasts = min(self._lasts, self._until - self._clock.monotonic())
            limit = round(self._lasts * TICKS)
            if time >= limit:
                self._end(EndReason.LIMIT)
                return
            try:
                self._target.picture(data, time, min(duration, limit - time), key)
            except Exception:
                self._end(EndReason.FAULT)
                return
            self.pictures += 1
            self.missed += max(round((time - self._next) / duration), 0)
            self._next = time + duration
            self.last_picture = self._clock.monotonic()

    def sound(self, frame: av.AudioFrame) -> None:
        with self._lock:
            if self._ended or (frame.pts or 0) >= round(self._lasts * SAMPLE_RATE):
                return
            try:
                self._target.sound(frame)
                self.meter.take(frame)
            except Exception:
                self._end(EndReason.SOUND_FAILED)
                return
            self.last_sound = self._clock.monotonic()

    def close(self) -> None:
        """Take nothing more, whatever the camera still gives."""
        with self._lock:
            self._ended = True

    def _end(self, why: EndReason) -> None:
        self._ended = True
        self._on_end(why)


class Meter:
    """How loud it is, so that people can see that the microphone works. Keeps only numbers.

    One thread gives it sound, any thread asks.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._level: tuple[float, SoundLevel] | None = None
        self._peaks: deque[float] = deque(maxlen=_REMEMBERED)
        self._samples = self._peak = self._squares = 0

    @property
    def level(self) -> SoundLevel | None:
        """How loud the last quarter of a second was; None if nothing came for a second."""
        if self._level is None or self._clock.monotonic() - self._level[0] > _SILENT_AFTER:
            return None
        return self._level[1]

    def take(self, frame: av.AudioFrame) -> None:
        """Some sound, as `Sink.sound` gets it."""
        samples = array("h", bytes(frame.planes[0])[: 2 * frame.samples])[::_PEAKS]
        self._peak = max(self._peak, max(samples), -min(samples))
        some = samples[:: _SOME // _PEAKS]
        self._samples += len(some)
        self._squares += sum(map(mul, some, some))
        if self._samples >= SAMPLE_RATE // 4 // _SOME:
            loudness = math.sqrt(self._squares / self._samples)
            peak = _decibels(self._peak)
            self._peaks.append(peak)
            level = SoundLevel(peak=peak, rms=_decibels(loudness), loudest=max(self._peaks))
            self._level = self._clock.monotonic(), level
            self._samples = self._peak = self._squares = 0


def brightness(frame: av.VideoFrame) -> float:
    """How bright a picture of limited range is, 0 to 1, by some of its lines."""
    luma = frame.planes[0]
    lines, wide = memoryview(luma), luma.line_size
    some = [sum(lines[at * wide : at * wide + frame.width]) for at in range(0, frame.height, 16)]
    # ITU-R BT.709-6, 3.4: black is 16, white is 235.
    return min(max((sum(some) / len(some) / frame.width - 16) / 219, 0.0), 1.0)


def _decibels(loudness: float) -> float:
    """Below the loudest that 16 bits hold; the softest that they hold stands for silence."""
    return round(20 * math.log10(max(loudness, 1) / 32768), 1)
