"""Whether light, camera, microphone and the Pi itself would let a film begin."""

from collections.abc import Callable
from dataclasses import dataclass

from appliance.protocol.permits import PressRefusal
from firmware.board import Board
from firmware.camera import Camera
from firmware.light import Light


@dataclass(frozen=True)
class Equipment:
    """What a film needs besides its permit. One thread only."""

    light: Light
    camera: Camera
    board: Board
    needs_microphone: bool
    """A scene may be silent; where there is a lens, silence means a missing microphone."""
    loading: Callable[[], bool] = lambda: False
    """Asked as soon as a permit is in force; while it is true, nothing is asked of the camera."""

    def trouble(self, sound: bool) -> PressRefusal | None:
        """Why no film, with `sound` or without, should begin now; None for no reason known."""
        if self.light.broken:
            return PressRefusal.LIGHT_BROKEN
        if self.loading():
            return PressRefusal.CAMERA_LOADING
        if not self.camera.present():
            return PressRefusal.CAMERA_MISSING
        if sound and self.needs_microphone and not self.camera.has_sound:
            return PressRefusal.NO_MICROPHONE
        return self.board.trouble()
