"""Checking what happened, without any key that opens a film.

Looked at are a kit's home, a store, or one recording: each film's signed manifest against the
sealed files beside it, each process's log as a chain, and the recorder's signed notes of how far
those chains had come; at a store also what people and the service signed there, where their keys
were given. Everything is in public forms (C2SP signed notes, SHA-256, a line of JSON a
fact), so that a dozen lines of anybody's code can do the same: `docs/verifying.md` has them.

The kit's public key must come from elsewhere: from the label, the service, a receipt. The card that
lies beside the films may have been put there by whoever put the films there, so against it alone
everything is at most consistent, and nobody has shown who signed.
"""

import hashlib
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import msgspec

from appliance.errors import BadFile, BadInput, Incomplete
from appliance.film.manifest import EndReason, Manifest, index_name, parse_manifest
from appliance.protocol.cards import Card, CardChain, KeyCard, KitCard, ServiceCard
from appliance.protocol.emptying import FilmEmptied
from appliance.protocol.enrolment import Revocation
from appliance.protocol.notes import Signers, check_note, whose
from appliance.protocol.objects import SERVICE_CARD, service_card_object
from appliance.records.audit import Heads, check_chain, check_heads, holds
from appliance.records.files import from_json, lines, open_plain, plain_size
from appliance.records.signing import Verifier, fact_in, open_fact
from appliance.stores.store import Entry

_PIECE = 1 << 20
_LARGEST_TEXT = 64 << 20
_MANIFEST = re.compile(r"(?P<folder>(?:.*/)?(?P<recording>[a-z2-7]{16}))/manifest")
_LOG = re.compile(r"(?:.*/)?log/(?P<process>[a-z]+)/log")
_HEADS = re.compile(
    r"(?P<folder>.*/)?heads/(?P<name>[0-9]{6})(?P<beside>-[a-z2-7]{16}-[0-9a-f]{16})?"
)
_CARD = re.compile(r"kit/kit\.json|kits/[a-z2-7]{16}/card\.json")
_OF_KIT = re.compile(r"kits/(?P<kit>[a-z2-7]{16})/")
_SERVICE_CARD = re.compile(r"service/card(\.json|/[0-9]{4})")
_CASE = re.compile(r"(?:.*/)?cases/(?P<case>[a-z2-7]{16})/(recordings|imports)/")
_IMPORT = re.compile(r"(?:.*/)?imports/[a-z2-7]{16}/?")

_AnyCard = Card | KeyCard | KitCard
_ANY_CARD: msgspec.json.Decoder[_AnyCard] = msgspec.json.Decoder(_AnyCard)

State = Literal["holds", "unfinished", "broken"]


class Place(Protocol):
    """Where the files lie: a store of any engine, or a `Folder`."""

    def list(self, prefix: str) -> Iterator[Entry]:
        """Every file whose name, with slashes, starts with `prefix`, in the order of names."""

    def open(self, name: str) -> BinaryIO | None:
        """A file to read, None if it is not there."""


class Folder:
    """A folder of this computer: a kit's home, a recording, a store. Whatever the files are called:
    one that no kit wrote is found, too."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def list(self, prefix: str) -> Iterator[Entry]:
        found = []
        for folder, _, names in os.walk(self._root):
            for path in (Path(folder, name) for name in names):
                # What is no plain file is none of ours.
                with suppress(BadFile, OSError):
                    found.append((path.relative_to(self._root), plain_size(path)))
        entries = (Entry(path.as_posix(), size) for path, size in sorted(found))
        yield from (entry for entry in entries if entry.name.startswith(prefix))

    def open(self, name: str) -> BinaryIO | None:
        try:
            return open_plain(self._root / name)
        except FileNotFoundError:
            return None


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and what was found."""

    what: str
    state: State
    words: str


@dataclass(frozen=True)
class Verdict:
    """Everything that was found, in order."""

    findings: tuple[Finding, ...]
    keys: tuple[Verifier, ...]
    """The keys against which all was checked, as they were given; none where those of kits are
    missing."""
    others: int = 0
    """Files there that no finding is about: case keys, documents, and what no key was given for."""

    @property
    def broken(self) -> Finding | None:
        """The first link that does not hold."""
        return next((finding for finding in self.findings if finding.state == "broken"), None)

    @property
    def proven(self) -> bool:
        """True if all that was looked at holds and was signed with the key that was given."""
        return bool(self.keys) and all(finding.state == "holds" for finding in self.findings)

    @property
    def sentence(self) -> str:
        if self.broken:
            return f"Broken: {self.broken.what}. {self.broken.words}"
        if not self.keys:
            return "Consistent, signer unproven."
        unfinished = [f for f in self.findings if f.state == "unfinished"]
        if unfinished:
            return f"Consistent, but {len(unfinished)} not signed to the end yet."
        names = ", ".join(key.name for key in self.keys)
        sentence = f"What was looked at holds, and was signed by {names}."
        if self.others:
            sentence += (
                f" Not looked at: {self.others} other files (what is sealed, and notes of those "
                "whose keys were not given), and whether a film is missing."
            )
        return sentence


