"""The parts of the page: `web_ui.app` builds them once, and every view has them from `parts()`."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from flask import current_app

from appliance.casework.service_settings import Service, in_force
from appliance.config import Config
from appliance.media.apart import Apart
from appliance.protocol.enrolment import Enrolled
from appliance.records.audit import Event, Log
from appliance.records.clock import Clock
from appliance.records.files import Home
from appliance.vault.cases import Cases
from web_ui.recorder import Recorder
from web_ui.session.enrolment import Enrolment
from web_ui.session.session import Session
from web_ui.system.usb_sticks import Sticks

_STICK_SECONDS = 10.0
"""How long a lock waits for a stick to be ejected before it ends the process all the same."""


@dataclass(frozen=True)
class Parts:
    """One kit's page. Every part is passed in, so a test builds its own."""

    home: Home
    config: Config
    clock: Clock
    log: Log
    recorder: Recorder
    session: Session
    enrolment: Enrolment
    cases: Cases
    sticks: Sticks
    power_off: Callable[[], None]
    """Switches the machine off. Raises NotPossible."""
    start_anew: Callable[[], None] | None = None
    """Ends this process, whose memory may hold what was unlocked, for a new one; None where the
    page is part of another program. Returns at once."""
    ending: threading.Event = field(default_factory=threading.Event)
    """Set once this process is to end: nobody can unlock any more, and long answers stop."""
    apart: Apart = field(default_factory=Apart)
    """Decodes films; nothing in this process does."""
    failing: set[str] = field(default_factory=set)
    """The tasks of `web_ui.keeper` that failed when last tried."""

    @property
    def enrolled(self) -> Enrolled | None:
        """Whom the kit obeys, or None while it is new."""
        return self.recorder.enrolled

    @property
    def service(self) -> Service:
        """How the service works. Raises BadFile if its settings were damaged."""
        return in_force(self.home)

    def lock(self, event: Event) -> None:
        """Lock the page, if somebody is unlocked, and log why. Any thread.

        Python does not overwrite what it frees, so copies of a key may stay in memory: the process
        ends with the lock and a new one goes on. This is the only way to lock.
        """
        holder = self.session.end()
        if holder is None:
            return
        try:
            self.note(event)
        finally:
            # Also where the card refuses the log. A stick that is being written is ejected first:
            # the next process would not know of it.
            self.begin_anew(lambda: holder.copying.wait(_STICK_SECONDS))

    def begin_anew(self, first: Callable[[], None] = lambda: None) -> None:
        """Replace this process in the background, when `first` returns."""
        start_anew = self.start_anew
        if start_anew is None or self.ending.is_set():
            return
        self.ending.set()

        def end() -> None:
            first()
            start_anew()

        threading.Thread(target=end, name="anew", daemon=True).start()

    def note(self, event: Event, **ids: str) -> None:
        """Write an event to the page's log: codes and random ids only. Any thread."""
        self.log.write(event, **ids)


def parts() -> Parts:
    """The parts of the app that answers this request. A background thread has none: pass it what it
    needs."""
    return cast(Parts, current_app.extensions["attune"])
