"""Whether a store holds what it should. Nothing is changed.

By its listing, every file that a signed manifest names is there, in its size; of a sample, byte for
byte. Each case has the keys that its films are sealed to, in files that the service's own opens,
unless it was withdrawn: then it has none. Once the service's newest card names two keys or more
that open, each of these files is sealed to so many. Each answer is the one that the ledger knows,
and nothing lies there that belongs to nothing.

The listing is gone through once, in the order of names, and no more of it is kept than one film.
Without an opening key, of a case's key it is seen only that it is sealed, and to how many: a sealed
file does not say to whom. What one has seen elsewhere of a file with just this content counts as
seen.

It cannot miss a film whose manifest is gone as well, nor a document: that a kit sees, which holds
its receipts against the store.
"""

import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from itertools import groupby
from typing import Literal

from appliance.age.identities import identity_lines, parse_identity
from appliance.age.unsealing import Identity, unseal
from appliance.base import refusals
from appliance.base.keeping.films_read import FilmRead
from appliance.base.keeping.recipients import looked_at, not_to_all, sealed_to_how_many
from appliance.base.ledger import Ledger
from appliance.base.orders import put_note, read_or_none
from appliance.errors import BadInput, Incomplete, NoMatch
from appliance.film.manifest import FilmStarted, parse_manifest
from appliance.protocol.audits import NAMED, NAMED_CASES, StoreAudit
from appliance.protocol.cards import CardChain
from appliance.protocol.hold_reasons import WHY_NAME
from appliance.protocol.names import numbered
from appliance.protocol.objects import NEWEST_AUDIT, audit_object, hold_object, tombstone_object
from appliance.protocol.permits import recipient_digest
from appliance.protocol.teams import TEAM_NAME, read_team
from appliance.records.files import ID
from appliance.records.signing import Verifier, sign_fact
from appliance.stores.store import Entry, ServiceStore, measure
from appliance.vault.keys import PrivateKeys

Code = Literal[
    "missing",
    "size",
    "content",
    "manifest",
    "no-manifest",
    "key",
    "recipients",
    "stray",
    "key-left",
    "film-left",
    "answer",
    "orphan",
]
SENTENCES: dict[Code, str] = {
    "missing": "is named by its film's manifest and is not there: it is on its way, or was lost.",
    "size": "has another size than its film's manifest says.",
    "content": "is not what its film's manifest says.",
    "manifest": "cannot be believed: it is damaged, is another film's, or no kit or person of this "
    "service signed it.",
    "no-manifest": "is a film whose manifest was lost.",
    "key": "has no key that the service can use, or lacks one that its films are sealed to, so "
    "that nobody here can open them.",
    "recipients": "is sealed to fewer keys than open by the service's newest card: if one of them "
    "is lost, nobody here may be able to open it. Seal it anew: reseal, or ask where the opening "
    "key is elsewhere.",
    "stray": "is a folder that no kit or base is known to have made: nothing in it is signed by "
    "one that is enrolled here, and the ledger does not know it. Whoever has a kit's way in can "
    "put it there. If a kit of yours has this case, let it send; if none has, remove the folder.",
    "key-left": "is a key of a case that was withdrawn.",
    "film-left": "is of a film that was taken back.",
    "answer": "is not the answer that the ledger knows.",
    "orphan": "belongs to nothing: no manifest names it, and nothing of this kind is kept there.",
}
LOST: frozenset[Code] = frozenset(("missing", "size", "content", "manifest", "no-manifest", "key"))
"""What means that the store does not hold what it was given. Not `stray`: of that nobody can say
that it was ever given."""

_ID = ID.pattern
_FILM = re.compile(rf"(?P<film>cases/(?P<case>{_ID})/(recordings|imports)/(?P<id>{_ID})/).+")
_KEY = re.compile(rf"cases/(?P<case>{_ID})/identity-.+")
_CASE = re.compile(rf"cases/(?P<case>{_ID})/.+")
_OURS = re.compile(
    rf"cases/{_ID}/([^/]+|(documents|clips|derived/{_ID}|shares/{_ID}|(recordings|imports)/{_ID})"
    r"/[^/]+)|(audits|begun|holds|kits|orders|purged|revoked|service|tombstones)/.+"
)
_UNSEEN = ""
LARGEST_MANIFEST = 64 << 20
"""Bytes: no manifest is longer."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    object: str
    code: Code

    @property
    def sentence(self) -> str:
        return f"{self.object} {SENTENCES[self.code]}"


@dataclass(frozen=True)
class Audit:
    """What was looked at, and what was found."""

    objects: int
    cases: int
    films: int
    read: int
    """Files of films that were read and compared byte for byte."""
    opened: bool
    """Each case's key was opened, here or by an opening key elsewhere."""
    unopened: int
    """Cases of which that was not done, although an opening key looked elsewhere: their keys came
    since."""
    findings: tuple[Finding, ...]
    whole: tuple[FilmRead, ...] = ()
    """Films of kits of which every byte was read, and is as it should be, with a key that opens."""


