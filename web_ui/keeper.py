"""What must happen although nobody asks: the idle lock, orders of the service, old requests."""

import threading
from contextlib import suppress
from datetime import datetime

from appliance.errors import BadFile, KitError
from appliance.keys import Card
from appliance.requests import FRESH_SECONDS, read_request
from web_ui.arming import take_permit
from web_ui.course import remove_what_is_due
from web_ui.forgotten import let_in
from web_ui.parts import Parts
from web_ui.shares import end_what_is_over
from web_ui.status import FILMING, fresh_status, trusted_now
from web_ui.withdrawal import carry_out_service

EVERY_SECONDS = 2.0
MINUTE = 60.0
HOUR = 3600.0


class Keeper(threading.Thread):
    """Looks after the page every two seconds, until the process ends."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(name="keeper", daemon=True)
        self._parts = parts
        self._ended = threading.Event()
        self._heard = -1
        self._looked = (-1.0, 0.0)
        self._shared = float("-inf")
        self._former: tuple[Card, ...] = ()

    def run(self) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            self.look()

    def look(self) -> None:
        """One round."""
        parts = self._parts
        status = fresh_status(parts.home, parts.clock)
        if status is not None and status.state == FILMING:
            parts.seat.watched()
        if parts.seat.idle:
            parts.lock("locked-idle")
        self._revoke()
        self._hear_service()
        self._end_shares(trusted_now(status, parts.clock))
        self._remove_what_is_due()
        self._clear_requests()

    def _revoke(self) -> None:
        """Whom the recorder obeys no more, because the service said so, is locked out at once, and
        has no part in what follows in the cases that are open."""
        holder, enrolled = self._parts.seat.holder, self._parts.enrolled
        if holder is not None and (enrolled is None or holder.card not in enrolled.practitioners):
            take_permit(self._parts)
            self._parts.lock("locked-revoked")
        elif holder is not None and enrolled is not None and enrolled.former != self._former:
            holder.settle()
            self._former = enrolled.former

    def _hear_service(self) -> None:
        """Carry out what the service has signed since: a withdrawal that reached it elsewhere."""
        parts = self._parts
        try:
            newest = max(
                (path.stat().st_mtime_ns for path in parts.home.inbox.glob("*")), default=0
            )
            if newest == self._heard:
                return
            carry_out_service(parts)
            holder = parts.seat.holder
            if holder is not None:
                let_in(parts, holder)
            self._heard = newest
        except (KitError, OSError):
            parts.note("service-order-waits")

    def _end_shares(self, now: datetime | None) -> None:
        """Once a minute; it needs nobody's key."""
        if self._parts.clock.monotonic() - self._shared >= MINUTE:
            self._shared = self._parts.clock.monotonic()
            try:
                end_what_is_over(self._parts, now)
            except (KitError, OSError):
                self._parts.note("share-waits")

    def _remove_what_is_due(self) -> None:
        """Once at each unlock, and each hour after: a removal is signed by who is unlocked."""
        holder = self._parts.seat.holder
        if holder is None:
            return
        now = self._parts.clock.monotonic()
        unlocked, looked = self._looked
        if unlocked != holder.vouch.boottime or now - looked >= HOUR:
            self._looked = (holder.vouch.boottime, now)
            remove_what_is_due(self._parts, holder)

    def _clear_requests(self) -> None:
        """Remove requests that nobody carries out any more."""
        now = self._parts.clock.read()
        for path in self._parts.home.web_requests.glob("*.json"):
            with suppress(BadFile):
                request = read_request(path)
                if request.boot == now.boot and now.boottime - request.boottime < 2 * FRESH_SECONDS:
                    continue
            path.unlink(missing_ok=True)
