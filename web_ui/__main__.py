"""`python -m web_ui --config FILE`: the page of this kit, until it is told to end."""

import argparse
import ctypes
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path

from flask import Flask
from granian import Granian
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.log import LogLevels

from appliance.audit import Log
from appliance.cases import Cases
from appliance.clock import Clock, SystemClock
from appliance.config import Config, load_config
from appliance.errors import KitError, NotPossible
from appliance.importing import clear_unfinished
from appliance.sticks import Sticks, Udisks
from appliance.withdrawing import finish_everything
from web_ui import create_app, memory
from web_ui.enrolment import Enrolment
from web_ui.keeper import Keeper
from web_ui.parts import Parts
from web_ui.seat import Seat
from web_ui.this_kit import power_off
from web_ui.tls import ensure_certificate

THREADS = 16
"""Requests answered at once: a few players, the status line of a few browsers, and a form."""

_STOP_SECONDS = 3
_SET_DUMPABLE = 4


def main(arguments: list[str] | None = None) -> int:
    """Serve the page. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="attune web", description="The page of this kit.")
    parser.add_argument("--config", type=Path, required=True, help="the kit's settings (TOML)")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        config = load_config(options.config)
        with config.places.claim("web"):
            _serve(config)
    except KitError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    return 0


def build_parts(
    config: Config,
    clock: Clock,
    sticks: Sticks | None = None,
    power_off: Callable[[], None] = power_off,
) -> Parts:
    """The parts of the page for these settings, with what a pulled plug left undone carried out."""
    home = config.places
    cases = Cases(home)
    log = Log(home.log("web"), clock)
    for case in finish_everything(home, cases):
        # The page still starts; the certificate of this case says that it is not finished.
        log.write("withdrawal-unfinished", case=case)
    clear_unfinished(home)
    return Parts(
        home=home,
        config=config,
        clock=clock,
        log=log,
        seat=Seat(clock),
        enrolment=Enrolment(home, clock),
        cases=cases,
        sticks=sticks or Sticks(Udisks()),
        power_off=power_off,
    )


def _serve(config: Config) -> None:
    _check_address(config)
    home = config.places
    home.prepare(home.keys, home.cases, home.permits, home.web_requests, home.run / "web")
    certificate, key = ensure_certificate(home.keys, (config.listen, *config.names))
    server = Granian(
        "web_ui",
        address=config.listen,
        port=config.port,
        interface=Interfaces.WSGI,
        # One: the unlocked key is in the memory of one process.
        workers=1,
        blocking_threads=THREADS,
        http=HTTPModes.auto,
        ssl_cert=certificate,
        ssl_key=key,
        ssl_protocol_min=SSLProtocols.tls12,
        log_level=LogLevels.error,
        workers_kill_timeout=_STOP_SECONDS,
    )
    server.serve(target_loader=lambda: _load(config), wrap_loader=False)


def _check_address(config: Config) -> None:
    """Raise NotPossible, in words, if the page cannot listen where it should."""
    family = socket.AF_INET6 if ":" in config.listen else socket.AF_INET
    try:
        socket.create_server((config.listen, config.port), family=family).close()
    except OSError as error:
        raise NotPossible(
            f"The page cannot listen at {config.listen}, port {config.port}: {error.strerror}.",
            "Is something else using it? Set another `listen` or `port` in the settings.",
        ) from error


def _load(config: Config) -> Flask:
    """Runs in the worker."""
    threading.excepthook = _fall
    keep_to_itself()
    threading.Thread(target=_end_with_parent, name="parent", daemon=True).start()
    parts = build_parts(config, SystemClock())
    Keeper(parts).start()
    app = create_app(parts)
    memory.settle()
    return app


def keep_to_itself() -> None:
    """From now on no other process of this user may look into the memory of this one: an unlocked
    key is in it, and films from outside are decoded beside it (prctl(2))."""
    ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def _fall(problem: threading.ExceptHookArgs) -> None:
    """A thread that dies takes the process with it: half a page is worse than none."""
    logging.getLogger(__name__).error("%s died of %s", problem.thread, problem.exc_type.__name__)
    os._exit(1)


def _end_with_parent() -> None:
    """However the parent ends, also by SIGKILL: no worker is left behind with an unlocked key."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
