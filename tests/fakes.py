"""Stand-ins that do what they are told and no more; real where it counts."""

import threading
from datetime import UTC, datetime, timedelta

import av

from appliance.clock import Reading
from appliance.errors import LightFailed
from appliance.film import EndReason
from firmware.camera import Sink
from firmware.cameras.scene import Scene, SceneCamera
from firmware.muxer import Muxer

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


class FakeClock:
    """Moves only when told. `read().boottime` and `monotonic()` go together."""

    def __init__(self, wall: datetime = NOON, boot: str = "this boot") -> None:
        self.wall, self.boot, self.seconds = wall, boot, 1000.0

    def read(self) -> Reading:
        return Reading(self.wall, self.boot, self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall += timedelta(seconds=seconds)


class FakeLamp:
    """A lamp with an eye on it; `stuck` while it does not follow."""

    def __init__(self) -> None:
        self.lit = False
        self.stuck = False
        self._set_to = False

    def set(self, lit: bool) -> None:
        self._set_to = lit
        if not self.stuck:
            self.lit = lit
        self.check()

    def check(self) -> None:
        if self.lit is not self._set_to:
            raise LightFailed("The light does not follow.")

    def dark(self) -> None:
        """It goes out by itself and stays out."""
        self.lit, self.stuck = False, True

    def close(self) -> None:
        pass


class HurriedClock(FakeClock):
    """A second later whenever it is asked: who paces by it is always late, and so never waits."""

    def monotonic(self) -> float:
        self.advance(1)
        return self.seconds


class Reel:
    """A sink that keeps what it is given, and knows when that was enough."""

    def __init__(self, enough: int = 0, target: Sink | None = None) -> None:
        """`target`: where everything goes on to, up to `enough` pictures."""
        self.pictures: list[tuple[bytes, int, int, bool]] = []
        self.samples = bytearray()
        self.full = threading.Event()
        self._enough = enough
        self._target = target

    def picture(self, data: bytes, time: int, duration: int, key: bool) -> None:
        if self.full.is_set():
            return
        self.pictures.append((data, time, duration, key))
        if self._target is not None:
            self._target.picture(data, time, duration, key)
        if len(self.pictures) == self._enough:
            self.full.set()

    def sound(self, frame: av.AudioFrame) -> None:
        if self.full.is_set():
            return
        assert frame.pts == len(self.samples) // 2, "the sound has a gap"
        self.samples += bytes(frame.planes[0])[: 2 * frame.samples]
        if self._target is not None:
            self._target.sound(frame)


def look_at(scene: Scene, reel: Reel, bit_rate: int = 1_000_000) -> None:
    """Film a scene as fast as this machine can, until the reel is full."""
    failures: list[EndReason] = []
    camera = SceneCamera(scene, bit_rate, HurriedClock())
    camera.start(reel, failures.append)
    assert reel.full.wait(60), f"the camera gave {len(reel.pictures)} pictures and {failures}"
    camera.stop()
    assert not failures


def muxed(
    scene: Scene, pictures: int, bit_rate: int = 1_000_000, sound: bool = True
) -> list[bytes]:
    """The muxer's pieces for a film of a scene."""
    pieces: list[bytes] = []
    muxer = Muxer(pieces.append, sound)
    look_at(scene, Reel(pictures, muxer), bit_rate)
    muxer.close()
    return pieces
