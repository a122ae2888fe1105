"""`python -m web_ui --config FILE`: the page of this kit, until it is told to end.

It is one process: the unlocked key is in its memory, and whoever ends it ends the page.
"""

import argparse
import ctypes
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.log import LogLevels
from granian.server import MPServer

from appliance.clock import SystemClock
from appliance.config import Config, load_config
from appliance.errors import KitError, NotPossible, own_card
from appliance.resetting import give_way
from web_ui import memory
from web_ui.app import build_parts, create_app
from web_ui.keeper import Keeper
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
    memory.settle()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        config = load_config(options.config)
        with config.places.claim("web"):
            _serve(config)
    except KitError as error:
        print(error, file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(own_card(error), file=sys.stderr)
        return 1
    return 0


def _serve(config: Config) -> None:
    _check_address(config)
    home = config.places
    give_way(home, "web")
    home.prepare(home.keys, home.cases, home.permits, home.web_requests, home.run / "web")
    certificate, key = ensure_certificate(home.keys, (config.listen, *config.names))
    server = _OneProcess(
        "web_ui",
        address=config.listen,
        port=config.port,
        interface=Interfaces.WSGI,
        blocking_threads=THREADS,
        http=HTTPModes.auto,
        ssl_cert=certificate,
        ssl_key=key,
        ssl_protocol_min=SSLProtocols.tls12,
        log_level=LogLevels.error,
    )
    server.serve(target_loader=lambda: _load(config), wrap_loader=False)


class _OneProcess(MPServer):
    """granian without the process that only watches over its workers: systemd does that."""

    def _serve(self, spawn_target: Callable[..., None], target_loader: Callable[..., Any]) -> None:
        self._init_shared_socket()  # type: ignore[no-untyped-call]
        self._start_ipc()  # type: ignore[no-untyped-call]
        # What a worker of its own would do, done here: to run it is not to start it.
        self._spawn_worker(0, spawn_target, target_loader).inner.run()


def _check_address(config: Config) -> None:
    """Raise NotPossible, in words, if the page cannot listen where it should."""
    family = socket.AF_INET6 if ":" in config.listen else socket.AF_INET
    try:
        socket.create_server((config.listen, config.port), family=family).close()
    except OSError as error:
        raise NotPossible(
            "The page cannot listen at %(listen)s, port %(port)s: %(why)s.",
            "Is something else using it? Set another `listen` or `port` in the settings.",
            listen=config.listen,
            port=config.port,
            why=error.strerror,
        ) from error


def _load(config: Config) -> Flask:
    threading.excepthook = _fall
    keep_to_itself()
    _end_in_time()
    parts = build_parts(config, SystemClock())
    Keeper(parts).start()
    return create_app(parts)


def keep_to_itself() -> None:
    """From now on no other process of this user may look into the memory of this one: an unlocked
    key is in it, and films from outside are decoded beside it (prctl(2))."""
    ctypes.CDLL(None).prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def _end_in_time() -> None:
    """Told to end, the page does within `_STOP_SECONDS`, whoever keeps a connection open."""
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    # Whichever signal came, and whoever handles it: granian waits without end.
    signal.set_wakeup_fd(tell)

    def end() -> None:
        os.read(told, 1)
        time.sleep(_STOP_SECONDS)
        os._exit(0)

    threading.Thread(target=end, name="end", daemon=True).start()


def _fall(problem: threading.ExceptHookArgs) -> None:
    """A thread that dies takes the process with it: half a page is worse than none."""
    logging.getLogger(__name__).error("%s died of %s", problem.thread, problem.exc_type.__name__)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
