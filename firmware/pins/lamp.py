"""The lamp on its pin, and the wire that reads it back."""

import time
from typing import Protocol

from gpiozero import LED, DigitalInputDevice
from gpiozero.pins import Factory

from appliance.errors import LightFailed

FOLLOWS_WITHIN = 0.02
"""Seconds that a wire and a lamp may take from the command to what is read back: a phototransistor
that was dazzled takes some milliseconds to let go."""
_LOOK_EVERY = 0.0005


class Lamp(Protocol):
    """A lamp and, where a wire is fitted, an eye on it."""

    @property
    def proven(self) -> bool:
        """True where a wire reads the lamp back."""

    @property
    def slowest(self) -> float:
        """Seconds that it took at most, so far, to be seen as it was set."""

    def set(self, lit: bool) -> None:
        """Switch it; returns when it follows. Raises LightFailed if it does not."""

    def check(self) -> None:
        """Raises LightFailed if it is not as it was set."""

    def close(self) -> None: ...


class PinLamp:
    """A lamp on a pin; with `read_back_pin` every edge is read back."""

    def __init__(self, pin: int, read_back_pin: int | None, factory: Factory) -> None:
        self._led = LED(pin, pin_factory=factory)
        self._eye = (
            None
            if read_back_pin is None
            else DigitalInputDevice(read_back_pin, pull_up=False, pin_factory=factory)
        )
        self._set_to = False
        self._slowest = 0.0

    @property
    def proven(self) -> bool:
        return self._eye is not None

    @property
    def slowest(self) -> float:
        return self._slowest

    def set(self, lit: bool) -> None:
        self._set_to = lit
        began = time.monotonic()
        try:
            self._led.value = int(lit)
        except Exception as error:
            # gpiozero passes on whatever its pin library raises.
            raise LightFailed("The light could not be switched.") from error
        self.check()
        self._slowest = max(self._slowest, time.monotonic() - began)

    def check(self) -> None:
        end = time.monotonic() + FOLLOWS_WITHIN
        while True:
            # Asked before the look: what hung meanwhile has looked once more.
            late = time.monotonic() >= end
            if self._follows():
                return
            if late:
                raise LightFailed("The light does not follow: its lamp or its wire is broken.")
            time.sleep(_LOOK_EVERY)

    def close(self) -> None:
        self._led.close()
        if self._eye is not None:
            self._eye.close()

    def _follows(self) -> bool:
        return self._eye is None or bool(self._eye.value) is self._set_to
