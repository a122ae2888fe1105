"""What the page is made of: built once (`web_ui.app`), passed to every room of the page."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from appliance.audit import Log
from appliance.cases import Cases
from appliance.clock import Clock
from appliance.config import Config
from appliance.files import Home, load_fact
from appliance.permits import Enrolled
from appliance.services import Service, in_force
from appliance.sticks import Sticks
from web_ui.enrolment import Enrolment
from web_ui.seat import Seat


@dataclass(frozen=True)
class Parts:
    """One kit's page. Every part is passed in, so that a test builds its own."""

    home: Home
    config: Config
    clock: Clock
    log: Log
    seat: Seat
    enrolment: Enrolment
    cases: Cases
    sticks: Sticks
    power_off: Callable[[], None]
    """Switches the machine off. Raises NotPossible."""
    _log_lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def enrolled(self) -> Enrolled | None:
        """Whom the kit obeys, or None while it is new."""
        return load_fact(self.home.kit / "enrolled.json", Enrolled)

    @property
    def service(self) -> Service:
        """How the service works. Raises BadFile if its settings were damaged."""
        return in_force(self.home)

    def note(self, event: str, **ids: str) -> None:
        """Write an event to the page's log: codes and random ids only. Any thread."""
        with self._log_lock:
            self.log.write(event, **ids)
