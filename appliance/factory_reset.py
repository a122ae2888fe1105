"""Factory reset, for a kit that goes to other hands: everything that it holds of a service, its
people and its families is removed, and it is a new kit.

It takes an order that the service has signed for this very kit, and a press of the button at it.
Everything must be with the service, each file confirmed, unless the order itself says that what is
not may go as well; what a hold keeps never goes so. And the service must have looked through its
store since it ordered this, seven days ago at most, and have found that nothing of this kit is lost
there: what a receipt says may be long ago. A kit in contact holds everything against the store once
more; to one that gets its order by hand, the service says which of its films it saw.

    kit/reset     the recorder's signed word that it has begun: from here on nothing stops it
    kit/former    the same file, once nothing is left: what was removed, and on whose order

Then each process removes what is its own and begins anew: the page, whose keys go before all else,
so that nothing opens here any more; sync; and last the recorder, with the key that made this kit
who it was. A pulled plug leaves `kit/reset`, and every process goes on with it when it starts. Only
the recorder writes in `kit/`. An order never counts twice: the kit that it names is no more.
"""

import hashlib
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, NoReturn

import msgspec

from appliance.errors import BadFile, BadInput, BadSignature, Reason
from appliance.film.manifest import parse_manifest
from appliance.protocol.audits import (
    AUDIT,
    FRESH,
    StoreAudit,
    films_seen,
    order_and_audit,
    with_audit,
)
from appliance.protocol.cards import CardChain, KitCard
from appliance.protocol.case_record import is_withdrawn
from appliance.protocol.emptying import is_emptied
from appliance.protocol.objects import case_files, case_object, film_object, order_object
from appliance.protocol.orders import (
    LARGEST,
    AnyReset,
    FilmWithdrawal,
    FirstReset,
    Reset,
    ServiceOrder,
    ShareEnd,
    Withdrawal,
    orders_in,
    read_order,
)
from appliance.protocol.receipts import receipt_of
from appliance.records.files import (
    ID,
    Fact,
    Home,
    Timestamp,
    destroy,
    is_there,
    load_fact,
    names_in,
    paths_in,
    plain_size,
    read_plain,
    read_text,
    save,
    sync_directory,
)
from appliance.records.signing import Signer, fact_in, sign_fact

_LOOK_SECONDS = 1.0
_CLOCKS_APART = timedelta(hours=1)
"""The service's clock and the kit's are two."""
_COMPARED = "compared"
"""In the inbox: SHA-256 (hex) of the order and audit that were there when sync last held all
receipts against what the store lists."""
_LOST = re.compile(rf"cases/(?P<case>{ID.pattern})(/|$)")
"""How an audit names what was lost."""
_RESET: msgspec.json.Decoder[AnyReset] = msgspec.json.Decoder(AnyReset)
_SentOrder = Withdrawal | FilmWithdrawal | ShareEnd | ServiceOrder
_SENT_ORDER: msgspec.json.Decoder[_SentOrder] = msgspec.json.Decoder(_SentOrder)


class SetBack(Fact, frozen=True, kw_only=True, tag="set-back/v1"):
    """What became of a kit. Signed by it, as the last thing that it signed."""

    kit: str
    at: Timestamp
    """As this machine's clock said."""
    order: str
    """SHA-256 (hex) of the order, as it was signed."""
    films: int
    cases: int
    unconfirmed: int
    """Files among them that the service had not confirmed."""


