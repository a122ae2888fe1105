"""The Raspberry Pi's camera through picamera2; nothing else imports it.

picamera2 runs our code in threads of its own, which swallow what is raised there or die of it, and
waits without end for a sensor whose cable came loose. So nothing is raised into it, every way in
which it can fail is told once to `on_failure`, and whatever it is asked to do has a time limit:
past that the camera counts as not to be stopped, and the process ends.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import av
import msgspec
from libcamera import Transform
from picamera2 import MappedArray, Picamera2
from picamera2.encoders.encoder import Encoder
from picamera2.encoders.h264_encoder import H264Encoder
from picamera2.encoders.libav_h264_encoder import LibavH264Encoder
from picamera2.outputs import Output

from appliance.errors import CameraFailed
from appliance.film.manifest import EndReason, FilmedWith
from appliance.media.jpeg import SMALL, STILL, jpeg
from appliance.records.clock import Clock
from firmware.camera import (
    PREVIEW_EVERY,
    PREVIEW_WIDTH,
    TICKS,
    Hear,
    OnEnd,
    See,
    Seen,
    Sink,
    brightness,
)
from firmware.cameras.sensors import focus_of, sensor_of
from firmware.microphone import Microphone

_errors = logging.getLogger(__name__)

_STARTS_WITHIN, _STOPS_WITHIN = 5.0, 3.0
_MICROSECONDS = 1_000_000
_LONGEST_ON_THE_WAY = 1.0
"""Seconds from a sensor to us; a picture that seems older was timed by another clock than ours."""
_BY_PERIOD = 1
"""Of `AeFlickerMode`: libcamera's FlickerManual."""
_BY_HAND = 0
"""Of `AfMode`: libcamera's AfModeManual."""
_HARDWARE, _SOFTWARE = "bcm2835-codec", "libx264"
_PROFILE = "high"
"""Of H.264. Without it picamera2 codes in software as fast as can be, with blocks on faces."""
_CODEC = Path("/sys/class/video4linux/video11/name")


_Done = TypeVar("_Done")


def has_hardware_encoder(codec: Path = _CODEC) -> bool:
    """True on a Pi 4 and a Zero 2 W, whose H.264 encoder goes by this name at this place.

    picamera2 itself believes every machine to be one of these that is not a Pi 5.
    """
    try:
        return codec.read_text().strip() == "bcm2835-codec-encode"
    except OSError:
        return False


class _Hardware(H264Encoder):  # type: ignore[misc]
    """The encoder of a Pi 4, which tells when one of its threads fails."""

    def __init__(self, failed: Callable[[], None], bit_rate: int, frame_rate: int) -> None:
        # Key frames each second, each with its parameter sets.
        super().__init__(
            bit_rate, repeat=True, iperiod=frame_rate, framerate=frame_rate, profile=_PROFILE
        )
        self._failed = failed

    def thread_poll(self, buf_available: Any) -> None:
        _telling(self._failed, super().thread_poll, buf_available)

    def _encode(self, stream: Any, request: Any) -> None:
        _telling(self._failed, super()._encode, stream, request)


class _Software(LibavH264Encoder):  # type: ignore[misc]
    """libx264, which keeps no picture back and tells when it fails."""

    def __init__(self, failed: Callable[[], None], bit_rate: int, frame_rate: int) -> None:
        super().__init__(
            bit_rate, repeat=True, iperiod=frame_rate, framerate=frame_rate, profile=_PROFILE
        )
        self._failed = failed

    def _start(self) -> None:
        super()._start()
        codec = self._stream.codec_context
        # Processors share each picture. As picamera2 sets it they would take a picture each, and a
        # power cut would lose as many pictures as there are processors.
        codec.thread_type = "SLICE"
        codec.pix_fmt = "nv12"
        codec.options |= {
            "maxrate": str(self.bitrate),
            "bufsize": str(self.bitrate),
            # A key frame each second and no other, whatever changes in the picture.
            "sc_threshold": "0",
        }

    def _encode(self, stream: Any, request: Any) -> None:
        _telling(self._failed, super()._encode, stream, request)


class _Framing(Encoder):  # type: ignore[misc]
    """Makes some of the pictures small JPEGs and shows them; they go nowhere else."""

    def __init__(self, failed: Callable[[], None], show: See, frame_rate: int) -> None:
        super().__init__(frame_rate)
        self.frame_skip_count = max(round(frame_rate * PREVIEW_EVERY), 1)
        self.closed = self.closely = False
        self._failed = failed
        self._show = show

    def _encode(self, stream: Any, request: Any) -> None:
        _telling(self._failed, self._make_small, stream, request)

    def _make_small(self, stream: Any, request: Any) -> None:
        height = round(PREVIEW_WIDTH * self.height / self.width)
        with MappedArray(request, stream) as points:
            frame = av.VideoFrame.from_numpy_buffer(points.array, "nv12", self.width)
            light = brightness(frame)
            seen = [Seen(jpeg(frame, Fraction(1), SMALL, height), light)]
            if self.closely:
                self.closely = False
                seen.append(Seen(jpeg(frame, Fraction(1), STILL), light, whole=True))
        for picture in seen:
            if not self.closed:
                self._show(picture)


