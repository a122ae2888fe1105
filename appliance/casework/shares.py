"""Chosen clips for somebody who supervises: sealed anew to that person alone, until a day.

Nobody is lent the case's key. What is shared is sealed again, to the card of who is to see it, and
opens with their key and nothing else: in the viewer (`appliance.viewer`), or on this kit. It is
bound to one purpose, and everybody who was in the film must have agreed to that; in doubt nothing
is shared. The order to remove it at its day is signed before the first file of it is made and goes
to the service with it, so that it ends there although nobody unlocks this kit again.

    cases/<id>/shares/<share>/1.mp4.age   for one person, who is named in a sealed document
    cases/<id>/shares/<share>/about.age   until when, and how long each is, for the same person
    cases/<id>/ends/<share>               the signed order that it ends at its day
    cases/<id>/ends/<share>-now           the signed order that it has ended before that
"""

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec

from appliance.age.recipients import parse_recipient
from appliance.age.sealing import SealedWriter, seal
from appliance.age.unsealing import Identity, unseal
from appliance.casework import copies
from appliance.casework.clips import Clip, Kept
from appliance.casework.consent import allows, consent_of
from appliance.casework.copies import names, opened, plain
from appliance.errors import BadInput, NoMatch
from appliance.protocol.cards import Card, sealing_keys
from appliance.protocol.case_record import (
    ENDED_EARLY,
    end_of_share,
    is_share_ended,
    is_withdrawn,
)
from appliance.protocol.orders import CopiesOut, ShareEnd
from appliance.records.files import (
    ID,
    CaseFolder,
    Fact,
    Home,
    Timestamp,
    from_json,
    new_id,
    paths_in,
    read_plain,
    remove_tree,
    save,
    saving,
    sync_directory,
    to_json,
)
from appliance.records.signing import sign_fact
from appliance.vault.cases import OpenCase, Salvaged

SharedFor = Literal["supervisor", "peers", "training"]
"""What others may watch chosen clips for: each is asked and agreed to by itself."""
PURPOSES: tuple[SharedFor, ...] = get_args(SharedFor)
ABOUT = "about.age"
_SHARED = r"[1-9][0-9]{0,5}\.(mp4|jpg)\.age"
_FILE = re.compile(rf"{_SHARED}|{re.escape(ABOUT)}")


class Share(Fact, frozen=True, kw_only=True, tag="share/v1"):
    """What was shared, with whom, for what and until when."""

    id: str
    made: Timestamp
    until: Timestamp
    purpose: SharedFor
    who: str
    """In the practitioner's words."""
    to: Card
    moments: tuple[str, ...]
    """Clips and stills, in the order of their names."""
    films: tuple[str, ...]
    """What they were cut from."""


class SharedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One of the files of a share."""

    name: Annotated[str, msgspec.Meta(pattern=rf"\A{_SHARED}\Z")]
    seconds: float
    """How long a clip is; 0 for a picture."""


class ShareAbout(Fact, frozen=True, kw_only=True, tag="share-about/v1"):
    """What the person with whom it is shared is told beside the files, sealed to them. Not signed:
    the order that ends the share is."""

    until: Timestamp
    files: tuple[SharedFile, ...]
    """In the order in which they were chosen."""


class Received(msgspec.Struct, frozen=True):
    """A share that lies on this kit, as the person sees it for whom it is."""

    case: str
    share: str
    until: datetime
    files: tuple[SharedFile, ...]


def share(
    case: OpenCase,
    kept: Sequence[Kept],
    to: Card,
    who: str,
    purpose: SharedFor,
    made: datetime,
    until: datetime,
) -> Share:
    """Seal these moments anew, for this person alone. Whether it is agreed to was judged before.

    What is shared and the order that ends it are on the card before the first file. Raises BadInput
    for a card of a service or of the other type, BadFile for a moment that is not what was kept,
    NotPossible if the card does not take or give it.
    """
    if to.role != "practitioner":
        raise BadInput(
            "That is the ID file of a service, but you can only share with one person.",
            "Add that person's own ID file. Its name ends in .pub.",
        )
    # Before anything is written down: a share is as hard to open as its case.
    recipients = sealing_keys(parse_recipient(case.record.recipient), to)
    films = tuple(dict.fromkeys(one.recording for one in kept))
    made_of = tuple(one.id for one in kept)
    found = Share(
        id=new_id(),
        made=made,
        until=until,
        purpose=purpose,
        who=who,
        to=to,
        moments=made_of,
        films=films,
    )
    case.write(found, found.id)
    _order(case, found.id, films, until, "")
    directory = case.directory.shares / found.id
    directory.mkdir(mode=0o750, parents=True)
    sync_directory(directory.parent)
    sync_directory(case.directory)
    files = names(kept, locked=True)
    about = ShareAbout(
        until=until,
        files=tuple(
            SharedFile(name, float(one.seconds) if isinstance(one, Clip) else 0.0)
            for one, name in zip(kept, files, strict=True)
        ),
    )
    save(directory / ABOUT, seal(to_json(about), recipients))
    for one, name in zip(kept, files, strict=True):
        with opened(case, one) as reader, saving(directory / name) as file:
            writer = SealedWriter(file, recipients)
            for piece in plain(reader, lambda _count: None):
                writer.write(piece)
            writer.close()
    return found


def shares_of(case: OpenCase) -> list[Share]:
    """Everything that was ever shared of a case, the newest first."""
    return sorted(case.read_all(Share), key=lambda one: one.made, reverse=True)


def files_of(directory: CaseFolder, share: str) -> list[Path]:
    """The sealed files of a share that are here. Raises BadFile, OSError."""
    return paths_in(directory.shares / share, _FILE)


def received(home: Home, case: str, share: str, keys: list[Identity], now: datetime) -> Received:
    """A share with whoever has these keys. Raises NoMatch if it is not here, is over or is for
    somebody else; BadFile if it is damaged."""
    directory = home.case(case)
    order = end_of_share(directory, share)
    over = order is None or now >= order.at or is_share_ended(directory, share)
    if order is not None and not over and not is_withdrawn(directory):
        try:
            sealed = read_plain(directory.shares / share / ABOUT)
        except FileNotFoundError:
            pass  # Removed since, or made by a kit from before this was told.
        else:
            about = from_json(unseal(sealed, keys), ShareAbout)
            return Received(case, share, min(order.at, about.until), about.files)
    raise NoMatch("Nothing of this is shared with you.")


def end(case: OpenCase, found: Share, at: datetime) -> None:
    """End a share before its day, here and with the next sending at the service. Safe to call
    again."""
    _end(case, found.id, found.films, at)


def end_what_is_not_agreed(case: OpenCase, now: datetime, films: Iterable[str] = ()) -> list[str]:
    """End every share whose purpose is not agreed to any more, or that has a moment of one of these
    `films`, which were taken back. Returns their ids."""
    kept = case.salvage(Share)
    agreed, gone, ended = consent_of(case), set(films), _end_what_is_lost(case, kept, now)
    for found in kept.found.values():
        goes = not allows(agreed, found.purpose, now) or gone.intersection(found.films)
        if goes and not is_over(case.directory, found, now):
            end(case, found, now)
            ended.append(found.id)
    return ended


def end_what_they_see(case: OpenCase, people: Iterable[Card], now: datetime) -> list[str]:
    """End every share with one of these people: the service has revoked them. Returns their ids."""
    kept = case.salvage(Share)
    names, ended = {card.name for card in people}, _end_what_is_lost(case, kept, now)
    for found in kept.found.values():
        if found.to.name in names and not is_over(case.directory, found, now):
            end(case, found, now)
            ended.append(found.id)
    return ended


def _end_what_is_lost(case: OpenCase, kept: Salvaged[Share], now: datetime) -> list[str]:
    """End shares whose documents are lost. Nobody can tell any more what they were for, for whom or
    of what; they are copies, so nothing is lost with them."""
    ended = [item for item in kept.lost if not is_share_ended(case.directory, item)]
    for item in ended:
        order = end_of_share(case.directory, item)
        _end(case, item, order.films if order else (), now)
    return ended


def is_over(directory: CaseFolder, found: Share, now: datetime) -> bool:
    """True once a share was ended, or its day has come."""
    return now >= found.until or is_share_ended(directory, found.id)


def remove_what_is_over(directory: CaseFolder, now: datetime | None, film: str = "") -> list[str]:
    """Remove here what the orders in a case's directory say: no key is needed for it.

    `now`: None while the time is in doubt; then only what was ended before its day goes. `film`:
    every share with a moment of it goes, too. Returns the shares removed. Raises BadFile.
    """
    removed = []
    for path in paths_in(directory.shares, ID):
        order = end_of_share(directory, path.name)
        due = order is None or (now is not None and now >= order.at) or film in order.films
        if due or is_share_ended(directory, path.name):
            _remove(directory, path.name)
            removed.append(path.name)
    return removed


def out_of_reach(case: OpenCase, moments: Collection[str] | None = None) -> tuple[CopiesOut, ...]:
    """What of this case, or of some of its moments, others may have opened, as an order of
    withdrawal may say it: no names."""
    kept = case.salvage(Share)
    return tuple(
        CopiesOut(made=one.made, files=files, locked=True, way="share")
        for one in sorted(kept.found.values(), key=lambda one: one.made, reverse=True)
        if (files := copies.how_many(one.moments, moments))
    ) + tuple(
        CopiesOut(made=kept.when(item), files=0, locked=True, way="share") for item in kept.lost
    )


def _end(case: OpenCase, name: str, films: tuple[str, ...], at: datetime) -> None:
    if not is_share_ended(case.directory, name):
        _order(case, name, films, at, ENDED_EARLY)
    _remove(case.directory, name)


def _order(case: OpenCase, name: str, films: tuple[str, ...], at: datetime, ending: str) -> None:
    order = ShareEnd(id=new_id(), case=case.id, share=name, films=films, at=at)
    directory = case.directory.share_ends
    directory.mkdir(mode=0o750, exist_ok=True)
    sync_directory(case.directory)
    note = sign_fact(case.keys.signer, order)
    save(directory / f"{name}{ending}", note.encode())


def _remove(directory: CaseFolder, name: str) -> None:
    if (directory.shares / name).exists():
        remove_tree(directory.shares / name)
        sync_directory(directory.shares)


def purpose_of(text: str) -> SharedFor | None:
    """The purpose of this name, None if it is no purpose to share for."""
    return next((one for one in PURPOSES if one == text), None)
