"""What needs the opening key, carried to it and back on a stick: it is never beside the store.

    DIR/ask             what is asked for, signed beside the store
    DIR/asked/<sha256>  the key files it speaks of, sealed as they lie at the store
    DIR/cards/          the service's cards
    DIR/answer          what was done, signed by a root or another key of the service
    DIR/given/<sha256>  key files, sealed anew

Nothing on the stick is in clear. Whoever answers reads who would be let in before they do it; what
comes back counts once, for what was asked here, and by the card that was the newest then.
"""

import hashlib
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from appliance.base.cases import every_case
from appliance.base.custody.anew import (
    Resealed,
    Verdict,
    files_of,
    put_resealed,
    service_key_file,
    verdict,
)
from appliance.base.custody.keys import ServiceKeys, cards_beside, keep_card
from appliance.base.ledger import Ledger
from appliance.base.people import Recovered, SealedKey, give_key
from appliance.errors import BadFile, BadInput, BadSignature, NoMatch
from appliance.protocol.cards import Card
from appliance.protocol.names import numbered
from appliance.protocol.objects import case_object, tombstone_object
from appliance.records.clock import Clock
from appliance.records.files import (
    Fact,
    Timestamp,
    checked_id,
    new_id,
    read_plain,
    read_text,
    save,
)
from appliance.records.signing import open_fact, sign_fact
from appliance.stores.store import ServiceStore, is_there
from appliance.vault.keys import PrivateKeys

_LARGEST = 64 * 1024
_LARGEST_LIST = 64 << 20


class Want(Fact, frozen=True, kw_only=True, tag="want/v1"):
    """A case whose key is to be sealed anew."""

    case: str
    files: dict[str, str]
    """Its key files at the store, by their names in the case, each with its SHA-256 (hex)."""


class Asked(Fact, frozen=True, kw_only=True, tag="asked/v1"):
    """What is asked of whoever has the opening key. Signed by the service."""

    id: str
    at: Timestamp
    card: str
    """Digest of the service's newest card: by it the keys are sealed."""
    to: Card | None
    """Whom the cases are opened to; None: to the service alone, after a new card."""
    kit: str
    """The kit that lets them in, '' for none."""
    wants: tuple[Want, ...]


class Given(Fact, frozen=True, kw_only=True, tag="given/v1"):
    """What became of one case."""

    case: str
    number: int
    """0 where no key there opens it, or far too many are there."""
    sha256: str = ""
    """Of what was sealed anew, '' where that was not needed."""
    left: tuple[str, ...] = ()
    """Key files, by their names in the case, that are sealed to keys which open no more."""


class Answer(Fact, frozen=True, kw_only=True, tag="given-back/v1"):
    """The answer to what was asked. Signed by a root or another key of the service."""

    id: str
    at: Timestamp
    cases: tuple[Given, ...]


def ask(
    store: ServiceStore,
    keys: PrivateKeys,
    ledger: Ledger,
    clock: Clock,
    directory: Path,
    cases: Sequence[str],
    to: Card | None = None,
    kit: str = "",
) -> int:
    """Write on a stick what is asked for; returns how many cases. Without `cases`, every case that
    was not withdrawn. Raises BadInput where the stick holds something that was not taken yet."""
    _check_empty(directory)
    wants = []
    for case in cases or every_case(store):
        if ledger.closing(case) is not None or is_there(store, tombstone_object(checked_id(case))):
            continue
        files = {}
        for name, _number, sealed in files_of(store, case):
            digest = hashlib.sha256(sealed).hexdigest()
            save(_made(directory / "asked") / digest, sealed)
            files[name.rpartition("/")[2]] = digest
        if files:
            wants.append(Want(case=case, files=files))
    asked = Asked(
        id=new_id(),
        at=clock.read().wall,
        card=keys.chain.digest,
        to=to,
        kit=kit,
        wants=tuple(wants),
    )
    keep_card(directory, keys.chain)
    ledger.write("asked", asked.id, to=to.name if to else "")
    # Last: what is not whole is not there.
    save(directory / "ask", sign_fact(keys.signer, asked).encode())
    return len(wants)


def read_ask(keys: PrivateKeys, folder: Path, directory: Path) -> Asked:
    """What is asked for on a stick; the cards that it brings are kept in the folder of keys.
    Raises BadInput."""
    brought = cards_beside(directory)
    if brought is not None and isinstance(keys, ServiceKeys) and brought.first == keys.card():
        for note in brought.notes[len(keys.chain.notes) :]:
            keys.follow(note)
        keep_card(folder, keys.chain)
    try:
        asked = keys.chain.word(read_text(directory / "ask", _LARGEST_LIST), Asked)
    except FileNotFoundError as error:
        raise BadInput(f"Nothing is asked for in {directory}.") from error
    if asked.card != keys.chain.digest:
        raise BadInput("This was asked for by another card of the service.", "Ask anew.")
    return asked


