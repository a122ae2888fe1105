"""The Raspberry Pi's camera through picamera2; nothing else imports it.

Its encoder is chosen by what the machine has: the V4L2 hardware encoder of a Pi 4 or Zero 2 W, and
libx264 elsewhere. picamera2 swallows what an output raises, so ours raises nothing: the sink it
feeds tells its first error itself. Without a microphone so far: these films are silent.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from libcamera import controls
from picamera2 import Picamera2
from picamera2.encoders import H264Encoder, LibavH264Encoder
from picamera2.outputs import Output

from appliance.errors import CameraFailed
from appliance.film import EndReason
from firmware.camera import TICKS, Sink

_HARDWARE_ENCODER = Path("/dev/video11")
_MICROSECONDS = 1_000_000


class _SinkOutput(Output):  # type: ignore[misc]
    """Hands coded pictures on, with times that begin at zero with the first key frame."""

    def __init__(self, sink: Sink, frame_rate: int) -> None:
        super().__init__()
        self._sink = sink
        self._duration = TICKS // frame_rate
        self._first: int | None = None

    def outputframe(
        self,
        frame: Any,
        keyframe: bool = True,
        timestamp: int | None = None,
        packet: Any = None,
        audio: bool = False,
    ) -> None:
        if audio or timestamp is None or (self._first is None and not keyframe):
            return
        if self._first is None:
            self._first = timestamp
        time = (timestamp - self._first) * TICKS // _MICROSECONDS
        self._sink.picture(bytes(frame), time, self._duration, keyframe)


class PiCamera:
    """A `Camera`: the first one the Pi finds. It is opened for each film and closed after it."""

    name = "Raspberry Pi camera"
    has_sound = False

    def __init__(self, width: int, height: int, frame_rate: int, bit_rate: int) -> None:
        self._size = (width, height)
        self._frame_rate = frame_rate
        self._bit_rate = bit_rate
        self._open: Picamera2 | None = None

    def present(self) -> bool:
        return bool(Picamera2.global_camera_info())

    def start(self, sink: Sink, on_failure: Callable[[EndReason], None]) -> None:
        # picamera2 does not tell of failures: frames stop, and the runner notices that.
        encoder = H264Encoder if _HARDWARE_ENCODER.exists() else LibavH264Encoder
        try:
            camera = self._open = Picamera2()
            frame_time = _MICROSECONDS // self._frame_rate
            camera.configure(
                camera.create_video_configuration(
                    main={"size": self._size, "format": "YUV420"},
                    controls={
                        "FrameDurationLimits": (frame_time, frame_time),
                        "NoiseReductionMode": controls.draft.NoiseReductionModeEnum.Fast,
                    },
                )
            )
            # Key frames each second, each with its parameter sets.
            camera.start_recording(
                encoder(
                    bitrate=self._bit_rate,
                    repeat=True,
                    iperiod=self._frame_rate,
                    framerate=self._frame_rate,
                ),
                _SinkOutput(sink, self._frame_rate),
            )
        except (RuntimeError, OSError, IndexError) as error:
            self.stop()
            raise CameraFailed("The camera does not start.", "Check its cable.") from error

    def stop(self) -> None:
        camera, self._open = self._open, None
        if camera is None:
            return
        try:
            camera.stop_recording()
        except (RuntimeError, OSError) as error:
            raise CameraFailed("The camera does not stop.") from error
        finally:
            camera.close()
