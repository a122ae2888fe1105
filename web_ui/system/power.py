"""Switching the kit off."""

import subprocess

from appliance.errors import NotPossible
from web_ui.wording.language import _


def power_off() -> None:
    """Ask systemd to switch the machine off; its own rules say who may."""
    manager = ("org.freedesktop.login1", "/org/freedesktop/login1")
    asked = (f"{manager[0]}.Manager", "PowerOff", "b", "0")
    try:
        command = ("busctl", "--system", "call", *manager, *asked)
        subprocess.run(command, capture_output=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise NotPossible(
            _("You cannot turn this kit off from here."),
            _("Pull the plug when it is not filming. Nothing is lost."),
        ) from error