def verify(place: Place, given: Sequence[Verifier] = (), cards: Sequence[str] = ()) -> Verdict:
    """Check all that lies in `place` against the keys that were `given`: of kits, and of the
    service and its people, whose names say which they are. `cards` are texts among which cards of
    the service are, its first and those that follow; what it signed is judged by the newest of
    them and of those that lie there.

    Raises BadInput if nothing there can be checked, or if nobody can say which service's key was
    given.
    """
    names = [entry.name for entry in place.list("")]
    people = [key for key in given if key.name.startswith("practitioner-")]
    service = [key for key in given if key.name.startswith("service-")]
    kits = [key for key in given if key not in (*people, *service)]
    keys = kits or _cards(place, names)
    chain = _service(place, names, service, cards)
    signers = Signers(chain, people)
    signers = Signers(chain, people, _left(place, names, signers))
    films: dict[str, str] = {
        match["folder"] + "/": match["recording"]
        for name in names
        if (match := _MANIFEST.fullmatch(name))
    }
    if given and not people:
        # Nobody can say who brought them in.
        films = {folder: film for folder, film in films.items() if not _IMPORT.fullmatch(folder)}
    if "manifest" in names:
        findings = [_film(place, names, "", "", keys, signers)]
    else:
        findings = [
            _film(place, names, folder, film, keys, signers) for folder, film in films.items()
        ]
        findings += _logs(place, names, keys)
    imports = sum(1 for folder in films if _IMPORT.fullmatch(folder))
    # What kits signed is held against their cards that lie there, where no kit's key was given.
    vouched = bool(kits) or len(findings) <= imports
    notes = [*_service_cards(place, names, chain), *_notes(place, names, signers)]
    findings += notes
    if not findings:
        raise BadInput(
            "There is nothing here that can be checked.",
            "Give a recording (recordings/<id>), a kit's home, or a store.",
        )
    known = {finding.what for finding in notes}
    others = [name for name in names if not _looked_at(name, films) and name not in known]
    # A key of the service that only lies beside its cards has signed nothing.
    counted = [*kits, *people, *([chain.first.verifying_key()] if chain else ())]
    proven = tuple(counted) if vouched else ()
    return Verdict(tuple(findings), proven, 0 if "manifest" in names else len(others))


def parse_key(text: str) -> Verifier | None:
    """A public key: name+hash+key, or a card: a kit's, somebody's or the service's; None for the
    public half of what only opens, or only signs cards. Raises BadFile."""
    if not text.lstrip().startswith("{"):
        return Verifier.parse(text)
    card = from_json(text, _ANY_CARD)
    if isinstance(card, KeyCard):
        return Verifier.parse(card.key) if card.role == "signing" else None
    return card.verifying_key()


def _cards(place: Place, names: Sequence[str]) -> list[Verifier]:
    """The kits' cards that lie there, for want of a key that is known from elsewhere."""
    cards = (from_json(_text(place, name), KitCard) for name in names if _CARD.fullmatch(name))
    return [card.verifying_key() for card in cards]


def _looked_at(name: str, films: Collection[str]) -> bool:
    folder, slash, _ = name.rpartition("/")
    return folder + slash in films or any(one.fullmatch(name) for one in (_LOG, _HEADS, _CARD))


def is_numbered_card(text: str) -> bool:
    """True for a card of a service after its first, whoever signed it."""
    with suppress(BadInput):
        fact_in(text, ServiceCard)
        return True
    return False


def _service(
    place: Place, names: Sequence[str], given: Sequence[Verifier], cards: Sequence[str]
) -> CardChain | None:
    """The service by its cards: the first from elsewhere, then each that follows, by those that
    were given before those that lie there. Raises BadInput."""
    there = _first_card(_card_there(place, names, SERVICE_CARD))
    firsts = [card for card in map(_first_card, cards) if card is not None]
    # Name and key are the given ones: if the rest is false, no card follows.
    if not firsts and there is not None and there.verifying_key() in given:
        firsts = [there]
    if not firsts:
        if given and any(map(whose, names)):
            raise BadInput(
                "The first card of this service was not given, so nobody can say which of its keys "
                "count here.",
                "Give the folder of the service's cards, or service.key.pub, with --kit-key.",
            )
        return None
    chain = CardChain(there if there in firsts else firsts[0])
    while True:
        lies = _card_there(place, names, service_card_object(chain.number + 1))
        for text in (*cards, lies):
            with suppress(BadInput):
                chain = chain.followed_by(text)
                break
        else:
            return chain


