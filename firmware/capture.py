"""What the camera is open for: a film, from its sink to the card, or framing."""

from collections.abc import Callable

from appliance.errors import CameraFailed
from appliance.film.manifest import EndReason, FilmedWith
from appliance.protocol.permits import Permit
from appliance.protocol.status import State
from appliance.records.clock import Clock
from firmware.camera import Camera, Meter, OnEnd, Seen
from firmware.filming import Film, OnClosed
from firmware.recorder import Broke, Event, FilmClosed, StopAsked

LONGEST_WITHOUT_PICTURE = 2.0
LONGEST_WITHOUT_SOUND = 5.0

FilmMaker = Callable[[Permit, bool, OnEnd, OnClosed], Film]
"""Makes a film under a permit, with sound or without."""


class Capture:
    """The camera, and the film under way or the last one. The runner's thread."""

    def __init__(
        self,
        camera: Camera,
        make_film: FilmMaker,
        clock: Clock,
        post: Callable[[Event], None],
        show: Callable[[Seen | None], None],
    ) -> None:
        """`post` takes events from any thread. `show` gets what is seen for framing, from the
        camera's thread, and None when there is no more to see; either may raise OSError."""
        self.camera = camera
        self._make_film = make_film
        self._clock = clock
        self._post = post
        self._show = show
        self.film: Film | None = None
        self.closed = True
        """That film is closed, or there is none."""
        self._meter: Meter | None = None
        """How loud it is while framing with sound."""
        self._seen_at = 0.0
        """When the last picture for framing came, or the camera opened for it."""
        self.filmed_with: FilmedWith | None = None
        """What the camera was set to when it was last opened."""
        self.light: float | None = None
        """How bright the last picture for framing was; None while nothing is framed."""
        self.looks = 0
        """Pictures for framing that came whole since the camera opened for it."""
        self._started_at = 0.0
        """When the press that started the film was let go."""
        self._timings: dict[str, float] = {}

    @property
    def ear(self) -> Meter | None:
        """What hears while a film is made or framed with sound."""
        sink = self.film.sink if self.film and not self.closed else None
        return self._meter or (sink.meter if sink and sink.with_sound else None)

    @property
    def timings(self) -> dict[str, float]:
        """Of the last film, in milliseconds."""
        sealed = self.film.writer.first_sealed if self.film else None
        if sealed is None:
            return dict(self._timings)
        return self._timings | {"release_to_sealed": 1000 * (sealed - self._started_at)}

    def lit(self, pressed_at: float) -> None:
        """The light says that a film begins, for a press at this time."""
        self._started_at = pressed_at
        self._timings = {"release_to_light": self._since(pressed_at)}

    def begin(self, permit: Permit) -> Film:
        """Make a film's place on the card. Raises BadInput, NotPossible."""

        def closed(fault: EndReason | None) -> None:
            self._post(FilmClosed(self._clock.monotonic(), fault))

        sound = permit.sound and self.camera.has_sound
        film = self._make_film(permit, sound, self._on_end, closed)
        film.writer.begin()
        self.film, self.closed = film, False
        return film

    def start(self) -> None:
        """Open the camera for the film that was begun. Raises CameraFailed, SoundFailed."""
        if self.film is None:
            raise CameraFailed("There is no film for the camera.")
        self.filmed_with = self.camera.start(self.film.sink, self._on_end)
        self.film.writer.filmed_with(self.filmed_with)
        # To open it may take longer than pictures may stay away.
        self.film.sink.expect()
        self._timings["release_to_camera"] = self._since(self._started_at)

    def frame(self, sound: bool) -> None:
        """Open the camera for framing. Raises CameraFailed."""
        self._seen_at = self._clock.monotonic()
        self._meter = Meter(self._clock) if sound and self.camera.has_sound else None
        hear = self._meter.take if self._meter else None
        self.looks = 0
        self.filmed_with = self.camera.preview(self._see, hear, self._on_end)

    def look_closely(self) -> None:
        """Have the next picture for framing whole."""
        self.camera.look_closely()

    def stop(self, asked_at: float) -> None:
        """Close the camera, whatever it is open for. Raises CameraFailed, SoundFailed, OSError."""
        self.camera.stop()
        self._show(None)
        self._meter = self.light = None
        if self.film is not None:
            self._timings["stop_to_closed"] = self._since(asked_at)

    def finish(self, why: EndReason) -> None:
        """Close the film; `FilmClosed` follows, also where there is none to close."""
        if self.closed or self.film is None:
            self._post(FilmClosed(self._clock.monotonic()))
        else:
            self.film.finish(why)

    def stalled(self, now: float, state: State) -> EndReason | None:
        """Why the camera cannot be trusted any more in this state: nothing came for too long."""
        if state is State.PREVIEW and now - self._seen_at > LONGEST_WITHOUT_PICTURE:
            return EndReason.FRAMES_STOPPED
        if state is State.FILMING and self.film is not None:
            sink = self.film.sink
            if now - sink.last_picture > LONGEST_WITHOUT_PICTURE:
                return EndReason.FRAMES_STOPPED
            if sink.with_sound and now - sink.last_sound > LONGEST_WITHOUT_SOUND:
                return EndReason.SOUND_FAILED
        return None

    def _see(self, seen: Seen) -> None:
        """A picture for framing; the camera's thread, where nothing may be raised."""
        self._seen_at = self._clock.monotonic()
        try:
            self._show(seen)
            self.light = seen.light
            self.looks += seen.whole
        except OSError:
            self._on_end(EndReason.FAULT)

    def _on_end(self, why: EndReason) -> None:
        """A camera, a sink or a writer can go no further; any thread."""
        now = self._clock.monotonic()
        self._post(StopAsked(now, why) if why is EndReason.LIMIT else Broke(now, why))

    def _since(self, moment: float) -> float:
        """Milliseconds."""
        return 1000 * (self._clock.monotonic() - moment)