@dataclass
class Auditor:
    """One look through a store."""

    store: ServiceStore
    identities: Sequence[Identity]
    """What opens the service's keys of cases; none for a machine that has nothing that opens."""
    signers: Sequence[Verifier]
    """Kits and people whose manifests count."""
    ledger: Ledger
    sample: float = 0.0
    """Which part of the files of films is read, from 0 to 1."""
    chance: Callable[[], float] = random.SystemRandom().random
    seen: Mapping[str, Sequence[str]] | None = None
    """What an opening key has seen elsewhere: by the SHA-256 (hex) of a key file, the digests of
    what it holds (`custody.opening`)."""
    service: CardChain | None = None
    """To whose keys a case's key must be sealed; None: it is not looked at."""
    of_kit: str = ""
    """Whose films are kept in `films_seen`."""
    films_seen: list[str] = field(default_factory=list)
    """By the listing, each file that their manifests name is there."""
    _taken_back: set[tuple[str, str]] = field(default_factory=set)
    _to_read: list[tuple[str, str]] = field(default_factory=list)
    _drawn: list[tuple[FilmRead, frozenset[str]]] = field(default_factory=list)
    """Films of which every file is read, with the names of these."""
    _cases: int = 0
    _films: int = 0
    _objects: int = 0
    _unopened: int = 0

    def and_read(self, store: ServiceStore, findings: Iterable[Finding]) -> Audit:
        """Read the sample that `listed` has drawn, from `store`: this may take hours. Raises
        SendInterrupted, SendRefused."""
        found = list(findings)
        for name, sha256 in self._to_read:
            if not _holds(store, name, sha256):
                found.append(Finding(name, "content"))
        wrong = {finding.object for finding in found}
        return Audit(
            self._objects,
            self._cases,
            self._films,
            len(self._to_read),
            bool(self.identities) or (self.seen is not None and not self._unopened),
            self._unopened,
            tuple(found),
            tuple(f for f, files in self._drawn if not wrong & {*files, f"cases/{f.case}"}),
        )

    def listed(self) -> Iterator[Finding]:
        """What the listing, manifests, keys and answers show. Raises SendInterrupted,
        SendRefused."""
        self._taken_back = {
            (line.ids["case"], line.ids["film"])
            for line in self.ledger.of("answered").values()
            if line.ids["film"]
        }
        answers: list[str] = []
        holds = {hold_object(*hold.split("/")) for hold in self.ledger.of("held")}
        for case, entries in groupby(self.store.list(""), _case_of):
            if case:
                self._cases += 1
                yield from self._case(case, entries)
                continue
            for entry in entries:
                self._objects += 1
                if entry.name.startswith("tombstones/"):
                    answers.append(entry.name)
                elif entry.name.startswith("holds/"):
                    # A hold is listed before the reason for it.
                    holds.add(entry.name)
                    if _hold_of(entry.name) not in holds:
                        yield Finding(entry.name, "orphan")
                elif not _OURS.fullmatch(entry.name):
                    yield Finding(entry.name, "orphan")
        yield from self._answers(answers)

    def _case(self, case: str, entries: Iterable[Entry]) -> Iterator[Finding]:
        keys: list[str] = []
        teams: list[str] = []
        sealed_to: set[str] = set()
        found: list[Finding] = []
        for film, files in groupby(entries, film_of):
            if film:
                sizes = {entry.name: entry.size for entry in files}
                self._objects += len(sizes)
                self._films += 1
                found += self._film(film, sizes, sealed_to)
                continue
            for entry in files:
                self._objects += 1
                if _KEY.fullmatch(entry.name):
                    keys.append(entry.name)
                elif not _OURS.fullmatch(entry.name):
                    found.append(Finding(entry.name, "orphan"))
                elif TEAM_NAME.fullmatch(entry.name.rpartition("/")[2]):
                    teams.append(entry.name)
        found += self._keys(case, keys, sealed_to)
        lost = any(finding.code in LOST for finding in found)
        # What a film was sealed to is known only of one whose manifest is believed.
        if lost and not sealed_to and not self._is_known(case, teams):
            found = [Finding(f"cases/{case}", "stray")]
        yield from found

    def _is_known(self, case: str, teams: Sequence[str]) -> bool:
        """True if the ledger knows this case, or somebody of the service signed who works in it."""
        if self.ledger.closing(case) or case in self.ledger.of("emptied"):
            return True
        if any(hold.startswith(f"{case}/") for hold in self.ledger.of("held")):
            return True
        for name in teams:
            with suppress(BadInput):
                note = read_or_none(self.store, name) or b""
                read_team(name.rpartition("/")[2], note, case, self.signers)
                return True
        return False

    def _film(self, film: str, sizes: dict[str, int], sealed_to: set[str]) -> Iterator[Finding]:
        match = _FILM.fullmatch(f"{film}manifest")
        gone = self.ledger.of("emptied")
        if match and ((match["case"], match["id"]) in self._taken_back or match["case"] in gone):
            yield Finding(film, "film-left")
            return
        if f"{film}manifest" not in sizes:
            yield Finding(film, "no-manifest")
            return
        text = self._text(f"{film}manifest")
        try:
            manifest = parse_manifest(text, self.signers)
        except BadInput:
            manifest = None
        # Only what is finished and signed is ever sent.
        if manifest is None or manifest.signed_by is None or not is_of(manifest.started, film):
            yield Finding(f"{film}manifest", "manifest")
            return
        sealed_to.add(manifest.started.recipient)
        whole = True
        left = set(sizes) - {f"{film}manifest"}
        drawn = len(self._to_read)
        for name, size, sha256 in manifest.files:
            left.discard(film + name)
            there = sizes.get(film + name)
            whole = whole and there == size
            if there is None:
                yield Finding(film + name, "missing")
            elif there != size:
                yield Finding(film + name, "size")
            elif self.chance() < self.sample:
                self._to_read.append((film + name, sha256))
        if whole and manifest.started.kit == self.of_kit:
            self.films_seen.append(manifest.started.recording)
        read = frozenset(name for name, _sha256 in self._to_read[drawn:])
        if read and len(read) == len(manifest.files) and "/recordings/" in film:
            self._drawn.append((_read(manifest.started, text), read))
        for name in sorted(left):
            yield Finding(name, "orphan")

    def _keys(self, case: str, keys: Sequence[str], sealed_to: set[str]) -> Iterator[Finding]:
        closing = self.ledger.closing(case)
        if closing is not None and not closing.ids["held"]:
            for name in keys:
                yield Finding(name, "key-left")
            return
        read = cache(lambda name: read_or_none(self.store, name) or b"")
        if not self._open(keys, sealed_to, read):
            yield Finding(f"cases/{case}", "key")
        elif self.service is not None and self.service.newest is not None:
            files = {}
            for name in keys:
                if numbered(file := name.rpartition("/")[2]):
                    files[name] = looked_at(file, read(name), self.service, self.identities)
            for name in not_to_all(files):
                yield Finding(name, "recipients")

    def _open(self, keys: Sequence[str], sealed_to: set[str], read: Callable[[str], bytes]) -> bool:
        """True if these files hold a key of the case and each that its films are sealed to."""
        looks = bool(self.identities) or self.seen is not None
        held: set[str] = set()
        # Whoever has a kit's way in can put rubbish on top: it is passed by.
        for name in reversed(keys):
            if numbered(name.rpartition("/")[2]):
                held |= self._held(read(name))
                real = held - {_UNSEEN}
                if (real and real >= sealed_to) or (held and not looks):
                    return True
        # What came since it was asked may be what is lacking.
        self._unopened += _UNSEEN in held
        return _UNSEEN in held

    def _held(self, sealed: bytes) -> set[str]:
        """The digest of each key that a key file holds; where no opening key has looked, one that
        stands for whatever it is."""
        digest = hashlib.sha256(sealed).hexdigest()
        if not self.identities and self.seen is not None and digest in self.seen:
            return set(self.seen[digest])
        if not self.identities:
            return {_UNSEEN} if sealed_to_how_many(sealed) else set()
        with suppress(BadInput, Incomplete, NoMatch, UnicodeDecodeError):
            lines = identity_lines(unseal(sealed, self.identities).decode())
            return {recipient_digest(str(parse_identity(line).recipient)) for line in lines}
        return set()

    def _answers(self, lie: Sequence[str]) -> Iterator[Finding]:
        known = {
            where: note
            for where, note in refusals.told(self.ledger).items()
            if where.startswith("tombstones/")
        }
        for order, line in self.ledger.of("answered").items():
            where = tombstone_object(line.ids["case"] if line.ids["whole"] else order)
            if not line.ids["whole"] or self.ledger.closing(line.ids["case"]) is line:
                known[where] = line.ids["answer"].encode()
        there = set(lie)
        for name in sorted(there | set(known)):
            if name not in there or read_or_none(self.store, name) != known.get(name):
                yield Finding(name, "answer")

    def _text(self, name: str) -> str:
        file = self.store.open(name)
        if file is None:
            return ""
        with file:
            return file.read(LARGEST_MANIFEST).decode(errors="replace")


