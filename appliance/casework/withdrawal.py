"""Taking back: one film, or everything, by who is unlocked or because the service says so.

Whatever is taken back, the signed order is on the card before anything is removed, and each step
can be done again: a pulled plug only delays. What plays is refused from the order on.

    cases/<id>/withdrawal         everything: the practitioner's order (`casework.closing`)
    cases/<id>/withdrawn-there    everything: the service's word, a Tombstone or a ServiceOrder
    cases/<id>/withdrawn/<film>   one film: a FilmWithdrawal, or a ServiceOrder
    cases/<id>/hold               nothing of the case may be removed yet; all else ends at once
    cases/<id>/holds/<hold>       one that was lifted, and `<hold>-lifted`; `why-<hold>.age`: the
                                  reason, sealed to the service

The recorder removes its own films when it sees these orders; the service removes its key files, or
its copies of the film, and answers with a signed tombstone.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from appliance.casework.clips import Clip, Kept, Still
from appliance.casework.closing import finish_withdrawal
from appliance.casework.consent import Hold
from appliance.casework.shares import end_what_is_not_agreed, remove_what_is_over
from appliance.errors import BadFile, BadInput
from appliance.protocol.cards import CardChain, KitCard
from appliance.protocol.case_record import (
    CASE_ORDER,
    CaseRecord,
    film_order,
    films_withdrawn,
    held,
    is_film_withdrawn,
    is_withdrawn,
)
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.hold_reasons import HoldReason, sealed_reason, why_name
from appliance.protocol.names import numbered
from appliance.protocol.orders import (
    FilmWithdrawal,
    HoldEnd,
    HoldNotice,
    ServiceOrder,
    hold_name,
)
from appliance.records.files import (
    ID,
    CaseFolder,
    Home,
    checked_id,
    is_there,
    load_fact,
    new_id,
    paths_in,
    read_text,
    remove_tree,
    save,
    sync_directory,
)
from appliance.records.signing import Signer, sign_fact
from appliance.vault.cases import OpenCase

_ANY = re.compile(r".+", re.DOTALL)
_MOMENT = re.compile(r"(?:clip|still)-(?P<id>[a-z2-7]{16})")


# --- One film -----------------------------------------------------------------------------------


def withdraw_film(case: OpenCase, film: str, kit: str, at: datetime) -> FilmWithdrawal:
    """Take one film back, with every moment that was cut from it. Safe to call again.

    The order is signed and on the card first. The sealed segments are the recorder's to remove.
    """
    found = None
    with suppress(BadFile):  # One that cannot be read is written anew.
        found = film_order(case.directory, film)
    if isinstance(found, FilmWithdrawal):
        order = found
    else:
        moments = _cut_from(case, film)
        order = FilmWithdrawal(
            id=new_id(), case=case.id, kit=kit, film=checked_id(film), clips=moments, at=at
        )
        note = sign_fact(case.keys.signer, order)
        directory = case.directory.film_orders
        directory.mkdir(mode=0o750, exist_ok=True)
        sync_directory(case.directory)
        save(directory / film, note.encode())
    end_what_is_not_agreed(case, at, [film])
    finish_film(case.directory, film)
    return order


def _cut_from(case: OpenCase, film: str) -> tuple[str, ...]:
    """Every moment that was cut from a film, or of which nobody can tell any more what it was cut
    from: the family must not be shown it again. It can be cut once more from its film."""
    clips, stills = case.salvage(Clip), case.salvage(Still)
    every: list[Kept] = [*clips.found.values(), *stills.found.values()]
    sure = {one.id for one in every if one.recording == film}
    unread = [*clips.lost.items(), *stills.lost.items()]
    lost = {item for item, path in unread if case.recording_of(path) in ("", film)}
    return tuple(sorted(sure | lost))


def finish_film(directory: CaseFolder, film: str) -> None:
    """Carry out here what the order for a film says, unless a hold postpones it."""
    order = None
    with suppress(BadFile):
        order = film_order(directory, film)
    if not is_film_withdrawn(directory, film):
        return
    remove_what_is_over(directory, None, film)
    if held(directory):
        return
    moments = set(order.clips) if isinstance(order, FilmWithdrawal) else set()
    for path in paths_in(directory.clips, _ANY):
        if path.name.lstrip(".").partition(".")[0] in moments:
            path.unlink(missing_ok=True)
    for path in paths_in(directory.documents, _ANY):
        of_it = path.name.startswith((f"marks-{film}-", f"enough-{film}-"))
        name = numbered(path.name)
        match = _MOMENT.fullmatch(name.stem) if name else None
        if of_it or (match and match["id"] in moments):
            path.unlink(missing_ok=True)
    for made in (directory.derived / film, directory.imports / film):
        if made.exists():
            remove_tree(made)
    for part in (directory.clips, directory.documents, directory.derived, directory.imports):
        if part.exists():
            sync_directory(part)


# --- Holds --------------------------------------------------------------------------------------


def place_hold(case: OpenCase, hold: Hold, service: CardChain) -> None:
    """Postpone every removal of this case. Its reason is sealed, once to the case and once to the
    service, for whom the case may be closed; that there is one is public."""
    case.write(hold)
    signer = case.keys.signer
    notice = HoldNotice(case=case.id, signer=signer.verifier.name, since=hold.at, until=hold.review)
    note = sign_fact(signer, notice).encode()
    name = hold_name(note)
    why = HoldReason(case=case.id, hold=name, role=hold.role, reason=hold.reason)
    case.directory.lifted.mkdir(mode=0o750, exist_ok=True)
    save(case.directory.lifted / why_name(name), sealed_reason(signer, service, why))
    save(case.directory.hold, note)


def lift_hold(directory: CaseFolder, signer: Signer, at: datetime) -> None:
    """From now on removal goes on where it waited, here and at the service. Safe to call again.

    The notice and its signed end stay: the service may have been told of the hold, or is yet to be.
    """
    note = ""
    with suppress(FileNotFoundError, BadFile):
        note = read_text(directory.hold)
    if note:
        name = hold_name(note.encode())
        by = signer.verifier.name
        end = sign_fact(signer, HoldEnd(case=directory.name, hold=name, signer=by, at=at))
        directory.lifted.mkdir(mode=0o750, exist_ok=True)
        save(directory.lifted / name, note.encode())
        save(directory.lifted / f"{name}-lifted", end.encode())
    directory.hold.unlink(missing_ok=True)
    sync_directory(directory)


# --- What the service says ----------------------------------------------------------------------


@dataclass(frozen=True)
class Carried:
    """An order of the service that counts from now on, and is carried out."""

    case: str
    film: str


@dataclass(frozen=True)
class Heard:
    """What came of the service's orders."""

    new: list[Carried]
    failed: BadInput | OSError | None = None
    """Why one of them could not be carried out to its end."""


