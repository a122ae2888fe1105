"""The recorder as the page sees it: what it says, what it is asked for, what it would refuse."""

from collections.abc import Callable
from datetime import datetime, timedelta

from appliance.errors import BadFile
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.permits import Books, Ceilings, Permit, ceilings_in_force, recipient_digest
from appliance.protocol.requests import Request, Stop, place_request
from appliance.protocol.status import STALE_SECONDS, RecorderStatus, State
from appliance.records.audit import Log
from appliance.records.clock import EARLIEST, Clock, Trust
from appliance.records.files import ID, Home, load_fact, new_id, read_text, sync_directory
from appliance.records.signing import fact_in
from appliance.vault.cases import OpenCase, strangers


class Recorder:
    """This kit's recorder, by the files that it shares with the page. Any thread."""

    def __init__(self, home: Home, clock: Clock, log: Log) -> None:
        self._home = home
        self._clock = clock
        self._log = log

    # --- What it says -----------------------------------------------------------------------------

    def last_word(self) -> RecorderStatus | None:
        """Its last status, however old; None if there is none that can be read."""
        try:
            return load_fact(self._home.status("recorder"), RecorderStatus)
        except BadFile:
            return None

    def status(self) -> RecorderStatus | None:
        """Its status if it is of this boot and not older than three seconds."""
        status = self.last_word()
        fresh = status is not None and self._clock.read().is_within(STALE_SECONDS, status)
        return status if fresh else None

    def now(self, status: RecorderStatus | None) -> datetime | None:
        """The time as the recorder believes it at this moment, None while it does not."""
        if status is None or status.now is None or status.clock is not Trust.TRUSTED:
            return None
        return status.now + timedelta(seconds=self._clock.read().boottime - status.boottime)

    def answer(self, asked: str) -> str:
        """What became of a request; '' for what is none, and while the recorder is silent."""
        status = self.status()
        return status.answers.get(asked, "waiting") if status and ID.fullmatch(asked) else ""

    @property
    def enrolled(self) -> Enrolled | None:
        """Whom it obeys, None while the kit is new."""
        return load_fact(self._home.enrolled, Enrolled)

    def ceilings(self) -> Ceilings:
        """What the service has signed that this kit may do at most; the recorder checks it too."""
        enrolled = self.enrolled
        if enrolled is None or not enrolled.ceilings:
            return Ceilings(since=EARLIEST)
        return ceilings_in_force(enrolled)

    def needs_press(self, case: OpenCase) -> bool:
        """True while it knows an earlier key of this case and would refuse to film."""
        books = load_fact(self._home.books, Books) or Books()
        known = books.recipients.get(case.id)
        return known is not None and known != recipient_digest(case.record.recipient)

    def has_strangers(self, case: OpenCase) -> bool:
        """True while a film would open with the key of somebody whom the service revoked."""
        enrolled = self.enrolled
        return enrolled is None or bool(strangers(case.team, enrolled))

    # --- What it is asked for ---------------------------------------------------------------------

    def ask(self, request: Callable[..., Request]) -> str:
        """Make a request and place it. Returns its id, under which it is answered."""
        now = self._clock.read()
        return place_request(self._home, request(id=new_id(), boot=now.boot, boottime=now.boottime))

    def stop(self, case: str = "") -> None:
        """Ask for the end of the film; of `case` alone, where one is named."""
        status = self.status() if case else None
        if not case or (status is not None and status.case == case):
            self.ask(Stop)
            self._log.write("stop-asked")

    def permit(self) -> Permit | None:
        """What the kit is armed for, None if nothing. What the recorder makes of it is its own."""
        try:
            note = read_text(self._home.permit)
            return fact_in(note, Permit)
        except (FileNotFoundError, BadFile):
            return None

    def armed_case(self) -> str:
        """The case that the kit was armed for last, '' if none or if it was disarmed since."""
        permit = self.permit()
        return permit.case if permit else ""

    def ready_case(self, status: RecorderStatus | None) -> str:
        """The case that a press would film, '' if none: a permit that the recorder says is used up
        or refused arms nothing any more, and nothing films while something is broken. A permit
        that it has not looked at yet counts, and so does each while it is silent."""
        over = status is not None and (
            status.state is State.FAULT or (status.state is State.IDLE and bool(status.reason))
        )
        return "" if over else self.armed_case()

    def disarm(self, case: str = "") -> None:
        """Take the permit away, or only that of `case`, where one is named: the recorder disarms
        the kit and never believes that permit again."""
        armed = self.armed_case()
        if not case or case == armed:
            self._home.permit.unlink(missing_ok=True)
            sync_directory(self._home.permits)
            self._log.write("disarmed", case=armed)

    def end_filming(self, case: str) -> None:
        """Disarm the kit and stop the film, where they are for this case."""
        self.disarm(case)
        self.stop(case)