def newest_audit(store: ServiceStore, service: CardChain) -> StoreAudit | None:
    """The newest audit that this service signed, None if there is none. Raises SendInterrupted,
    SendRefused."""
    for entry in sorted(store.list("audits/"), key=lambda entry: entry.name, reverse=True):
        # Whoever has a kit's way in may have put anything there.
        with suppress(BadInput):
            found = service.word(read_or_none(store, entry.name) or b"", StoreAudit)
            if audit_object(found.number) == entry.name:
                return found
    return None


def lost_of(findings: Iterable[Finding]) -> tuple[tuple[str, ...], int]:
    """What a signed audit names as lost, and how much is lost besides. Where there is much of it,
    the cases in which it was: a kit looks for its own. Folders that anybody may have made come last
    and are never counted as lost: however many they are, they hide nothing that is."""
    found = list(findings)
    lost = [finding.object for finding in found if finding.code in LOST]
    strays = [finding.object for finding in found if finding.code == "stray"]
    most = NAMED
    if len(lost) > NAMED:
        lost = list(dict.fromkeys("/".join(name.split("/")[:2]) for name in lost))
        most = NAMED_CASES
    return tuple([*lost, *strays][:most]), len(lost[most:])


def sign_audit(
    store: ServiceStore, keys: PrivateKeys, audit: Audit, waiting: int, began: datetime
) -> tuple[StoreAudit, bytes]:
    """Put what an audit found at the store, signed, under the next number; returns it, and the
    note. Raises SendInterrupted, SendRefused."""
    before = newest_audit(store, keys.chain)
    lost, more = lost_of(audit.findings)
    told = StoreAudit(
        number=before.number + 1 if before else 1,
        at=began,
        objects=audit.objects,
        cases=audit.cases,
        films=audit.films,
        read=audit.read,
        opened=audit.opened,
        waiting=waiting,
        found=dict(Counter(finding.code for finding in audit.findings)),
        lost=lost,
        more=more,
    )
    note = sign_fact(keys.signer, told).encode()
    for name in (audit_object(told.number), NEWEST_AUDIT):
        put_note(store, name, note)
    return told, note


def _read(started: FilmStarted, manifest: str) -> FilmRead:
    digest = hashlib.sha256(manifest.encode()).hexdigest()
    return FilmRead(started.kit, started.case, started.recording, digest)


def _hold_of(name: str) -> str:
    """The hold that a reason is for; the name itself, where it is no reason."""
    folder, _, file = name.rpartition("/")
    why = WHY_NAME.fullmatch(file)
    return f"{folder}/{why['hold']}" if why else name


def _case_of(entry: Entry) -> str:
    found = _CASE.fullmatch(entry.name)
    return found["case"] if found else ""


def film_of(entry: Entry) -> str:
    """The folder of the film that a file is of, '' for one of none."""
    found = _FILM.fullmatch(entry.name)
    return found["film"] if found else ""


def is_of(started: FilmStarted, film: str) -> bool:
    """True if a film that began so belongs into this folder."""
    match = _FILM.fullmatch(f"{film}manifest")
    return match is not None and (started.case, started.recording) == (match["case"], match["id"])


def _holds(store: ServiceStore, name: str, sha256: str) -> bool:
    file = store.open(name)
    if file is None:
        return False
    with file:
        return measure(file).sha256 == sha256