class ResetRefusal(Reason):
    """Why a kit is not reset. The page and the log use these codes."""

    NOT_SET_UP = "not-set-up", "This kit has no service yet, so there is nothing to reset."
    UNREADABLE = (
        "order-unreadable",
        "That is not a reset file. Ask your service for the file again.",
    )
    NOT_SIGNED = (
        "order-not-signed",
        "This kit's service did not sign this reset file, or it was changed. Nothing was deleted.",
    )
    OTHER_KIT = (
        "order-for-other-kit",
        "This reset file is for another kit. Tell your service the number of this one.",
    )
    NOT_SENT = (
        "not-all-sent",
        "Not everything on this kit has been uploaded yet, so nothing is deleted. Upload "
        "at base until it says that everything is uploaded, then try again.",
    )
    OLD_ORDER = (
        "order-of-before",
        "This reset file is out of date: the service did not check first that its store "
        "still has everything. Ask your service for a new one.",
    )
    CLOCK_NOT_SET = (
        "clock-not-set",
        "The kit does not know what time it is, so it cannot tell how old the service's audit of "
        "its store is. Connect the kit to the network at base, then try again.",
    )
    NOT_AUDITED = (
        "not-audited",
        "The service has not checked its store since it made this reset file, or did so "
        "more than 7 days ago. Ask it for an audit, upload at base, then try again.",
    )
    LOST_THERE = (
        "lost-at-the-service",
        "The service's store has lost some of what this kit uploaded, so nothing is "
        "deleted. Upload at base: the kit uploads it again. Then ask the service for an "
        "audit.",
    )
    NOT_COMPARED = (
        "not-compared",
        "The kit has not yet checked, since the service made this reset file, that the "
        "store still has everything it uploaded. Upload at base until it says that "
        "everything is uploaded, then try again.",
    )
    NOT_SEEN = (
        "not-all-seen",
        "The service did not see every film of this kit when it checked its store for "
        "this reset file. Nothing is deleted. Upload at base until it says that "
        "everything is uploaded, then ask the service for a new reset file.",
    )
    HELD = (
        "held-and-not-sent",
        "There is a hold on a family's films, and not all of them have been uploaded. "
        "They cannot be deleted. Upload at base, then try again.",
    )


def judge(
    note: str, kit: str, service: CardChain | None, home: Home, now: datetime | None
) -> Reset | ResetRefusal:
    """The order to set this kit back, or why it does not count. Any doubt is a refusal.

    `note` is the order, and behind it the service's audit of its store (`with_audit`); `now` is
    None where no trusted clock says it. The signature comes before every other question.
    """
    if service is None:
        return ResetRefusal.NOT_SET_UP
    said, audit = order_and_audit(note)
    try:
        order = service.word(said, _RESET)
    except BadSignature:
        return ResetRefusal.NOT_SIGNED
    except BadInput:
        return ResetRefusal.UNREADABLE
    if order.kit != kit:
        return ResetRefusal.OTHER_KIT
    if isinstance(order, FirstReset):
        return ResetRefusal.OLD_ORDER
    try:
        return (
            _lost(order, audit, service, home, now)
            or _unsent(order, home)
            or _not_compared(order, note, service, home)
            or order
        )
    except (BadFile, OSError):
        return ResetRefusal.NOT_SENT


def _unsent(order: Reset, home: Home) -> ResetRefusal | None:
    for case, _name in unsent(home):
        if not order.unsent:
            return ResetRefusal.NOT_SENT
        if case == "" or _held(home, case):
            return ResetRefusal.HELD
    return None


def _not_compared(order: Reset, note: str, service: CardChain, home: Home) -> ResetRefusal | None:
    """What came here is held against the store, and that may have been cut short. What somebody
    carried to the kit is held against what the service saw there: such a kit may not send any
    more."""
    if order.unsent and not any(_held(home, case) for case in _ids(home.cases)):
        return None
    said = ordered(home)
    if said and not was_compared(home, said):
        return ResetRefusal.NOT_COMPARED
    text, audit = order_and_audit(note)
    if with_audit(text, audit) == said:
        return None
    films = {*_ids(home.recordings), *_imports(home)}
    return None if films <= films_seen(note, order.kit, service) else ResetRefusal.NOT_SEEN


def _imports(home: Home) -> Iterator[str]:
    """Films from elsewhere; without its manifest one is still being brought in."""
    for case in _ids(home.cases):
        place = home.case(case).imports
        yield from (film for film in _ids(place) if is_there(place / film / "manifest"))


def was_compared(home: Home, said: str) -> bool:
    """True once this order and audit (as `ordered` gives them) are here and everything that was
    sent was held against what the store lists."""
    try:
        return read_plain(home.inbox / _COMPARED, LARGEST) == _digest(said)
    except (BadFile, OSError):
        return False


def note_compared(home: Home, said: str) -> None:
    save(home.inbox / _COMPARED, _digest(said))


def _digest(said: str) -> bytes:
    return hashlib.sha256(said.encode()).hexdigest().encode()


