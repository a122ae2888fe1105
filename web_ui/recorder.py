"""The recorder as the page sees it: what it says, what it is asked for, what it would refuse."""

from datetime import datetime, timedelta

from appliance.errors import BadFile
from appliance.protocol.permits import (
    CURRENT,
    Books,
    Ceilings,
    Permit,
    read_ceilings,
    recipient_digest,
)
from appliance.protocol.requests import Stop, place_request
from appliance.protocol.status import RecorderStatus
from appliance.records.clock import EARLIEST, Clock, Trust
from appliance.records.files import Home, from_json, load_fact, new_id, read_text, sync_directory
from appliance.records.signing import split_note
from appliance.vault.cases import OpenCase, strangers
from web_ui.parts import Parts

STALE_SECONDS = 3.0


def read_status(home: Home) -> RecorderStatus | None:
    """The recorder's last word, however old, or None if there is none that can be read."""
    try:
        return load_fact(home.status("recorder"), RecorderStatus)
    except BadFile:
        return None


def fresh_status(parts: Parts) -> RecorderStatus | None:
    """The recorder's status if it is of this boot and not older than three seconds."""
    status = read_status(parts.home)
    now = parts.clock.read()
    if status is None or status.boot != now.boot:
        return None
    return status if now.boottime - status.boottime <= STALE_SECONDS else None


def trusted_now(status: RecorderStatus | None, clock: Clock) -> datetime | None:
    """The time as the recorder believes it at this moment, or None while it does not."""
    if status is None or status.now is None or status.clock != Trust.TRUSTED.value:
        return None
    return status.now + timedelta(seconds=clock.read().boottime - status.boottime)


def ask_to_stop(parts: Parts) -> None:
    """Place a Stop request."""
    now = parts.clock.read()
    place_request(parts.home, Stop(id=new_id(), boot=now.boot, boottime=now.boottime))
    parts.note("stop-asked")


def permit_in_force(parts: Parts) -> Permit | None:
    """What the kit is armed for, None if nothing. What the recorder makes of it is its own."""
    try:
        note = read_text(parts.home.permits / CURRENT)
        return from_json(split_note(note)[0], Permit)
    except (FileNotFoundError, BadFile):
        return None


def armed_case(parts: Parts) -> str:
    """The case that the kit is armed for, '' if none."""
    permit = permit_in_force(parts)
    return permit.case if permit else ""


def needs_press(parts: Parts, case: OpenCase) -> bool:
    """True while the recorder knows an earlier key of this case and would refuse to film."""
    books = load_fact(parts.home.kit / "books.json", Books) or Books()
    known = books.recipients.get(case.id)
    return known is not None and known != recipient_digest(case.record.recipient)


def has_strangers(parts: Parts, case: OpenCase) -> bool:
    """True while what is filmed would open with the key of somebody whom the service revoked."""
    enrolled = parts.enrolled
    return enrolled is None or bool(strangers(case.team, enrolled))


def ceilings_in_force(parts: Parts) -> Ceilings:
    """What the service has signed that this kit may do at most; the recorder checks it again."""
    enrolled = parts.enrolled
    if enrolled is None or not enrolled.ceilings:
        return Ceilings(since=EARLIEST)
    return read_ceilings(enrolled.ceilings, enrolled.service)


def take_permit(parts: Parts) -> None:
    """Take the permit away: the recorder disarms the kit and never believes that permit again."""
    case = armed_case(parts)
    (parts.home.permits / CURRENT).unlink(missing_ok=True)
    sync_directory(parts.home.permits)
    parts.note("disarmed", case=case)


def stop_if_filming(parts: Parts, case: str) -> None:
    """Ask for a stop if this case is being filmed now."""
    status = fresh_status(parts)
    if status is not None and status.case == case:
        ask_to_stop(parts)


def end_filming(parts: Parts, case: str) -> None:
    """The camera first, then the key: filming ends whatever happens after."""
    if armed_case(parts) == case:
        take_permit(parts)
    stop_if_filming(parts, case)