class _ToSink(Output):  # type: ignore[misc]
    """Hands coded pictures on, with times that begin at zero with the first key frame."""

    def __init__(self, sink: Sink, frame_rate: int, began: Callable[[int], None]) -> None:
        """`began` gets picamera2's time of the first picture, once the sink has it."""
        super().__init__()
        self._sink = sink
        self._duration = TICKS // frame_rate
        self._began = began
        self._first: int | None = None
        self.closed = False

    def outputframe(
        self,
        frame: Any,
        keyframe: bool = True,
        timestamp: int | None = None,
        packet: Any = None,
        audio: bool = False,
    ) -> None:
        begins = self._first is None
        # picamera2 may send sound first, which has no frame; none of it was asked for.
        if self.closed or audio or timestamp is None or (begins and not keyframe):
            return
        if self._first is None:
            self._first = timestamp
        time = (timestamp - self._first) * TICKS // _MICROSECONDS
        self._sink.picture(bytes(frame), time, self._duration, keyframe)
        if begins:
            self._began(timestamp)


@dataclass(frozen=True)
class Place:
    """How a camera is mounted, and where."""

    mains_hz: int = 0
    """Of the lamps in the room; 0: nothing is done about them."""
    upside_down: bool = False
    mirrored: bool = False
    focus: float | None = None
    """Metres at which its lens is sharp; None for what suits a room, by its lens."""


