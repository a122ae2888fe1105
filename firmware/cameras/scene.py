"""A camera without a lens: it shows a film file, or the test card, as if that stood before it.

Real pictures, really encoded, in real time unless it is told to hurry. What a film file shows keeps
its own times; a file that is shorter than the film is shown again from its start. On demand it goes
wrong as cameras and microphones do.
"""

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final, Protocol

import av
from av.video.frame import PictureType

from appliance.config import Faults
from appliance.errors import CameraFailed
from appliance.film.manifest import EndReason, FilmedWith
from appliance.media.colours import Colours, space_of
from appliance.media.footage import Upright, aspect_of, light_in
from appliance.media.jpeg import SMALL, STILL, jpeg
from appliance.records.clock import Clock
from firmware.camera import (
    PREVIEW_EVERY,
    PREVIEW_WIDTH,
    SAMPLE_RATE,
    TICKS,
    Hear,
    OnEnd,
    See,
    Seen,
    Sink,
    brightness,
)
from firmware.microphone import SoundClock

_CODER: Final = "libx264"
_STOPS_WITHIN = 5.0
"""Seconds that `stop` waits for the picture under way."""
_DRIFT = SAMPLE_RATE // 25
"""Samples by which a file's sound may stray from its own times before it is put right."""
_LOOK_AGAIN = 0.002
"""Seconds until one that hurries asks again whether the card has time."""
_LOST_AT = 6
"""Second of each minute from which on sound is lost, where it is to be."""
_LATE = 0.002
"""Seconds that a piece of sound is late on average, where the sound has a clock of its own."""


@dataclass(frozen=True)
class Take:
    """One picture and the sound that goes with it.

    `time`, from the start of the film, and `duration` in ticks; `sound` is 48 kHz, mono, signed 16
    bit, without gaps from one take to the next, and empty where the scene has none.
    """

    frame: av.VideoFrame
    time: int
    duration: int
    sound: bytes


class Scene(Protocol):
    """What stands before the camera; looked at again, it is the same."""

    name: str
    width: int
    height: int
    rate: Fraction
    has_sound: bool

    def takes(self) -> Iterator[Take]:
        """Pictures without end, from time 0 on. Raises CameraFailed, av.FFmpegError."""


