"""The button on its pin: what it says, as edges with their times."""

from collections.abc import Callable
from dataclasses import dataclass

from gpiozero import DigitalInputDevice
from gpiozero.pins import Factory

from appliance.records.clock import Clock


@dataclass(frozen=True)
class Edge:
    """The pin changed: `down` from then on."""

    at: float
    down: bool


class Button:
    """The button on its pin. `post` gets every edge, from the pin library's own thread."""

    def __init__(
        self, pin: int, factory: Factory, clock: Clock, post: Callable[[Edge], None]
    ) -> None:
        # Not the library's own button: a thread of it looks for holds ten times a second, for ever.
        # Nor its bounce time: its mock pins ignore it, so it could not be tested.
        self._pin = DigitalInputDevice(pin, pull_up=True, bounce_time=None, pin_factory=factory)
        self._pin.when_activated = lambda: post(Edge(clock.monotonic(), True))
        self._pin.when_deactivated = lambda: post(Edge(clock.monotonic(), False))
        self.down = bool(self._pin.is_active)
        """How the button was found at the start."""

    def close(self) -> None:
        self._pin.close()
