"""What a camera is, and the sink that stands between it and the film.

A camera gives coded pictures (H.264, Annex B, a key frame each second with its parameter sets) and
sound. Times count from the first picture of each film: nothing from before the press can have one.
"""

import threading
from collections.abc import Callable
from typing import Protocol

import av

from appliance.clock import Clock
from appliance.film import EndReason

TICKS = 90_000
"""Ticks a second of picture times."""
SAMPLE_RATE = 48_000


class Sink(Protocol):
    """Takes what a camera gives, from the camera's threads; never raises, never blocks for long."""

    def picture(self, data: bytes, time: int, duration: int, key: bool) -> None:
        """One coded picture. `time` and `duration` in ticks; the first is a key frame at 0."""

    def sound(self, frame: av.AudioFrame) -> None:
        """Some sound: 48 kHz, mono, `pts` in samples from the first picture on, without gaps."""


class Camera(Protocol):
    """A camera that is off unless `start` was called."""

    @property
    def name(self) -> str:
        """What the page calls it."""

    @property
    def has_sound(self) -> bool: ...

    def present(self) -> bool:
        """True if it answers. Does not switch it on."""

    def start(self, sink: Sink, on_failure: Callable[[EndReason], None]) -> None:
        """Switch it on; pictures go to `sink`. Raises CameraFailed.

        If it fails later, `on_failure` is called once, from any thread.
        """

    def stop(self) -> None:
        """Return when the sensor is off and the sink has its last picture. Safe to call twice.

        Raises CameraFailed if it cannot be sure.
        """


class GuardedSink:
    """Passes a camera's pictures on, counts them, and lets none past the agreed limit.

    The second of two deadlines: the recorder's runs on the clock, this one on the film's own time,
    whatever became of the recorder. Nothing is ever raised into a camera's or a library's thread:
    the first error is told once and everything after it is dropped.
    """

    def __init__(
        self, target: Sink, limit: float, clock: Clock, on_end: Callable[[EndReason], None]
    ) -> None:
        """`limit` in seconds of film. `on_end` gets LIMIT, or why no more can be taken."""
        self._target = target
        self._limit = round(limit * TICKS)
        self._sound_limit = round(limit * SAMPLE_RATE)
        self._clock = clock
        self._on_end = on_end
        self._lock = threading.Lock()
        self._ended = False
        self.pictures = 0
        """Pictures taken."""
        self.last_picture = clock.monotonic()
        """Monotonic second of the last one, or of the start."""

    def picture(self, data: bytes, time: int, duration: int, key: bool) -> None:
        with self._lock:
            if self._ended:
                return
            if time >= self._limit:
                self._end(EndReason.LIMIT)
                return
            try:
                self._target.picture(data, time, min(duration, self._limit - time), key)
            except Exception:
                self._end(EndReason.FAULT)
                return
            self.pictures += 1
            self.last_picture = self._clock.monotonic()

    def sound(self, frame: av.AudioFrame) -> None:
        with self._lock:
            if self._ended or (frame.pts or 0) >= self._sound_limit:
                return
            try:
                self._target.sound(frame)
            except Exception:
                self._end(EndReason.SOUND_FAILED)

    def _end(self, why: EndReason) -> None:
        self._ended = True
        self._on_end(why)