class FilmScene:
    """A film file that PyAV opens, upright and of square pixels, made no larger than `width` x
    `height` and even in both."""

    name = "film file"

    def __init__(self, path: Path, width: int, height: int) -> None:
        """Raises CameraFailed if it is not a film that can be shown."""
        self._path = path
        try:
            with self._opened() as film:
                stream = film.streams.video[0]
                self.rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
                self.has_sound = bool(film.streams.audio)
                first = next(film.decode(stream), None)
                aspect = aspect_of(stream)
                light = light_in(stream)
            if first is None:
                raise CameraFailed(f"{path.name} has not one picture that can be shown.")
            self._upright = Upright(first)
            self._colours = Colours(space_of(first, light), light)
            sides = first.width * aspect, Fraction(first.height)
            across, down = reversed(sides) if self._upright.is_sideways else sides
            scale = min(Fraction(1), width / across, height / down)
            self.width = max(round(across * scale) // 2 * 2, 16)
            self.height = max(round(down * scale) // 2 * 2, 16)
            next(self.takes())
        except av.FFmpegError as error:
            raise CameraFailed(f"{path.name} has not one picture that can be shown.") from error

    def takes(self) -> Iterator[Take]:
        start = Fraction(0)
        while True:
            for take, until in self._once(start):
                start = until
                yield take

    def _once(self, start: Fraction) -> Iterator[tuple[Take, Fraction]]:
        """The file from its first picture to its last, from `start` seconds into the film on.

        With each picture comes the second at which it goes.
        """
        with self._opened() as film, self._opened() as sound_film:
            frames = film.decode(film.streams.video[0])
            ahead = next(frames, None)
            if ahead is None:
                raise CameraFailed(f"{self._path.name} has not one picture that can be shown.")
            first = _seconds(ahead)
            sound = _FileSound(sound_film, first, start) if self.has_sound else None
            end = start
            while ahead is not None:
                frame, begin = ahead, end
                ahead = next(frames, None)
                while ahead is not None and start + _seconds(ahead) - first <= begin:
                    ahead = next(frames, None)
                end = begin + 1 / self.rate if ahead is None else start + _seconds(ahead) - first
                time = round(begin * TICKS)
                heard = b"" if sound is None else sound.until(end)
                yield Take(self._fitted(frame), time, round(end * TICKS) - time, heard), end

    def _fitted(self, frame: av.VideoFrame) -> av.VideoFrame:
        sides = self.width, self.height
        across, down = reversed(sides) if self._upright.is_sideways else sides
        return self._upright.turned(self._colours.plain(frame, across, down))

    def _opened(self) -> av.container.InputContainer:
        try:
            film = av.open(str(self._path))
        except (av.FFmpegError, OSError) as error:
            raise CameraFailed(
                f"{self._path} cannot be shown: it is not a film, or cannot be read.",
                "Name a film file that a player plays, or leave the scene empty for the test card.",
            ) from error
        if not film.streams.video:
            film.close()
            raise CameraFailed(f"{self._path.name} has no picture.", "Name a film, not a sound.")
        film.streams.video[0].thread_type = "AUTO"
        return film


class _FileSound:
    """The sound of a file, whatever gaps and rates it has, as it belongs to a film.

    What stands at second `first` of the file is heard at second `start` of the film.
    """

    def __init__(self, film: av.container.InputContainer, first: Fraction, start: Fraction) -> None:
        self._frames = film.decode(film.streams.audio[0])
        self._resampler = av.AudioResampler("s16", "mono", SAMPLE_RATE)
        self._shift = start - first
        self._ready = bytearray()
        self._made = self._given = round(start * SAMPLE_RATE)
        """Samples of the film up to which sound is made, and given."""

    def until(self, second: Fraction) -> bytes:
        """The sound up to `second` of the film that was not given yet."""
        wanted = 2 * (round(second * SAMPLE_RATE) - self._given)
        while len(self._ready) < wanted and (frame := next(self._frames, None)) is not None:
            self._take(frame)
        # A file whose sound ends early is silent from there on.
        data = bytes(self._ready[:wanted]).ljust(wanted, b"\0")
        del self._ready[:wanted]
        self._given += wanted // 2
        self._made = max(self._made, self._given)
        return data

    def _take(self, frame: av.AudioFrame) -> None:
        place = round((_seconds(frame) + self._shift) * SAMPLE_RATE)
        if place - self._made > _DRIFT:
            self._add(bytes(2 * (place - self._made)))
        frame.pts = None
        heard = b"".join(
            bytes(part.planes[0])[: 2 * part.samples] for part in self._resampler.resample(frame)
        )
        if self._made - place > _DRIFT:
            # From before the first picture, or already heard.
            heard = heard[2 * (self._made - place) :]
        self._add(heard)

    def _add(self, data: bytes) -> None:
        self._ready += data
        self._made += len(data) // 2


class PictureEncoder:
    """H.264 with a key frame in each second of film, and nothing held back."""

    def __init__(self, width: int, height: int, rate: Fraction, bit_rate: int) -> None:
        self._context = av.CodecContext.create(_CODER, "w")
        self._context.width, self._context.height = width, height
        self._context.pix_fmt = "yuv420p"
        self._context.time_base = Fraction(1, TICKS)
        self._context.framerate = rate
        self._context.bit_rate = bit_rate
        self._context.max_b_frames = 0
        # Key frames are set by the film's own time, below; this only must not come first.
        self._context.gop_size = 100_000
        self._context.options = {
            "preset": "veryfast",
            "tune": "zerolatency",
            "forced-idr": "1",
            "sc_threshold": "0",
            "maxrate": str(bit_rate),
            "bufsize": str(bit_rate),
        }
        self._second = -1

    def encode(self, frame: av.VideoFrame, time: int) -> tuple[bytes, bool]:
        """One picture, coded, at `time` in ticks, and whether it is a key frame."""
        second = time // TICKS
        key = second > self._second
        self._second = second
        frame.pts, frame.time_base = time, Fraction(1, TICKS)
        # A picture out of a file still says what it was there.
        frame.pict_type = PictureType.I if key else PictureType.NONE
        (packet,) = self._context.encode(frame)
        return bytes(packet), key


class _Sound:
    """The sound of a scene as the film wants it."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._given = 0

    def hear(self, take: Take) -> Iterator[av.AudioFrame]:
        """The sound of a take, as far as it is heard."""
        stopped = "sound-stops" in self._faults.happen and take.time >= self._faults.after * TICKS
        if take.sound and not stopped:
            yield sound_frame(take.sound, self._given)
            self._given += len(take.sound) // 2

    def rest(self) -> Iterator[av.AudioFrame]:
        """What is heard when there are no more takes."""
        yield from ()


class _SkewedSound(_Sound):
    """The sound of a scene through a sound card that has a clock of its own and loses samples.

    What it gives is put right as a microphone's sound is.
    """

    def __init__(self, faults: Faults) -> None:
        super().__init__(faults)
        self._clock = SoundClock()
        self._clock.begin(0.0)
        self._heard = self._counted = 0
        """Samples by the scene's clock and by the card's."""
        self._dice = random.Random(1)  # noqa: S311 - how late something is

    def hear(self, take: Take) -> Iterator[av.AudioFrame]:
        for frame in super().hear(take):
            self._heard += frame.samples
            fast = 1 + self._faults.sound_ppm / 1_000_000
            more = round(self._heard * fast) - self._counted - frame.samples
            self._counted += frame.samples + more
            # A sample twice or one left out, as often as it takes: a wrong clock does no other.
            samples = take.sound[: len(take.sound) + min(2 * more, 0)]
            samples += take.sound[-2:] * max(more, 0)
            until = self._heard / SAMPLE_RATE
            if not 0 <= until % 60 - _LOST_AT < self._faults.sound_lost:
                late = self._dice.expovariate(1 / _LATE)
                yield from self._clock.take(samples, until + late)

    def rest(self) -> Iterator[av.AudioFrame]:
        yield from self._clock.rest()


class SceneCamera:
    """A `Camera` that looks at a scene in real time, or as fast as what it gives is taken."""

    def __init__(
        self,
        scene: Scene,
        bit_rate: int,
        clock: Clock,
        *,
        hurry: bool = False,
        faults: Faults = Faults(),  # noqa: B008 - it cannot change
    ) -> None:
        self._scene = scene
        self._bit_rate = bit_rate
        self._clock = clock
        self._hurry = hurry
        self._faults = faults
        self._stopping, self._closely = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        return f"scene: {self._scene.name}"

    @property
    def has_sound(self) -> bool:
        return self._scene.has_sound

    def present(self) -> bool:
        return "camera-missing" not in self._faults.happen

    def start(self, sink: Sink, on_failure: OnEnd) -> FilmedWith:
        if "camera-does-not-start" in self._faults.happen:
            raise CameraFailed("The camera does not start, as it was asked not to.")
        self._look(partial(self._film, sink), on_failure, lambda: sink.busy)
        return self._filmed_with()

    def preview(self, show: See, hear: Hear | None, on_failure: OnEnd) -> FilmedWith:
        self._closely.clear()
        self._look(partial(self._frame, show, hear), on_failure, lambda: False)
        return self._filmed_with()

    def look_closely(self) -> None:
        self._closely.set()

    def stop(self) -> None:
        if self._thread is None:
            return
        self._stopping.set()
        self._thread.join(_STOPS_WITHIN)
        if self._thread.is_alive():
            raise CameraFailed("The camera does not stop.")
        self._thread = None

    def _filmed_with(self) -> FilmedWith:
        return FilmedWith(
            camera="scene",
            size=(self._scene.width, self._scene.height),
            frame_rate=round(self._scene.rate),
            encoder=_CODER,
            bit_rate=self._bit_rate,
        )

    def _look(
        self,
        give: Callable[[Iterator[Take]], None],
        on_failure: OnEnd,
        busy: Callable[[], bool],
    ) -> None:
        """Look at the scene in a thread of its own and `give` what is seen, when it is seen; with
        `hurry` as fast as it is taken."""
        takes = self._scene.takes()
        try:
            first = next(takes)
        except av.FFmpegError as error:
            raise CameraFailed("The scene cannot be shown any more.") from error
        self._stopping.clear()

        def look() -> None:
            try:
                give(self._in_time(chain([first], takes), busy))
            except (av.FFmpegError, CameraFailed):
                on_failure(EndReason.CAMERA_FAILED)

        self._thread = threading.Thread(target=look, name="camera", daemon=True)
        self._thread.start()

    def _in_time(self, takes: Iterator[Take], busy: Callable[[], bool]) -> Iterator[Take]:
        """Each take at its time, until the camera is stopped."""
        began = self._clock.monotonic()
        for take in takes:
            while self._hurry and busy() and not self._stopping.wait(_LOOK_AGAIN):
                pass
            delay = 0.0 if self._hurry else began + take.time / TICKS - self._clock.monotonic()
            if self._stopping.wait(max(delay, 0)):
                return
            if take.time >= self._faults.after * TICKS:
                if "camera-fails" in self._faults.happen:
                    raise CameraFailed("The camera failed, as it was asked to.")
                if "frames-stop" in self._faults.happen:
                    self._stopping.wait()
                    return
            yield take

    def _film(self, sink: Sink, takes: Iterator[Take]) -> None:
        encoder = PictureEncoder(
            self._scene.width, self._scene.height, self._scene.rate, self._bit_rate
        )
        skewed = self._faults.sound_ppm or self._faults.sound_lost
        sound = _SkewedSound(self._faults) if skewed else _Sound(self._faults)
        for take in takes:
            data, key = encoder.encode(take.frame, take.time)
            sink.picture(data, take.time, take.duration, key)
            if sink.with_sound:
                for frame in sound.hear(take):
                    sink.sound(frame)
        for frame in sound.rest():
            sink.sound(frame)
        if "camera-does-not-stop" in self._faults.happen:
            threading.Event().wait(2 * _STOPS_WITHIN)

    def _frame(self, show: See, hear: Hear | None, takes: Iterator[Take]) -> None:
        height = round(PREVIEW_WIDTH * self._scene.height / self._scene.width)
        sound = _Sound(self._faults)
        due = 0
        for take in takes:
            if take.time >= due:
                due = take.time + round(PREVIEW_EVERY * TICKS)
                light = brightness(take.frame)
                small = jpeg(take.frame, Fraction(1), SMALL, min(height, self._scene.height))
                show(Seen(small, light))
                if self._closely.is_set():
                    self._closely.clear()
                    show(Seen(jpeg(take.frame, Fraction(1), STILL), light, whole=True))
            if hear is not None:
                for frame in sound.hear(take):
                    hear(frame)


def sound_frame(samples: bytes, at: int) -> av.AudioFrame:
    """Signed 16 bit mono samples as a frame that begins `at` samples into the film."""
    frame = av.AudioFrame("s16", "mono", len(samples) // 2)
    frame.planes[0].update(samples)
    frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, at, Fraction(1, SAMPLE_RATE)
    return frame


def _seconds(frame: av.VideoFrame | av.AudioFrame) -> Fraction:
    """When a frame of a file is shown. Raises CameraFailed if it does not say."""
    if frame.pts is None or frame.time_base is None:
        raise CameraFailed("The film has pictures or sound without a time.")
    return frame.pts * Fraction(frame.time_base)