def _first_card(text: str) -> Card | None:
    with suppress(BadInput):
        card = from_json(text, Card)
        return card if card.role == "service" else None
    return None


def _card_there(place: Place, names: Sequence[str], name: str) -> str:
    """The text of a card at a store, '' where there is none."""
    with suppress(BadInput):
        return _text(place, name) if name in names else ""
    return ""


def _service_cards(
    place: Place, names: Sequence[str], chain: CardChain | None
) -> Iterator[Finding]:
    """The service's cards at a store, held against its chain."""
    if chain is None or not any(name == SERVICE_CARD or whose(name) == "service" for name in names):
        return
    known = {service_card_object(number): note for number, note in enumerate(chain.notes, start=2)}
    for name in sorted({*known, *filter(_SERVICE_CARD.fullmatch, names)}):
        text = _card_there(place, names, name)
        first = name == SERVICE_CARD and _first_card(text) == chain.first
        if first or (text and known.get(name) == text):
            yield Finding(name, "holds", "a card of the service")
        elif name in names:
            yield Finding(
                name,
                "broken",
                "It does not follow from the service's first card as it was given, so nothing goes "
                "by it. Hold it against the cards in your folder of keys: somebody else put it "
                "there, or has a root.",
            )
        else:
            yield Finding(
                name,
                "broken",
                "It is not there: the store is older than the cards that were given, and whoever "
                "knows the store alone believes keys that count no more. Run serve --once: base "
                "puts it back.",
            )


def _left(place: Place, names: Sequence[str], signers: Signers) -> dict[str, datetime]:
    """When the service revoked somebody, as far as its card was given."""
    found: dict[str, datetime] = {}
    for name in names:
        if signers.service and name.startswith("revoked/"):
            # One that is false is named among the notes.
            with suppress(BadInput):
                left = signers.word(_text(place, name).encode(), Revocation)
                found[left.practitioner] = left.at
    return found


def _notes(place: Place, names: Sequence[str], signers: Signers) -> list[Finding]:
    """What people and the service signed at a store. Where a key was not given, nothing is said."""
    given = {"service": bool(signers.service), "people": bool(signers.people and signers.service)}
    return [
        _checked(name, lambda: check_note(name, _text(place, name).encode(), signers))  # noqa: B023
        for name in names
        if given.get(whose(name))
    ]


def _film(
    place: Place,
    names: Sequence[str],
    folder: str,
    recording: str,
    keys: Sequence[Verifier],
    signers: Signers,
) -> Finding:
    what = f"film {recording}" if recording else "film"
    emptied = False
    try:
        text = _text(place, f"{folder}manifest")
        if _IMPORT.fullmatch(folder):
            manifest = parse_manifest(text, signers.people)
            if signers.people and manifest.signed_by:
                signers.check_was_here(manifest.signed_by, manifest.started.started)
            _belongs(manifest, folder, recording, ())
        else:
            manifest = parse_manifest(text, keys)
            _belongs(manifest, folder, recording, keys)
            emptied = _emptied(place, folder, recording, text, keys)
        _files(place, names, folder, manifest, emptied)
    except Incomplete as error:
        return Finding(what, "unfinished", error.sentence)
    except BadInput as error:
        return Finding(what, "broken", error.sentence)
    ended = manifest.ended
    why = ended.why if ended else EndReason.POWER
    count = len(manifest.segments)
    if emptied:
        words = "it left the card, as the recorder signed; whether the service holds it is not seen"
        return Finding(what, "holds", words)
    return Finding(what, "holds", f"{count} segments, each as it was signed; it ended: {why.value}")


def _belongs(manifest: Manifest, folder: str, recording: str, keys: Sequence[Verifier]) -> None:
    started = manifest.started
    case = _CASE.match(folder)
    if recording and started.recording != recording:
        raise BadFile(f"Its manifest is of another film, {started.recording}.")
    if case and started.case != case["case"]:
        raise BadFile(f"Its manifest is of another case, {started.case}.")
    if manifest.ended is None:
        raise Incomplete("It is still being made, or the power was cut: it is not signed yet.")
    if keys and manifest.signed_by and manifest.signed_by.name != f"kit-{started.kit}":
        raise BadFile("It names another kit than the one that signed it.")


def _emptied(
    place: Place, folder: str, recording: str, manifest: str, keys: Sequence[Verifier]
) -> bool:
    """True if the recorder has signed that the sealed files of this film leave its card."""
    if folder != f"recordings/{recording}/" or not keys:
        return False
    with suppress(BadInput):
        said, _ = open_fact(_text(place, f"kit/emptied/{recording}"), keys, FilmEmptied)
        digest = hashlib.sha256(manifest.encode()).hexdigest()
        return (said.recording, said.manifest) == (recording, digest)
    return False