class PiCamera:
    """A `Camera`: the first one the Pi finds, open only for a film or for framing."""

    name = "Raspberry Pi camera"

    def __init__(
        self,
        width: int,
        height: int,
        frame_rate: int,
        bit_rate: int,
        clock: Clock,
        microphone: Microphone | None,
        library: Callable[[], Picamera2] = Picamera2,
        place: Place = Place(),
    ) -> None:
        """`library` opens the camera."""
        self._size = (width, height)
        self._frame_rate = frame_rate
        self._bit_rate = bit_rate
        self._clock = clock
        self._microphone = microphone
        self._library = library
        self._mains_hz, self._focus = place.mains_hz, place.focus
        # The sensor is read the other way round: that costs nothing.
        self._turn = Transform(hflip=place.upside_down != place.mirrored, vflip=place.upside_down)
        self._camera: Picamera2 | None = None
        self._gives: _ToSink | _Framing | None = None
        # All that is asked of picamera2 is asked here, one thing after the other.
        self._worker = ThreadPoolExecutor(1, "picamera2")

    @property
    def has_sound(self) -> bool:
        return self._microphone is not None

    def present(self) -> bool:
        return bool(Picamera2.global_camera_info())

    def start(self, sink: Sink, on_failure: OnEnd) -> FilmedWith:
        if self._microphone is not None and sink.with_sound:
            self._microphone.start(sink.sound)
        kind = _Hardware if has_hardware_encoder() else _Software
        encoder = kind(_once(on_failure), self._bit_rate, self._frame_rate)
        output = _ToSink(sink, self._frame_rate, partial(self._began, encoder))
        self._gives = output
        return self._wait_for(_STARTS_WITHIN, "start", partial(self._open, encoder, output))

    def preview(self, show: See, hear: Hear | None, on_failure: OnEnd) -> FilmedWith:
        if self._microphone is not None and hear is not None:
            self._microphone.listen(hear)
            self._microphone.begin(self._clock.monotonic())
        # Opened as for a film: another size could come from another part of the sensor.
        encoder = self._gives = _Framing(_once(on_failure), show, self._frame_rate)
        return self._wait_for(_STARTS_WITHIN, "start", partial(self._open, encoder, None))

    def look_closely(self) -> None:
        if isinstance(self._gives, _Framing):
            self._gives.closely = True

    def stop(self) -> None:
        # Sound and picture end together, and a microphone that hangs holds up no camera.
        if self._microphone is not None:
            self._microphone.end()
        try:
            self._wait_for(_STOPS_WITHIN, "stop", self._switch_off)
        finally:
            if self._gives is not None:
                self._gives.closed = True
            if self._microphone is not None:
                self._microphone.stop()

    def _open(self, encoder: Encoder, output: Output | None) -> FilmedWith:
        camera = self._camera = self._library()
        camera.configure(
            camera.create_video_configuration(
                main={"size": self._size, "format": "NV12"},
                # What the sensor gives is not looked at: its buffers would be room for nothing.
                raw=None,
                sensor=self._mode(camera),
                transform=self._turn,
                controls={
                    "FrameRate": self._frame_rate,
                    **self._against_flicker(camera),
                    **self._sharp(camera),
                },
            )
        )
        filmed_with = self._filmed_with(camera)
        camera.start_recording(encoder, output)
        return filmed_with

    def _filmed_with(self, camera: Picamera2) -> FilmedWith:
        """What libcamera says that it made of what was asked, as far as that is understood: what is
        only told keeps no kit from filming."""
        plain = FilmedWith(
            camera=self.name,
            size=self._size,
            frame_rate=self._frame_rate,
            encoder=f"{_HARDWARE if has_hardware_encoder() else _SOFTWARE}, {_PROFILE}",
            bit_rate=self._bit_rate,
        )
        try:
            return msgspec.convert(msgspec.to_builtins(plain) | self._said_of(camera), FilmedWith)
        except Exception:
            _errors.exception("what libcamera says of its camera is not understood")
            return plain

    def _said_of(self, camera: Picamera2) -> dict[str, Any]:
        """The fields of a `FilmedWith` that libcamera knows."""
        said, can = camera.camera_properties, camera.camera_controls
        sensor = camera.camera_configuration().get("sensor") or {}
        # Of the sensor's points, those that the mode reads: left, top, width, height.
        _, _, wide, high = said.get("ScalerCropMaximum", (0, 0, 0, 0))
        across, _ = said.get("PixelArraySize", (0, 0))
        width, height = self._size
        seen = min(wide, high * width / height) / across if wide and across else None
        found = {
            "camera": said.get("Model"),
            "read": sensor.get("output_size"),
            "seen": seen and round(min(seen, 1.0), 3),
            "focus": self._sharp(camera).get("LensPosition"),
        }
        if "ExposureTime" in can:
            shortest, longest, *_ = can["ExposureTime"]
            found["exposure"] = shortest, min(longest, _MICROSECONDS // self._frame_rate)
        return {name: value for name, value in found.items() if value is not None}

    def _sharp(self, camera: Picamera2) -> dict[str, Any]:
        """The lens where it is to stay: looking for what is sharp, it would hunt in the midst of a
        film, and be heard. Of one that cannot be moved nothing is asked."""
        metres = self._focus or focus_of(camera.camera_properties.get("Model", ""))
        if metres is None or "LensPosition" not in camera.camera_controls:
            return {}
        nearest = camera.camera_controls["LensPosition"][1]
        return {"AfMode": _BY_HAND, "LensPosition": min(1 / metres, nearest)}

    def _mode(self, camera: Picamera2) -> dict[str, Any]:
        """How the sensor is read, so that all is filmed that the lens sees; of a camera that is not
        known, as picamera2 thinks best."""
        sensor = sensor_of(camera.camera_properties.get("Model", ""))
        if sensor is None:
            return {}
        mode = sensor.mode_for(self._size, self._frame_rate)
        return {"output_size": mode.size, "bit_depth": mode.bits}

    def _against_flicker(self, camera: Picamera2) -> dict[str, Any]:
        """Exposures of whole waves of the light, which is twice as fast as the mains. libcamera
        does not look for them by itself."""
        if not self._mains_hz or "AeFlickerMode" not in camera.camera_controls:
            return {}
        return {
            "AeFlickerMode": _BY_PERIOD,
            "AeFlickerPeriod": _MICROSECONDS // 2 // self._mains_hz,
        }

    def _began(self, encoder: Encoder, timestamp: int) -> None:
        """The first picture has come: the film's sound begins when it was seen."""
        if self._microphone is None:
            return
        now = self._clock.monotonic()
        # A sensor's times are of the kernel's monotonic clock, as ours are; the encoder counts them
        # from its first picture on.
        seen = (encoder.firsttimestamp + timestamp) / _MICROSECONDS
        self._microphone.begin(seen if 0 <= now - seen <= _LONGEST_ON_THE_WAY else now)

    def _switch_off(self) -> None:
        if self._camera is None:
            return
        try:
            self._camera.stop_recording()
        except Exception:
            # An encoder that failed cannot be stopped; what counts is that the sensor is.
            _errors.exception("the recording did not stop as it should")
            self._close()
        else:
            # The sensor is off. What is left takes picamera2 some tenths of a second, for which
            # nobody has to wait but the next film.
            self._worker.submit(self._close)

    def _close(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()

    def _wait_for(self, seconds: float, what: str, action: Callable[[], _Done]) -> _Done:
        """Have something done, but wait no longer than `seconds`. Raises CameraFailed."""
        try:
            return self._worker.submit(action).result(seconds)
        except Exception as error:
            raise CameraFailed(f"The camera does not {what}.", "Check its cable.") from error


def _once(on_failure: OnEnd) -> Callable[[], None]:
    """Tells the first failure only, whichever of picamera2's threads it comes from."""
    lock = threading.Lock()

    def failed() -> None:
        # Never given back.
        if lock.acquire(blocking=False):
            on_failure(EndReason.CAMERA_FAILED)

    return failed


def _telling(failed: Callable[[], None], action: Callable[..., None], *arguments: Any) -> None:
    """Do something in a thread of picamera2's, where nothing may be raised."""
    try:
        action(*arguments)
    except Exception:
        _errors.exception("the encoder failed")
        failed()
