"""How the programs of a kit begin and end: their settings, and in words what stops them."""

import argparse
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from appliance.config import load_config
from appliance.errors import BadInput, KitError, error_json, own_card

DIED = 70
"""Exit status after an unforeseen error; systemd starts the program again."""


class _NotUnderstood(BadInput):
    code = "usage"
    exit_status = 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _NotUnderstood(
            "%(why)s.", "%(program)s --help says what there is.", why=message, program=self.prog
        )


def run(process: str, promise: str, start: Callable[..., int], **flags: str) -> int:
    """Read the command line and the settings, hold the home, and `start`. Returns the exit status.

    `start` gets the settings, and whether each of `flags` was given: an option and its help.
    """
    parser = _Parser(prog=f"attune {process}", description=promise)
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the kit's settings (TOML)"
    )
    for flag, use in flags.items():
        parser.add_argument(f"--{flag}", action="store_true", help=use)

    def begin() -> int:
        told = vars(parser.parse_args())
        config = load_config(told.pop("config"))
        with config.places.claim(process):
            return start(config, **told)

    return said(process, begin)


def said(process: str, act: Callable[[], int]) -> int:
    """The exit status of `act`. What stopped it is said in words and, with --json, as an object."""
    try:
        return act()
    except (KitError, OSError) as stopped:
        error = stopped if isinstance(stopped, KitError) else own_card(stopped)
        print(f"attune {process}: {error}", file=sys.stderr)
        as_json = error_json(sys.argv[1:], error.code, error.sentence, error.hint)
        print(as_json, end="", flush=True)
        return error.exit_status


def end_with_the_thread(died: threading.ExceptHookArgs) -> None:
    """For `threading.excepthook`: a recorder that has lost a thread cannot be trusted with a
    camera."""
    die(died.exc_value)


def die(error: BaseException | None) -> NoReturn:
    """Say what happened, and end at once: nothing is waited for or closed."""
    try:
        traceback.print_exception(error)
    finally:
        os._exit(DIED)