def _files(
    place: Place, names: Sequence[str], folder: str, manifest: Manifest, emptied: bool
) -> None:
    for name, size, sha256 in sorted(manifest.files):
        found = place.open(folder + name)
        if found is None and emptied:
            continue
        if found is None:
            raise BadFile(f"{name} is missing.")
        with found:
            if _digest(found.read, size) != (size, sha256):
                raise BadFile(f"{name} is not what was signed.")
    # What the power cut has no line, and its index was never finished.
    known = {name for name, _, _ in manifest.files} | {
        "manifest",
        index_name(len(manifest.segments)),
    }
    for name in names:
        # A folder of its own: what lies deeper belongs to something else.
        rest = name.removeprefix(folder)
        here = name.startswith(folder) and "/" not in rest and not rest.startswith(".")
        if here and rest not in known:
            raise BadFile(f"{rest} lies there and was never signed.")


def _logs(place: Place, names: Sequence[str], keys: Sequence[Verifier]) -> list[Finding]:
    findings: list[Finding] = []
    logs: dict[str, bytes] = {}
    for name in names:
        match = _LOG.fullmatch(name)
        if not match:
            continue
        what = f"log of {match['process']}"
        data = _text(place, name).encode()
        # A line torn by a power cut was never said to be written.
        data = data[: data.rfind(b"\n") + 1]
        logs[match["process"]] = data
        findings.append(_checked(what, partial(_chain, data)))
    notes: dict[str, dict[str, str]] = {}
    copies = []
    for name in names:
        match = _HEADS.fullmatch(name)
        if match and not match["beside"]:
            notes.setdefault(match["folder"] or "", {})[match["name"]] = _text(place, name)
        elif match:
            copies.append(name)
    for folder, found in sorted(notes.items()):
        what = f"signed heads in {folder}heads"
        findings.append(_checked(what, partial(_heads, found, folder, logs, keys)))
    return [*findings, *(found for name in copies for found in _copied(place, name, keys))]


def _copied(place: Place, name: str, keys: Sequence[Verifier]) -> Iterator[Finding]:
    """A note that a kit has signed and that lies beside another of the same number: its card was
    copied, or came back from a copy, and its logs went two ways. Nobody else's is one."""
    with suppress(BadInput):
        open_fact(_text(place, name), keys, Heads)
        yield Finding(
            f"signed heads in {name}",
            "broken",
            "The kit has signed two notes of this number: its card was copied, or restored from a "
            "copy, and what its logs say from here on is not the only thing they said.",
        )


def _checked(what: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(what, "holds", check())
    except BadInput as error:
        return Finding(what, "broken", " ".join(filter(None, (error.sentence, error.hint))))


def _chain(data: bytes) -> str:
    return f"{len(check_chain(data))} entries, each holding the one before"


def _heads(
    notes: dict[str, str], folder: str, logs: dict[str, bytes], keys: Sequence[Verifier]
) -> str:
    found = check_heads(notes, keys)
    of_kit = _OF_KIT.fullmatch(folder)
    for heads in found:
        if of_kit and heads.kit != of_kit["kit"]:
            raise BadFile(f"The note {heads.number:06} is of another kit, {heads.kit}.")
        if heads.broken:
            raise BadFile(
                f"At {heads.number:06} the recorder saw that this was written anew: "
                f"{', '.join(heads.broken)}."
            )
        for process, head in heads.logs.items():
            if process in logs and not holds(logs[process], head):
                raise BadFile(
                    f"The log of {process} is not the one that was signed at {heads.number:06}: "
                    f"its entry {head.number} is another or gone."
                )
    return f"{len(found)} notes, {_covered(found, logs)}"


def _covered(found: Sequence[Heads], logs: dict[str, bytes]) -> str:
    newest = found[-1].logs
    said = [
        f"{process} to {head.number}"
        + (f" of {len(lines(logs[process]))}" if process in logs else "")
        for process, head in sorted(newest.items())
    ]
    return "signed so far: " + (", ".join(said) or "nothing")


def _text(place: Place, name: str) -> str:
    file = place.open(name)
    if file is None:
        raise BadFile(f"{name} is not there.")
    with file:
        data = file.read(_LARGEST_TEXT + 1)
    if len(data) > _LARGEST_TEXT:
        raise BadFile(f"{name} is too long to be one of ours.")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise BadFile(f"{name} is damaged: it is not text.") from error


def _digest(read: Callable[[int], bytes], most: int) -> tuple[int, str]:
    """Of what has no end, no more is read than shows that it is too long."""
    size, digest = 0, hashlib.sha256()
    while size <= most and (piece := read(_PIECE)):
        size += len(piece)
        digest.update(piece)
    return size, digest.hexdigest()