def _lost(
    order: Reset, note: str, service: CardChain, home: Home, now: datetime | None
) -> ResetRefusal | None:
    """What the service's audit of its store has against it."""
    if now is None:
        return ResetRefusal.CLOCK_NOT_SET
    try:
        audit = service.word(note, StoreAudit)
    except BadInput:
        return ResetRefusal.NOT_AUDITED
    if not order.at <= audit.at <= now + _CLOCKS_APART or now - audit.at > FRESH:
        return ResetRefusal.NOT_AUDITED
    cases = {*_ids(home.cases), *(_case_of(home, film) for film in _ids(home.recordings))}
    named = [_LOST.match(name) for name in audit.lost]
    lost = {match["case"] for match in named if match} & cases
    # Of a name without a case, and of what is not named, nobody can say whose it is.
    if audit.more or None in named or (lost and not order.unsent):
        return ResetRefusal.LOST_THERE
    return ResetRefusal.HELD if any(_held(home, case) for case in lost) else None


def ordered(home: Home) -> str:
    """The newest order for a reset that the service sent and its newest audit, as `judge` takes
    them and not checked yet; '' if there is no order."""
    for _, path in reversed(orders_in(home)):
        with suppress(OSError, BadFile):
            note = read_plain(path, LARGEST)
            if isinstance(read_order(note), AnyReset):
                return with_audit(note.decode(), _audit_in(home))
    return ""


def _audit_in(home: Home) -> str:
    with suppress(OSError, BadFile):
        return read_text(home.inbox / AUDIT, LARGEST)
    return ""


def unsent(home: Home) -> Iterator[tuple[str, str]]:
    """What the service has not confirmed, each with its case ('' where nobody can say whose it is).
    Of a withdrawn case the order must be confirmed. Films that an order removes are gone by now,
    as the recorder carries it out at once; all that still lies here must be confirmed."""
    for name in _ids(home.recordings):
        yield from _film(home, name)
    for name in _ids(home.cases):
        yield from _case(home, name)


def begun(home: Home) -> bool:
    """True from the press of the button until nothing is left."""
    return home.reset.exists()


def begin(home: Home, note: str, signer: Signer, now: datetime) -> None:
    """Begin; from here on nothing stops it. The caller has judged, and somebody has pressed. Raises
    NotPossible."""
    text, _audit = order_and_audit(note)
    order = fact_in(text, Reset)
    said = SetBack(
        kit=signer.verifier.name.removeprefix("kit-"),
        at=now,
        order=hashlib.sha256(text.encode()).hexdigest(),
        films=len(_ids(home.recordings)),
        cases=len(_ids(home.cases)),
        # Without that, the order counted only because there are none; to count takes long.
        unconfirmed=sum(1 for _ in unsent(home)) if order.unsent else 0,
    )
    save(home.reset, sign_fact(signer, said).encode())


def remove_own(home: Home, process: Literal["web", "sync"]) -> None:
    """Remove everything that this process has written; its log goes last, and says so by that.
    Raises OSError; safe to call again."""
    keys = {
        "web": ((home.keys, ""), (home.cases, "identity-")),
        "sync": ((home.inbox, "key-"),),
    }
    for directory, name in keys[process]:
        for path in _below(directory):
            if name in path.name:
                destroy(path)
    for directory in _own(home)[process]:
        _empty(directory)


def others_left(home: Home) -> bool:
    """True while page or sync has something left, as far as the recorder may look."""
    own = (*_own(home)["web"], *_own(home)["sync"])
    return any(True for directory in own for _ in _below(directory))


def finish(home: Home) -> None:
    """Remove what is the recorder's; then it is done. Raises OSError; safe to call again."""
    if home.signing_key.exists():
        destroy(home.signing_key)
    _empty(home.recordings)
    _empty(home.log("recorder"))
    _empty(home.kit, but=home.reset.name)
    home.reset.rename(home.former)
    sync_directory(home.kit)


def former(home: Home) -> SetBack | None:
    """Who this kit was before its last factory reset; None where it never had one.

    The note has the signature of that kit, whose public key the service has.
    """
    with suppress(OSError, BadFile):
        return fact_in(read_plain(home.former), SetBack)
    return None


def give_way(
    home: Home,
    process: Literal["web", "sync"],
    anew: Callable[[], None] | None = None,
    alive: Callable[[], object] = lambda: None,
) -> None:
    """For the start of page and sync: while a factory reset is under way, remove what is one's own,
    and do nothing else until it is over. If a reset begins later, the process starts anew, whatever
    it is doing, and locks by that. `anew` is the process's own way to start anew, if it has one;
    `alive` is called while it waits."""
    if begun(home):
        remove_own(home, process)
    while begun(home):
        alive()
        time.sleep(_LOOK_SECONDS)
    threading.Thread(
        target=_watch, args=(home, anew or start_anew), name="reset", daemon=True
    ).start()


