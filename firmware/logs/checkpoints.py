"""Signed checkpoints of every process's log.

Each ten minutes, and when it starts and ends, the recorder looks how far the chains have come and
signs that as the next numbered note in `kit/heads/`. A chain that no longer holds what was signed
before is named in the note, and is signed no further.
"""

import hashlib
import threading
from contextlib import suppress

from appliance.errors import BadFile, BadInput
from appliance.records.audit import HEADS_NAME, MOST_HEADS, START, Head, Heads, heads_name, links
from appliance.records.clock import Clock
from appliance.records.files import Home, paths_in, read_plain, save_new
from appliance.records.signing import Signer, open_fact, sign_fact

EVERY_SECONDS = 600.0
FIRST_SECONDS = 5.0
"""After the start, when what belongs to it is in the logs."""
_PROCESSES = ("recorder", "web", "sync")


class Checkpoints:
    """Signs how far the logs have come. Any thread; one at a time."""

    def __init__(self, home: Home, signer: Signer, clock: Clock) -> None:
        self._home = home
        self._signer = signer
        self._clock = clock
        self._lock = threading.Lock()
        self._directory = home.heads
        home.prepare(self._directory)
        self._number, self._before = 0, START
        self._last = self._latest()

    def sign(self) -> Heads | None:
        """Sign the heads as they are now; None if nothing was written since the last time. Raises
        NotPossible or OSError when the card says no."""
        with self._lock:
            logs, broken = self._look()
            known = (self._last.logs, self._last.broken) if self._last else ({}, ())
            if known == (logs, broken):
                return None
            now = self._clock.read()
            heads = Heads(
                kit=self._signer.verifier.name.removeprefix("kit-"),
                number=self._number + 1,
                wall=now.wall,
                boot=now.boot,
                logs=logs,
                broken=broken,
                before=self._before,
            )
            note = sign_fact(self._signer, heads).encode()
            save_new(self._directory / heads_name(heads.number), note)
            self._last, self._number = heads, heads.number
            self._before = hashlib.sha256(note).hexdigest()
            return heads

    def keep_watch(self, ended: threading.Event) -> None:
        """Sign soon and each ten minutes until `ended`; for a thread of its own.

        A card that refuses does not end it: the recorder's own log says what the card does.
        """
        wait = FIRST_SECONDS
        while not ended.wait(wait):
            with suppress(OSError):
                self.sign()
            wait = EVERY_SECONDS

    def _look(self) -> tuple[dict[str, Head], tuple[str, ...]]:
        before = self._last.logs if self._last else {}
        logs, broken = dict(before), set(self._last.broken if self._last else ())
        for process in _PROCESSES:
            head, held = None, process not in before
            try:
                for link in links(self._home.log(process) / "log"):
                    head = link.head
                    held = held or head == before[process]
                if not held:
                    raise BadFile("It was rewritten.")
            except (BadFile, OSError):
                broken.add(process)
                continue
            if head is not None:
                logs[process] = head
        return logs, tuple(sorted(broken))

    def _latest(self) -> Heads | None:
        paths = paths_in(self._directory, HEADS_NAME, MOST_HEADS)
        if not paths:
            return None
        note = read_plain(paths[-1])
        self._number, self._before = int(paths[-1].name), hashlib.sha256(note).hexdigest()
        try:
            return open_fact(note, [self._signer.verifier], Heads)[0]
        except BadInput:
            # Something altered it. The kit goes on; verifying the log finds the broken place.
            return None
