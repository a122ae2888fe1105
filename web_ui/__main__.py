"""`python -m web_ui --config FILE`: serve this kit's page until a signal ends it.

Two processes. The first holds the socket and the loaded program, and never sees a key or a word of
a family. It forks the second, which is the page: the unlocked key is in its memory and goes with
it. A lock ends the page, and the first process forks another; requests wait in the socket's queue
meanwhile, and none is refused.
"""

import ctypes
import gc
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask
from granian._granian import SocketHolder
from granian.constants import HTTPModes, Interfaces, SSLProtocols
from granian.log import LogLevels
from granian.server import MPServer

from appliance import memory, program
from appliance.config import Config
from appliance.errors import NotPossible
from appliance.factory_reset import give_way
from appliance.records.clock import SystemClock
from web_ui.app import build_parts, create_app
from web_ui.keeper import Keeper
from web_ui.system.tls import ensure_certificate, sure_of
from web_ui.wording import language

THREADS = 16
"""Requests answered at once: a few players, the status line of a few browsers, and a form."""

QUEUE = 512
"""Connections that wait while the page starts again."""

LARGE = 1 << 17
"""Bytes of memory: pictures and pieces of a film are larger."""

_STOP_SECONDS = 3
_HANDSHAKE_SECONDS = 0.3
"""Whoever was connected before the page began to end has sent their request by then."""
_SET_PARENT_DEATH_SIGNAL, _SET_DUMPABLE, _SET_CHILD_SUBREAPER = 1, 4, 36
"""As linux/prctl.h has them."""
_ANEW = 75
"""Exit status of a page that is to be replaced by another."""


def main() -> int:
    """Serve the page. Returns the exit status."""
    memory.settle(LARGE)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    return program.run("web", "The page of this kit.", _keep_serving)


def _keep_serving(config: Config) -> int:
    """Hold the socket, and let one page after the other serve on it.

    Returns the status of the first page that does not end by a lock.
    """
    language.check(config.language)
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGCHLD}
    with _listen(config) as listener:
        session_key = secrets.token_bytes(32)
        # Processes that a page leaves behind become ours, and we end them.
        _prctl(_SET_CHILD_SUBREAPER, 1)
        # What the pages share with us is in memory once.
        gc.collect()
        gc.freeze()
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        told = False
        while True:
            page = os.fork()
            if not page:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
                _prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
                os._exit(program.said("web", lambda: _serve(config, listener, session_key)))
            while (status := _ended(page)) is None:
                came = signal.sigwait(signals)
                if came != signal.SIGCHLD:
                    told = True
                    os.kill(page, came)
            _end_children()
            if told or status != _ANEW:
                return status


def _ended(page: int) -> int | None:
    """The exit status of a page, None while it runs."""
    found, status = os.waitpid(page, os.WNOHANG)
    return (os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 1) if found else None


def _end_children() -> None:
    """End what a page has left: a decoder has pieces of a film in memory."""
    while children := Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        for child in map(int, children):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def _serve(config: Config, listener: socket.socket, session_key: bytes) -> int:
    """Be the page. Returns the exit status."""
    # A copy, as granian closes it.
    accepts = os.dup(listener.fileno())
    end = _End(accepts)
    home = config.places
    give_way(home, "web", end.anew)
    home.prepare(home.keys, home.cases, home.permits, home.web_requests, home.run / "web")
    names = (config.listen, *config.names)
    certificate, key = ensure_certificate(home.keys, names, sure_of(home.clock_mark))
    server = _OneProcess(
        accepts,
        "web_ui",
        address=config.listen,
        port=config.port,
        interface=Interfaces.WSGI,
        blocking_threads=THREADS,
        backlog=QUEUE,
        http=HTTPModes.auto,
        ssl_cert=certificate,
        ssl_key=key,
        ssl_protocol_min=SSLProtocols.tls12,
        log_level=LogLevels.error,
    )
    server.serve(target_loader=lambda: _load(config, end, session_key), wrap_loader=False)
    return end.drained()


