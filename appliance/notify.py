"""Telling systemd how we are: sd_notify(3), one datagram to the socket it names."""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

EVERY = 1.0
"""Seconds between two pulses, at least."""


def notify(state: str, wait: bool = True) -> None:
    """Send `READY=1`, `WATCHDOG=1` or the like; nothing happens where nobody listens.

    Without `wait` it is lost where systemd is so far behind that it takes nothing more.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as wire:
        wire.setblocking(wait)
        with suppress(BlockingIOError):
            wire.sendto(state.encode(), address)


class Pulse:
    """Tells systemd's watchdog that it goes on, each time it is called: by whatever got further.
    Any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = float("-inf")
        self._patience = float(os.environ.get("WATCHDOG_USEC", "0")) / 1e6

    def __call__(self, quiet: float = 0.0) -> None:
        """`quiet`: what follows has an end of its own, and until then, so many seconds at most,
        nothing can be heard of it. From then on the watchdog waits as long."""
        now = self._clock()
        if quiet > self._patience:
            self._patience = quiet
            notify(f"WATCHDOG_USEC={quiet * 1e6:.0f}\nWATCHDOG=1", wait=False)
        elif now - self._last < EVERY:
            return
        else:
            notify("WATCHDOG=1", wait=False)
        self._last = now