def hear_service(home: Home) -> Heard:
    """Carry out what the service has signed and the inbox holds.

    A tombstone closes a case that is still open here: another kit withdrew it, or this home was
    restored from before its withdrawal. An order counts for the kit it names. Whatever is not
    signed by the service of this kit is left alone. Safe to call again. One order that cannot
    be finished keeps no other, and is finished at the next start (`finish_everything`).
    """
    enrolled = load_fact(home.enrolled, Enrolled)
    kit = load_fact(home.kit_card, KitCard)
    if enrolled is None or kit is None:
        return Heard([])
    service = enrolled.chain
    new: list[Carried] = []
    failed: BadInput | OSError | None = None
    for note in _notes(home.inbox):
        try:
            order = service.word(note, CASE_ORDER)
            directory = home.case(order.case)
        except BadInput:
            continue
        if not (order.kit == kit.id if isinstance(order, ServiceOrder) else order.whole):
            continue
        film = order.film if isinstance(order, ServiceOrder) else ""
        try:
            if not (directory.record.exists() and _take_in(directory, film, note)):
                continue
            new.append(Carried(order.case, film))
            if film:
                finish_film(directory, film)
            else:
                finish_withdrawal(directory)
        except (BadInput, OSError) as error:
            failed = error
    return Heard(new, failed)


def _take_in(directory: CaseFolder, film: str, note: str) -> bool:
    """Put the service's word where it counts; False if the same was ordered before."""
    if film:
        if not ID.fullmatch(film) or is_film_withdrawn(directory, film):
            return False
        directory.film_orders.mkdir(mode=0o750, exist_ok=True)
        save(directory.film_orders / film, note.encode())
        return True
    if is_there(directory.withdrawal):
        return False
    done = False
    with suppress(FileNotFoundError, BadFile):
        done = read_text(directory.withdrawn_there) == note
    # Closed under a hold, it waits for the service's word that it may be removed.
    if not held(directory) or is_there(directory.hold):
        # A damaged record says nothing any more; the order stands beside it.
        with suppress(BadFile):
            record = load_fact(directory.record, CaseRecord)
            done = record is not None and record.state == "withdrawn"
    if not done:
        save(directory.withdrawn_there, note.encode())
    return not done


def _notes(inbox: Path) -> Iterator[str]:
    for path in paths_in(inbox, _ANY):
        with suppress(OSError, BadFile):
            yield read_text(path)


def finish_everything(home: Home) -> list[str]:
    """Finish what a pulled plug left half done; returns the cases where that did not succeed."""
    failed = []
    for directory in home.case_folders():
        try:
            if is_withdrawn(directory):
                finish_withdrawal(directory)
            else:
                for film in films_withdrawn(directory):
                    finish_film(directory, film)
                remove_what_is_over(directory, None)
        except (BadInput, OSError):
            failed.append(directory.name)
    return failed
