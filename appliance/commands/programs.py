"""Where `attune` begins. The kit's programs are started here, by name, before any of its other
commands is loaded: a kit starts three of them each time it wakes."""

import os
import sys
from importlib.util import find_spec
from typing import NoReturn

PROGRAMS = {
    "recorder": ("firmware", "Run the recorder: camera, button, light."),
    "web": ("web_ui", "Run the page."),
    "sync": ("appliance.sync", "Send what is sealed to the service."),
    "base": ("appliance.base", "At base: carry out what families have asked for at the store."),
}
"""Programs that are started by name, because nothing may import them."""


def main() -> NoReturn:
    """The console script."""
    module, _ = PROGRAMS.get(sys.argv[1] if len(sys.argv) > 1 else "", ("", ""))
    if module and is_here(module):
        become(module, sys.argv[2:])
    # All other commands, among them to say that a program is not here.
    from appliance.commands.main import main

    main()


def is_here(module: str) -> bool:
    """True if the module is installed: not every kit has every package."""
    found = find_spec(module)
    # A folder that another version left is a module to Python, and there is nothing in it.
    return found is not None and found.origin is not None


def become(module: str, options: list[str]) -> NoReturn:
    """Go on as this program, with its options."""
    # Where the working directory is no place for code, it is none for the program either.
    safely = ["-P"] if sys.flags.safe_path else []
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *safely, "-m", module, *options])  # noqa: S606