class _OneProcess(MPServer):
    """granian on a socket that outlives it, and without its supervisor process: systemd does
    that."""

    def __init__(self, accepts: int, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._accepts = accepts

    def _serve(self, spawn_target: Callable[..., None], target_loader: Callable[..., Any]) -> None:
        holder: Any = SocketHolder
        self._ssp, self._sso, self._shd = None, None, holder(self._accepts, False, QUEUE)
        self._start_ipc()  # type: ignore[no-untyped-call]
        # Runs the worker in this process instead of starting one.
        self._spawn_worker(0, spawn_target, target_loader).inner.run()


def _listen(config: Config) -> socket.socket:
    """The socket of the page. Raises NotPossible, in words, if it cannot listen where it should."""
    family = socket.AF_INET6 if ":" in config.listen else socket.AF_INET
    try:
        return socket.create_server((config.listen, config.port), family=family, backlog=QUEUE)
    except OSError as error:
        raise NotPossible(
            "The page cannot listen at %(listen)s, port %(port)s: %(why)s.",
            "Is something else using it? Set another `listen` or `port` in the settings.",
            listen=config.listen,
            port=config.port,
            why=error.strerror,
        ) from error


def _load(config: Config, end: "_End", session_key: bytes) -> Flask:
    threading.excepthook = _fall
    keep_to_itself()
    end.watch()
    parts = build_parts(config, SystemClock(), start_anew=end.anew)
    Keeper(parts).start()
    app = create_app(parts, config.language)
    # So that a form that was open during a lock can still be sent; the session itself is in memory.
    app.secret_key = session_key
    return app


def keep_to_itself() -> None:
    """From now on no other process of this user may read the memory of this one: it has an unlocked
    key, and the decoders run as the same user (prctl(2))."""
    _prctl(_SET_DUMPABLE, 0)


def _prctl(what: int, value: int) -> None:
    ctypes.CDLL(None).prctl(what, value, 0, 0, 0)


class _End:
    """Ends this process: as soon as everything is answered, at the latest `_STOP_SECONDS` after a
    signal. After a lock another one takes its place."""

    def __init__(self, accepts: int) -> None:
        """`accepts`: the number of the socket on which granian takes connections."""
        self._accepts = accepts
        self._anew = False
        self._told, self._tell = os.pipe()
        os.set_blocking(self._tell, False)
        self._thread = threading.Thread(target=self._end, name="end", daemon=True)

    def watch(self) -> None:
        """Listen to signals as well. For the main thread, once."""
        # For every signal, whoever handles it: granian itself waits without end.
        signal.set_wakeup_fd(self._tell)
        self._thread.start()

    def anew(self) -> None:
        """Take no more connections, answer what was asked, and end for another page."""
        # Whoever connects now waits for the next process: granian would drop connections that it
        # has accepted and not served yet, so it gets a socket to which nobody connects.
        with socket.socket(socket.AF_UNIX) as nobody:
            nobody.bind("")
            nobody.listen()
            nobody.setblocking(False)
            os.dup2(nobody.fileno(), self._accepts, inheritable=False)
        time.sleep(_HANDSHAKE_SECONDS)
        self._anew = True
        os.write(self._tell, b"\xff")
        # granian's own handler ends its worker in good order.
        handler = signal.getsignal(signal.SIGTERM)
        if callable(handler):
            handler(signal.SIGTERM, None)

    def drained(self) -> int:
        """The exit status once everything is answered."""
        return _ANEW if self._anew else 0

    def _end(self) -> None:
        os.read(self._told, 1)
        time.sleep(_STOP_SECONDS)
        os._exit(self.drained())


def _fall(problem: threading.ExceptHookArgs) -> None:
    """A thread that fails ends the process: half a page is worse than none."""
    logging.getLogger(__name__).error("%s died of %s", problem.thread, problem.exc_type.__name__)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
