"""The virtual kit: a button without hardware, pressed from the page or by a rehearsal.

Only where the camera is a scene; a kit with a lens has no such door.
"""

import socket

from gpiozero.pins.mock import MockFactory

from appliance.files import Home


class VirtualButton:
    """Listens at a Unix datagram socket for `down` and `up` and moves the button's mock pin."""

    def __init__(self, home: Home, factory: MockFactory, pin: int) -> None:
        path = home.status("recorder").with_name("virtual-button")
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
