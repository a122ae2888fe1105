"""A camera that is loaded when it is needed, and not before."""

# Nothing is loaded just for its type: see `firmware.__main__`.
from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from appliance.errors import CameraFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.film.manifest import FilmedWith
    from firmware.camera import Camera, Hear, OnEnd, See, Sink

_errors = logging.getLogger(__name__)


class LateCamera:
    """A `Camera` that is loaded once a permit is in force: its libraries take more memory than the
    rest of the recorder. That takes a Pi seconds, in which the button must be heard, so `loading`
    begins it in a thread of its own; any other call waits for it. A camera that cannot be loaded
    counts as missing until the recorder starts again."""

    def __init__(self, name: str, make: Callable[[], Camera]) -> None:
        self._name = name
        self._make = make
        self._made: Camera | None = None
        self._loader: threading.Thread | None = None
        self._over = threading.Event()
        """It is loaded, or cannot be."""

    def loading(self, loaded: Callable[[], None]) -> bool:
        """True until it is loaded. The first call begins that; `loaded` is called at its end."""
        if self._loader is None:
            self._loader = threading.Thread(
                target=self._load, args=(loaded,), name="camera", daemon=True
            )
            self._loader.start()
        return not self._over.is_set()

    def _load(self, loaded: Callable[[], None]) -> None:
        try:
            camera = self._make()
            # Its first answer is slow as well.
            camera.present()
            self._made = camera
        except Exception:
            # These libraries raise all sorts of things where a part is missing.
            _errors.exception("the camera could not be loaded")
        finally:
            self._over.set()
            loaded()

    @property
    def name(self) -> str:
        return self._made.name if self._made is not None else self._name

    @property
    def _camera(self) -> Camera:
        if self.loading(lambda: None):
            self._over.wait()
        if self._made is None:
            raise CameraFailed("The camera could not be loaded.", "Start the kit again.")
        return self._made

    @property
    def has_sound(self) -> bool:
        return self._camera.has_sound

    def present(self) -> bool:
        try:
            return self._camera.present()
        except CameraFailed:
            return False

    def start(self, sink: Sink, on_failure: OnEnd) -> FilmedWith:
        return self._camera.start(sink, on_failure)

    def preview(self, show: See, hear: Hear | None, on_failure: OnEnd) -> FilmedWith:
        return self._camera.preview(show, hear, on_failure)

    def look_closely(self) -> None:
        if self._made is not None:
            self._made.look_closely()

    def stop(self) -> None:
        if self._made is not None:
            self._made.stop()
