"""Telling systemd how we are: sd_notify(3), one datagram to the socket it names."""

import os
import socket
from contextlib import suppress


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