def _watch(home: Home, anew: Callable[[], None]) -> None:
    while not begun(home):
        time.sleep(_LOOK_SECONDS)
    anew()


def start_anew() -> NoReturn:
    """Begin this process from its start, with nothing in its memory."""
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606


# --- What is where --------------------------------------------------------------------------------


def _own(home: Home) -> dict[str, tuple[Path, ...]]:
    """What each process has written; its log last."""
    return {
        "web": (home.keys, home.cases, home.permits, home.web_requests, home.log("web")),
        "sync": (home.inbox, home.sync_requests, home.receipts, home.log("sync")),
    }


def _ids(directory: Path) -> list[str]:
    return [path.name for path in paths_in(directory, ID)]


def _below(directory: Path) -> Iterator[Path]:
    """Every file below a directory, wherever links point. What goes meanwhile is passed by."""
    for folder, _, files in os.walk(directory):
        yield from (Path(folder, name) for name in files)


def _empty(directory: Path, but: str = "") -> None:
    with suppress(FileNotFoundError):
        for name in names_in(directory, sys.maxsize - 1):
            if name == but:
                continue
            path = directory / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        sync_directory(directory)


def _case_of(home: Home, film: str) -> str:
    """Whose film this is; '' where nobody can say: then it was never confirmed."""
    with suppress(BadInput, OSError):
        return parse_manifest(read_text(home.recording(film) / "manifest")).started.case
    return ""


def _held(home: Home, case: str) -> bool:
    return is_there(home.case(case).hold)


def _confirmed(home: Home, name: str, path: Path) -> bool:
    try:
        receipt = receipt_of(home, name)
        return receipt is not None and receipt.size == plain_size(path)
    except (BadFile, OSError):
        return False


def _has(home: Home, name: str, size: int, sha256: str) -> bool:
    """True if a receipt says so of a file that left this card."""
    with suppress(BadFile, OSError):
        receipt = receipt_of(home, name)
        return receipt is not None and (receipt.size, receipt.sha256) == (size, sha256)
    return False


def _film(home: Home, name: str) -> Iterator[tuple[str, str]]:
    manifest = home.recording(name) / "manifest"
    kit = load_fact(home.kit_card, KitCard)
    try:
        read = parse_manifest(read_text(manifest), [kit.verifying_key()] if kit is not None else [])
    except (BadInput, OSError):
        yield "", str(manifest)
        return
    case = read.started.case
    if read.ended is None or read.signed_by is None:
        yield case, str(manifest)
        return
    emptied = is_emptied(home, name)
    if not _confirmed(home, film_object(case, name, "manifest"), manifest):
        yield case, film_object(case, name, "manifest")
    for file, size, sha256 in read.files:
        there = film_object(case, name, file)
        path = manifest.with_name(file)
        if not (_has(home, there, size, sha256) if emptied else _confirmed(home, there, path)):
            yield case, there


def _case(home: Home, name: str) -> Iterator[tuple[str, str]]:
    directory = home.case(name)
    whole = is_withdrawn(directory)
    found = [directory.withdrawal] if is_there(directory.withdrawal) else []
    if not whole:
        folders = directory.film_orders, directory.share_ends
        found = [folder / name for folder in folders for name in names_in(folder)]
    for path in found:
        order = _order_sent(path)
        if order is None or (order and not _confirmed(home, order, path)):
            yield name, order or f"cases/{name}/{path.relative_to(directory)}"
    if whole and not _held(home, name):
        return
    if not whole and not is_there(directory.record):
        return
    for _part, path in case_files(directory):
        file = path.relative_to(directory).as_posix()
        if not _confirmed(home, case_object(name, file), path):
            yield name, case_object(name, file)


def _order_sent(path: Path) -> str | None:
    """What an order is called at the service; '' for one that came from there, None where that
    cannot be told."""
    try:
        order = fact_in(read_plain(path), _SENT_ORDER)
        return "" if isinstance(order, ServiceOrder) else order_object(order.id)
    except (BadInput, OSError):
        return None
