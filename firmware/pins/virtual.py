"""The virtual kit: a button without hardware, a lamp with an eye on it, a card that goes wrong.

Only where the camera is a scene: on a kit with a lens nothing goes wrong on demand.
"""

import errno
import os
import socket
import time
from typing import TYPE_CHECKING

from gpiozero.pins.mock import MockFactory, MockPin

from appliance.config import Config, Fault
from appliance.records.files import Home

if TYPE_CHECKING:
    from appliance.film.segment import Create


_CARD_SAYS: dict[Fault, int] = {
    "card-full": errno.ENOSPC,
    "card-broken": errno.EIO,
    "card-read-only": errno.EROFS,
}
_SLOW = 0.7
"""Seconds that a write takes on a card that is too slow: more than the film in it lasts."""


class VirtualButton:
    """Listens at a Unix datagram socket for `down` and `up` and moves the button's mock pin."""

    def __init__(self, home: Home, factory: MockFactory, pin: int) -> None:
        path = home.virtual_button
        self._pin = factory.pin(pin)
        path.unlink(missing_ok=True)
        self._wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._wire.bind(str(path))
        path.chmod(0o660)

    def listen(self) -> None:
        """Move the pin as told, for ever; for a thread of its own."""
        while True:
            match self._wire.recv(16):
                case b"down":
                    self._pin.drive_low()
                case b"up":
                    self._pin.drive_high()


def virtual_pins(config: Config) -> MockFactory:
    """Pins of a kit without hardware. If one reads the lamp back, it sees what the lamp does."""
    factory = MockFactory()
    if config.read_back_pin is not None:
        shines = config.faults.after if "light-goes-out" in config.faults.happen else float("inf")
        factory.pin(config.light_pin, pin_class=_Lamp, shines=shines)
        factory.pin(config.read_back_pin, pin_class=_Eye, lamp=factory.pin(config.light_pin))
    return factory


class _Lamp(MockPin):  # type: ignore[misc]
    """A lamp that goes out by itself once it has shone for so many seconds without a break."""

    def __init__(self, factory: MockFactory, info: object, shines: float) -> None:
        super().__init__(factory, info)
        self._shines = shines

    @property
    def lit(self) -> bool:
        return bool(self._state) and time.monotonic() - self._last_change < self._shines


class _Eye(MockPin):  # type: ignore[misc]
    """What reads a lamp back."""

    def __init__(self, factory: MockFactory, info: object, lamp: _Lamp) -> None:
        super().__init__(factory, info)
        self._lamp = lamp

    def _get_state(self) -> bool:
        return self._lamp.lit


def virtual_card(config: Config) -> "Create":
    """What makes the files of the film that begins now: the system, unless the card goes wrong."""
    # What seals is not loaded for a button and a lamp.
    from appliance.film.segment import WatchedFile, create

    wrong = next((fault for fault in config.faults.happen if fault.startswith("card-")), None)
    if wrong is None:
        return create
    well_until = time.monotonic() + config.faults.after

    def go_wrong() -> None:
        if time.monotonic() >= well_until:
            if wrong in _CARD_SAYS:
                raise OSError(_CARD_SAYS[wrong], os.strerror(_CARD_SAYS[wrong]))
            time.sleep(_SLOW)

    return lambda path: WatchedFile(create(path), go_wrong)
