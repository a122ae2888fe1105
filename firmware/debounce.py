"""The button: edges of a pin become presses and releases, by their own times.

A contact bounces for some milliseconds. A press is told at its first edge, because whoever wants
to stop a film must not wait; a release only when the button has stayed up for `SETTLE`, because a
gap in a long press is not the end of it. A button that is down when the kit wakes is not pressed
until it has been let go.
"""

from firmware.pins.button import Edge
from firmware.recorder import Pressed, Released

SETTLE = 0.02
"""Seconds without an edge after which a button that is up has been let go."""


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
