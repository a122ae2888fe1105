"""What must happen although nobody asks for it: the idle lock, and clearing away old requests."""

import threading
from contextlib import suppress

from appliance.errors import BadFile
from appliance.requests import FRESH_SECONDS, read_request
from web_ui.parts import Parts
from web_ui.status import FILMING, fresh_status

EVERY_SECONDS = 2.0


class Keeper(threading.Thread):
    """Looks after the page every two seconds, until the process ends."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(name="keeper", daemon=True)
        self._parts = parts
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            self.look()

    def look(self) -> None:
        """One round."""
        parts = self._parts
        status = fresh_status(parts.home, parts.clock)
        if status is not None and status.state == FILMING:
            parts.seat.watched()
        if parts.seat.leave_if_idle():
            parts.note("locked-idle")
        self._clear_requests()

    def _clear_requests(self) -> None:
        """Remove requests that nobody carries out any more."""
        now = self._parts.clock.read()
        for path in self._parts.home.web_requests.glob("*.json"):
            with suppress(BadFile):
                request = read_request(path)
                if request.boot == now.boot and now.boottime - request.boottime < 2 * FRESH_SECONDS:
                    continue
            path.unlink(missing_ok=True)
