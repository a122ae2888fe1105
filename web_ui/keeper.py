"""What happens without a request: the idle lock, orders of the service, old requests."""

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from appliance.errors import BadFile, KitError, own_card
from appliance.protocol.cards import Card
from appliance.protocol.requests import FRESH_SECONDS, read_request
from appliance.protocol.status import State
from appliance.records.audit import Event
from appliance.records.files import MOST_NAMES, some_of
from web_ui.housekeeping import carry_out_service, end_what_is_over, let_in, remove_what_is_due
from web_ui.parts import Parts

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
        """One round. A task that fails is tried again in the next round and holds up no other: an
        error of the card must neither end the page nor lock anybody out."""
        self._do("page-task-waits", self._watch_the_film)
        self._do("page-task-waits", self._lock_if_idle)
        self._do("page-task-waits", self._revoke)
        self._do("service-order-waits", self._hear_service)
        self._do("share-waits", self._end_shares)
        self._do("retention-waits", self._remove_what_is_due)
        self._do("page-task-waits", self._clear_requests)

    def _do(self, event: Event, act: Callable[[], None]) -> None:
        """Do one task. If it fails, the page says so until it works again, and the log once."""
        what = act.__name__
        failing = self._parts.failing
        try:
            act()
            failing.discard(what)
        except (KitError, OSError) as error:
            if what not in failing:
                failing.add(what)
                code = error.code if isinstance(error, KitError) else own_card(error).code
                # A card that fails may refuse this too.
                with suppress(KitError, OSError):
                    self._parts.note(event, code=code)

    def _watch_the_film(self) -> None:
        """A film under way puts the idle lock off."""
        status = self._parts.recorder.status()
        if status is not None and status.state is State.FILMING:
            self._parts.session.watched()

    def _lock_if_idle(self) -> None:
        if self._parts.session.idle:
            self._parts.lock("locked-idle")

    def _revoke(self) -> None:
        """Lock out at once a practitioner whom the service has revoked; after any revocation,
        prepare the open cases again."""
        holder, enrolled = self._parts.session.holder, self._parts.enrolled
        if holder is not None and (enrolled is None or holder.card not in enrolled.practitioners):
            try:
                self._parts.recorder.disarm()
            finally:
                self._parts.lock("locked-revoked")
        elif holder is not None and enrolled is not None and enrolled.former != self._former:
            holder.settle()
            self._former = enrolled.former

    def _hear_service(self) -> None:
        """Carry out what the service has signed since, such as a withdrawal from another kit."""
        parts = self._parts
        newest = max((_mtime(path) for path in some_of(parts.home.inbox, MOST_NAMES)), default=0)
        if newest == self._heard:
            return
        carry_out_service(parts)
        holder = parts.session.holder
        if holder is not None:
            let_in(parts, holder)
        self._heard = newest

    def _end_shares(self) -> None:
        """Once a minute; it needs nobody's key."""
        parts = self._parts
        if parts.clock.monotonic() - self._shared >= MINUTE:
            self._shared = parts.clock.monotonic()
            status = parts.recorder.status()
            end_what_is_over(parts, parts.recorder.now(status))

    def _remove_what_is_due(self) -> None:
        """At each unlock, and each hour after: whoever is unlocked signs the removal."""
        holder = self._parts.session.holder
        if holder is None:
            return
        now = self._parts.clock.monotonic()
        unlocked, looked = self._looked
        if unlocked != holder.vouch.boottime or now - looked >= HOUR:
            # If it fails as a whole, it is due again in a minute instead of an hour.
            self._looked = (holder.vouch.boottime, now - HOUR + MINUTE)
            remove_what_is_due(self._parts, holder)
            self._looked = (holder.vouch.boottime, now)

    def _clear_requests(self) -> None:
        """Remove requests that nobody carries out any more."""
        now = self._parts.clock.read()
        for path in some_of(self._parts.home.web_requests, MOST_NAMES):
            if path.suffix != ".json" or path.name.startswith("."):
                continue
            with suppress(BadFile):
                request = read_request(path)
                if now.is_within(2 * FRESH_SECONDS, request):
                    continue
            path.unlink(missing_ok=True)


def _mtime(path: Path) -> int:
    """0 for what is gone by now."""
    with suppress(FileNotFoundError):
        return path.lstat().st_mtime_ns
    return 0
