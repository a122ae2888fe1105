"""The public face of a case: its record, and the signed orders that lie in its directory.

Recorder and sender go by these; nothing here opens anything, and no signature is checked unless it
says so.

    cases/<id>/case.json          recipient, state
    cases/<id>/withdrawal         everything is taken back: the practitioner's order
    cases/<id>/withdrawn-there    everything: the service's word, a Tombstone or a ServiceOrder
    cases/<id>/withdrawn/<film>   one film: a FilmWithdrawal, or a ServiceOrder
    cases/<id>/ends/<share>       what was shared ends at its day; `<share>-now`: before that
    cases/<id>/hold               nothing of the case may be removed yet; all else ends at once
    cases/<id>/holds/<hold>       one that was lifted; `<hold>-lifted`: who lifted it; and
                                  `why-<hold>.age`, its reason, sealed to the service
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from appliance.errors import BadFile, BadInput
from appliance.protocol.orders import (
    FilmWithdrawal,
    HoldNotice,
    ServiceOrder,
    ShareEnd,
    Tombstone,
    Withdrawal,
    read_hold,
)
from appliance.records.files import (
    ID,
    CaseFolder,
    Fact,
    checked_id,
    from_json,
    is_there,
    paths_in,
    read_plain,
    read_text,
)
from appliance.records.signing import open_fact

if TYPE_CHECKING:
    from appliance.protocol.cards import CardChain

ENDED_EARLY = "-now"
SHARE_END_NAME = re.compile(rf"{ID.pattern}(?:{ENDED_EARLY})?")


_FilmOrder = FilmWithdrawal | ServiceOrder
_FILM_ORDER: msgspec.json.Decoder[_FilmOrder] = msgspec.json.Decoder(_FilmOrder)
_CaseOrder = Tombstone | ServiceOrder
CASE_ORDER: msgspec.json.Decoder[_CaseOrder] = msgspec.json.Decoder(_CaseOrder)


class CaseRecord(Fact, frozen=True, kw_only=True, tag="case/v1"):
    """The public face of a case."""

    id: str
    recipient: str
    state: Literal["open", "closed", "withdrawn"]


def is_withdrawn(directory: CaseFolder) -> bool:
    """True as soon as an order is on the card, before any of it is carried out."""
    return is_there(directory.withdrawal) or is_there(directory.withdrawn_there)


def withdrawal_note(directory: CaseFolder) -> tuple[Withdrawal, str] | None:
    """The order in a case's directory and the note that carries it, its signature not checked.
    Raises BadFile, OSError."""
    try:
        note = read_text(directory.withdrawal)
    except FileNotFoundError:
        return None
    return from_json(note.split("\n", 1)[0], Withdrawal), note


def film_order(directory: CaseFolder, film: str) -> _FilmOrder | None:
    """The order for a film of a case, its signature not checked. Raises BadFile, OSError."""
    try:
        data = read_plain(directory.film_orders / checked_id(film))
    except FileNotFoundError:
        return None
    return from_json(data.partition(b"\n")[0], _FILM_ORDER)


def is_film_withdrawn(directory: CaseFolder, film: str) -> bool:
    """True as soon as the order is on the card, readable or not."""
    return is_there(directory.film_orders / film)


def films_withdrawn(directory: CaseFolder) -> list[str]:
    """The films of a case that were taken back."""
    return [path.name for path in paths_in(directory.film_orders, ID)]


def ordered(directory: CaseFolder) -> tuple[Path, ...]:
    """What stays of a case that was withdrawn, beside its record: signed notes."""
    return directory.film_orders, directory.lifted


def held(directory: CaseFolder) -> bool:
    """True while nothing may be removed: by a hold that was placed here, or as the service says. A
    damaged notice holds too: only lifting it ends it."""
    if is_there(directory.hold):
        return True
    with suppress(OSError, BadFile):
        order = from_json(read_text(directory.withdrawn_there).partition("\n")[0], CASE_ORDER)
        return isinstance(order, Tombstone) and order.held
    return False


def hold_notice(directory: CaseFolder) -> HoldNotice | None:
    """The public face of a hold; None if there is none, or it cannot be read."""
    with suppress(FileNotFoundError, BadFile):
        return read_hold(read_text(directory.hold).partition("\n")[0])
    return None


def closed_there(directory: CaseFolder, service: "CardChain") -> Tombstone | ServiceOrder | None:
    """The service's word that closed a case here, as it was when it was taken in; None if there is
    none that it signed."""
    try:
        return open_fact(read_plain(directory.withdrawn_there), service.ever, CASE_ORDER)[0]
    except (OSError, BadInput):
        return None


def share_end(path: Path) -> ShareEnd:
    """The order that ends a share, its signature not checked. Raises BadFile, OSError."""
    return from_json(read_text(path).partition("\n")[0], ShareEnd)


def end_of_share(directory: CaseFolder, name: str) -> ShareEnd | None:
    """The order that ends a share; None where there is none that can be read."""
    try:
        return share_end(directory.share_ends / name)
    except (FileNotFoundError, BadFile):
        return None


def is_share_ended(directory: CaseFolder, name: str) -> bool:
    """True if it was ended before its day."""
    return is_there(directory.share_ends / f"{name}{ENDED_EARLY}")


def is_withdrawn_share(directory: CaseFolder, name: str) -> bool:
    """True if no more of a share may be sent."""
    return is_share_ended(directory, name) or not (directory.shares / name).exists()