def answer(keys: PrivateKeys, clock: Clock, directory: Path, asked: Asked) -> Answer:
    """Do what is asked for, and write it on the stick. Safe to call again. Raises BadInput."""
    people = [asked.to] if asked.to else []
    cases = []
    for want in asked.wants:
        said = verdict(keys, _files(directory, want), people)
        digest = ""
        if said.sealed:
            digest = hashlib.sha256(said.sealed).hexdigest()
            save(_made(directory / "given") / digest, said.sealed)
        cases.append(Given(case=want.case, number=said.number, sha256=digest, left=said.left))
    told = Answer(id=asked.id, at=clock.read().wall, cases=tuple(cases))
    try:
        signer = keys.root
    except NoMatch:
        signer = keys.signer
    save(directory / "answer", sign_fact(signer, told).encode())
    return told


def take(
    store: ServiceStore, keys: PrivateKeys, ledger: Ledger, clock: Clock, directory: Path
) -> list[Resealed | Recovered]:
    """Take in what was answered. Safe to call again, until it is done. Raises BadInput for what is
    no answer to what was asked here, SendInterrupted, SendRefused."""
    try:
        asked = keys.chain.word(read_text(directory / "ask", _LARGEST_LIST), Asked)
        note = read_text(directory / "answer", _LARGEST_LIST)
    except FileNotFoundError as error:
        raise BadInput(f"There is no answer in {directory} yet.") from error
    told, by = open_fact(note, [*keys.chain.roots, *keys.chain.signing], Answer)
    # A key that has ended could date its answer back, to before this was asked.
    if by not in keys.chain.roots and (told.at < asked.at or not keys.chain.said(told, by)):
        raise BadSignature(
            "The key that signed this answer was not the service's any more.",
            "If it was, the clock there is behind: set it, and answer again.",
        )
    if told.id != asked.id or asked.id not in ledger.of("asked"):
        raise BadInput("This is no answer to what was asked here.")
    if asked.id in ledger.of("taken"):
        raise BadInput("This answer was taken in before.", "Ask anew, with an empty folder.")
    if asked.card != keys.chain.digest:
        raise BadInput("The service has another card since this was asked.", "Ask anew.")
    wants = {want.case: want for want in asked.wants}
    done: list[Resealed | Recovered] = []
    for given in told.cases:
        if given.case not in wants or not set(given.left) <= set(wants[given.case].files):
            raise BadFile("This answer speaks of what was not asked for.")
        done.append(_take(store, keys, ledger, clock, directory, asked, given))
    ledger.write("taken", asked.id)
    _clear(directory)
    return done


def _take(
    store: ServiceStore,
    keys: PrivateKeys,
    ledger: Ledger,
    clock: Clock,
    directory: Path,
    asked: Asked,
    given: Given,
) -> Resealed | Recovered:
    case = checked_id(given.case)
    if ledger.closing(case) is not None or is_there(store, tombstone_object(case)):
        return Resealed(case, why="The family has withdrawn meanwhile.")
    if not given.number:
        return Resealed(case, why="No key there opens it, or it holds far too many.")
    sealed = b""
    if given.sha256:
        sealed = _one(directory / "given", given.sha256)
    if asked.to is None:
        new = service_key_file(given.number, keys.chain)
        left = tuple(case_object(case, name) for name in given.left if name != new)
        return put_resealed(store, keys, case, Verdict(given.number, sealed, left))
    key = SealedKey(case, given.number, sealed)
    return give_key(store, keys, ledger, clock, asked.to, key, asked.kit)


def _files(directory: Path, want: Want) -> list[tuple[str, int, bytes]]:
    found = []
    for name, digest in sorted(want.files.items()):
        key = numbered(name)
        if key is None or key.stem != "identity":
            raise BadFile("What is asked for names something else than keys.")
        found.append((name, key.number, _one(directory / "asked", digest)))
    return found


def _one(folder: Path, digest: str) -> bytes:
    """A file of the stick, as its digest says. Raises BadFile."""
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise BadFile("A file on the stick has no name of ours.")
    try:
        data = read_plain(folder / digest, _LARGEST)
    except FileNotFoundError as error:
        raise BadFile("A file is missing on the stick.", "Copy the whole folder.") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise BadFile("A file on the stick was damaged.", "Copy the whole folder again.")
    return data


def _clear(directory: Path) -> None:
    """Make room for what is asked for next."""
    for folder in ("given", "asked"):
        shutil.rmtree(directory / folder, ignore_errors=True)
    # A stick that may not be written on is emptied by hand.
    with suppress(OSError):
        (directory / "answer").unlink()
        (directory / "ask").unlink()


def _check_empty(directory: Path) -> None:
    if (directory / "ask").exists() or (directory / "answer").exists():
        raise BadInput(
            f"{directory} holds what was asked for before.",
            "Take its answer in first, with --take, or give an empty folder.",
        )
    _made(directory)


def _made(directory: Path) -> Path:
    directory.mkdir(mode=0o700, exist_ok=True)
    return directory
