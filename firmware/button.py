"""The button: edges of a pin become presses and releases, by their own times.

A contact bounces for some milliseconds. A press is told at its first edge, because whoever wants
to stop a film must not wait; a release only when the button has stayed up for `SETTLE`, because a
gap in a long press is not the end of it. A button that is down when the kit wakes is not pressed
until it has been let go.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gpiozero import DigitalInputDevice
from gpiozero.pins import Factory

from appliance.records.clock import Clock
from firmware.recorder import Pressed, Released

SETTLE = 0.02
"""Seconds without an edge after which a button that is up has been let go."""


@dataclass(frozen=True)
class Edge:
    """The pin changed: `down` from then on."""

    at: float
    down: bool


class Debounce:
    """Edges in, presses and releases out. Pure; one thread."""

    def __init__(self, down: bool = False) -> None:
        """`down`: how the button is found at the start."""
        self._down = down
        self._since = float("-inf")
        """When the last edge was."""
        self._press: float | None = None
        """When the press under way began; None while up, or while held since the start."""
        self._held_over = down

    @property
    def due(self) -> float | None:
        """When `settle` has something to say, if no edge comes before."""
        waiting = not self._down and (self._press is not None or self._held_over)
        return self._since + SETTLE if waiting else None

    def edge(self, edge: Edge) -> list[Pressed | Released]:
        """Take in an edge. Edges come in order of time."""
        told = self.settle(edge.at)
        self._down, self._since = edge.down, edge.at
        if edge.down and self._press is None and not self._held_over:
            self._press = edge.at
            return [*told, Pressed(edge.at)]
        return told

    def settle(self, now: float) -> list[Pressed | Released]:
        """Tell the release that has become certain by `now`."""
        if self.due is None or now < self.due:
            return []
        began, self._press, self._held_over = self._press, None, False
        return [] if began is None else [Released(self._since + SETTLE, self._since - began)]


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
