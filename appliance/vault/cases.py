"""Cases: one family's key, and everything sealed to it.

A case has an age identity of its own. Its secret lies in `identity-NNNN.age`, sealed to its
practitioners and the service; take those files away and every copy of every film of the case is
closed. When a practitioner joins, the same secret is sealed again in a new file; when one leaves,
or the service revokes one, a new secret is made for what follows, and its file holds the earlier
ones too. Nothing is ever sealed to somebody whom this kit does not obey now.

Documents are sealed to the case and signed inside the seal: anyone who can read the public
recipient could seal something to a case, so the seal alone says nothing of who wrote it.

    cases/<id>/case.json                    public: recipient, state
    cases/<id>/identity-0001.age            the case's secret; the highest number has all of them
    cases/<id>/team-0001-<digest>           public: whose case it is (`protocol.teams`)
    cases/<id>/documents/consent-0001-<home>.age
                                            numbered by the home that wrote it, none is overwritten;
                                            in force is what nothing replaces (`vault.versions`)
    cases/<id>/drafts/                      a consent that is being talked through; it stays here
    cases/<id>/clips/                       the moments that were chosen (`casework.clips`)
    cases/<id>/derived/<recording>/         what was mended of a film (`casework.repair`)
    cases/<id>/withdrawal                   the signed order, once the family has withdrawn
                                            (and more: `protocol.case_record`)
"""

import contextlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar, runtime_checkable

import msgspec

from appliance.age.identities import generate_identity, identity_lines, parse_identity
from appliance.age.recipients import parse_recipient
from appliance.age.sealing import seal
from appliance.age.unsealing import Identity, unseal
from appliance.errors import BadFile, BadInput, CaseWithdrawn, Incomplete, NoMatch, NotOpened
from appliance.protocol.cards import Card, CardChain, KitCard
from appliance.protocol.case_record import CaseRecord, is_withdrawn
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.names import Numbered, numbered, numbered_name
from appliance.protocol.teams import TEAM_NAME, CaseTeam, read_team, signed_team
from appliance.records.files import (
    ID,
    CaseFolder,
    Fact,
    Home,
    checked_id,
    from_json,
    lines,
    load_fact,
    new_id,
    paths_in,
    read_plain,
    save,
    save_fact,
    save_new,
    sync_directory,
)
from appliance.records.signing import Verifier, open_note
from appliance.vault.documents import (
    Document,
    Heading,
    digest_of,
    open_document,
    text_of,
    unreadable,
)
from appliance.vault.keys import PrivateKeys
from appliance.vault.versions import Replaced, Version, in_force, only_in_force

UNREADABLE = (BadInput, Incomplete, NoMatch, OSError)
"""What reading a document raises where it was damaged, written by another version or signed by
nobody who is believed. It allows nothing, and it stops nothing from being taken back or ended."""


class OtherKey(BadInput):
    """A key that is none of this case's."""

    code = "other-key"


_IDENTITY = re.compile(r"identity-[^/]*\.age")
_SEALED = re.compile(r"[a-z].*\.age")
_KEY_NUMBER = re.compile(r"identity-(?P<number>[0-9]{4})[-.].*")


class Details(Fact, frozen=True, kw_only=True, tag="details/v1"):
    """What the practitioner calls this family, and the word the family chose."""

    label: str
    check_word: str


class Team(Fact, frozen=True, kw_only=True, tag="team/v1"):
    """The practitioners of a case, and its recipient since they are just these."""

    members: tuple[Card, ...]
    recipient: str


class Goal(Fact, frozen=True, kw_only=True, tag="goal/v1"):
    id: str
    text: str


class Goals(Fact, frozen=True, kw_only=True, tag="goals/v1"):
    """What the family wants, in its own words, or that it is not ready to say."""

    goals: tuple[Goal, ...]
    not_yet: bool = False


@runtime_checkable
class Joins(Protocol):
    """A fact of which two, in force side by side, count as one: the more restrictive of both, or
    all that is in either. Of any other kind the later counts, and a page shows both."""

    def joined(self, other: Self) -> Self:
        """What this, the later, and another count as together."""


_F = TypeVar("_F", bound=Fact)


@dataclass(frozen=True)
class Written(Generic[_F]):
    """A version of a document that is in force."""

    fact: _F
    digest: str
    """SHA-256 (hex) of its signed text."""
    home: str
    """The home that wrote it; '' for one from before homes had names."""
    at: datetime | None
    """When, by that home's clock; None for one from before."""


@dataclass(frozen=True)
class OpenCase:
    """A case whose key is in memory. Writes are sealed to it and signed by `keys`."""

    directory: CaseFolder
    record: CaseRecord
    identities: tuple[Identity, ...]
    """What opens its films and documents: the identity in force, then the earlier ones."""
    keys: PrivateKeys
    verifiers: tuple[Verifier, ...]
    """Whose documents are believed."""
    home: str = ""
    """The name of the home that it is opened in, which its documents carry."""
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), compare=False)
    changing: threading.RLock = field(default_factory=threading.RLock, compare=False, repr=False)
    """Held by whoever reads a document in order to write it anew."""
    _known: dict[str, Version] = field(default_factory=dict, compare=False, repr=False)
    """The headings that were read, by their files' names: no file is ever written anew."""

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def identity(self) -> Identity:
        """The identity in force."""
        return self.identities[0]

    @property
    def team(self) -> tuple[Card, ...]:
        """The practitioners who can open it."""
        found = self.read(Team)
        return found.members if found else (self.keys.card(),)

    def write(self, fact: Fact, item: str = "") -> str:
        """Seal `fact` as the next of its name (its tag, and `item` where there are many), in place
        of all that is in force.

        Returns the SHA-256 (hex) of the signed text, by which other records refer to it.
        """
        stem = _name(type(fact), item)
        with self.changing:
            names = self._names(stem)
            number = max((one.number for one in names), default=0) + 1
            standing = [self._version(one.name) for one in self._in_force(names)]
            heading = Heading(
                case=self.id,
                name=stem,
                number=number,
                home=self.home,
                after=tuple(Replaced(one.name.file, one.digest) for one in standing),
                at=self.now(),
            )
            note = self.keys.signer.sign(text_of(heading, fact))
            path = self.directory.documents / numbered_name(stem, number, self.home)
            save_new(path, seal(note.encode(), [parse_recipient(self.record.recipient)]))
        return digest_of(note)

    def read(self, kind: type[_F], item: str = "") -> _F | None:
        """The document of this kind in force, or None. Where two homes left a fork, what both count
        as together (`Joins`), or else the later. Raises as `versions` does."""
        found = self.versions(kind, item)
        return _together([one.fact for one in found]) if found else None

    def read_with_digest(self, kind: type[_F], item: str = "") -> tuple[_F, str] | None:
        """The document in force and the SHA-256 (hex) of its signed text. What two count as
        together is written for that, in place of both. Raises as `versions` does."""
        found = self.versions(kind, item)
        if not found:
            return None
        if len(found) > 1 and isinstance(found[0].fact, Joins):
            with self.changing:
                fact = _together([one.fact for one in self.versions(kind, item)])
                return fact, self.write(fact, item)
        return found[0].fact, found[0].digest

    def versions(self, kind: type[_F], item: str = "") -> list[Written[_F]]:
        """What is in force of a document, the latest first: more than one where two homes that did
        not know of each other left a fork.

        Raises BadFile or BadSignature when what lies there is not what its name says. In a fork,
        one that cannot be read is passed over where the later counts; where both count together,
        it is in doubt.
        """
        return self._written(self._names(_name(kind, item)), kind)

    def forked(self) -> list[str]:
        """The names of documents of which more than one version is in force, such as `goals` or
        `clip-<id>`."""
        found: dict[str, list[Numbered]] = {}
        for name in self._names():
            found.setdefault(name.stem, []).append(name)
        return sorted(stem for stem, names in found.items() if len(self._in_force(names)) > 1)

    def keep(self, kind: type[Fact], digest: str, item: str = "") -> None:
        """Settle a fork: this one of those in force is written anew, in place of all. Raises
        NoMatch if it is none of them any more, and as `versions` does."""
        with self.changing:
            for one in self.versions(kind, item):
                if one.digest == digest:
                    self.write(one.fact, item)
                    return
        raise NoMatch("Someone has already chosen.", "Check the page again.")

    def read_by_digest(self, kind: type[_F], digest: str) -> _F | None:
        """The document whose signed text has this SHA-256 (hex), in force or not; or None.

        One that cannot be read, or was signed by somebody who is not believed any more, is none.
        """
        for name in self._names(_name(kind, "")):
            with contextlib.suppress(BadInput, Incomplete, NoMatch):
                found = self._read(name, kind)
                if found.digest == digest:
                    return found.fact
        return None

    def read_all(self, kind: type[_F]) -> list[_F]:
        """Every item of a kind that there are many of, each as it is in force."""
        return [
            _together([one.fact for one in self._written(names, kind)])
            for _, names in sorted(self._items(kind).items())
        ]

    def has(self, kind: type[Fact]) -> bool:
        """True if there is a document of this kind, whatever can be read of it."""
        return bool(self._names(_name(kind, "")))

    def files(self, kind: type[Fact]) -> tuple[str, ...]:
        """The names of all versions of a document: while they are the same, so is what they say."""
        return tuple(sorted(name.file for name in self._names(_name(kind, ""))))

    def salvage(self, kind: type[_F]) -> "Salvaged[_F]":
        """`read_all` for what must be ended or taken back whatever the card has lost: each item as
        it is in force or, where that cannot be read, as it was before. Raises nothing."""
        found: dict[str, _F] = {}
        lost: dict[str, Path] = {}
        for item, names in self._items(kind).items():
            standing = [one.name for one in self._in_force(names)]
            for name in [*standing, *(one for one in names if one not in standing)]:
                with contextlib.suppress(*UNREADABLE):
                    found[item] = self._read(name, kind).fact
                    break
            else:
                lost[item] = self.directory.documents / names[0].file
        return Salvaged(found, lost)

    def recording_of(self, path: Path) -> str:
        """The film that a document of another version speaks of, '' if it cannot be told."""
        with contextlib.suppress(*UNREADABLE, msgspec.DecodeError):
            note = unseal(read_plain(path), self.identities).decode(errors="replace")
            said = msgspec.json.decode(lines(open_note(note, self.verifiers)[0])[-1])
            return str(said.get("recording", "")) if isinstance(said, dict) else ""
        return ""

    @property
    def clips(self) -> Path:
        return self.directory.clips

    def _items(self, kind: type[Fact]) -> dict[str, list[Numbered]]:
        """The files of each item of a kind, the newest first: one look at the card."""
        start = _name(kind, "") + "-"
        found: dict[str, list[Numbered]] = {}
        for name in self._names():
            if name.stem.startswith(start):
                found.setdefault(name.stem.removeprefix(start), []).append(name)
        return found

    def _names(self, stem: str = "") -> list[Numbered]:
        """Every document, or those of a name, the newest first."""
        files = paths_in(self.directory.documents, _SEALED)
        names = [name for path in files if (name := numbered(path.name))]
        found = [name for name in names if stem in ("", name.stem)]
        return sorted(found, key=lambda name: (name.number, name.file), reverse=True)

    def _written(self, names: Sequence[Numbered], kind: type[_F]) -> list[Written[_F]]:
        found: list[Written[_F]] = []
        damaged: Exception | None = None
        for one in self._in_force(names):
            try:
                found.append(self._read(one.name, kind))
            except UNREADABLE as error:
                damaged = damaged or error
        if damaged and (not found or issubclass(kind, Joins)):
            raise damaged
        return found

    def _in_force(self, names: Sequence[Numbered]) -> list[Version]:
        """What of these versions is in force, the latest first; of the only one, no heading."""
        only = only_in_force(names)
        return [Version(only)] if only else in_force(self._version(name) for name in names)

    def _version(self, name: Numbered) -> Version:
        if name.file not in self._known:
            try:
                self._known[name.file] = self._document(name).version
            except UNREADABLE:
                return unreadable(name)
        return self._known[name.file]

    def _read(self, name: Numbered, kind: type[_F]) -> Written[_F]:
        document = self._document(name)
        version = document.version
        fact = from_json(document.body, kind)
        return Written(fact, version.digest, version.name.home, version.at)

    def _document(self, name: Numbered) -> Document:
        sealed = read_plain(self.directory.documents / name.file)
        return open_document(sealed, self.identities, self.verifiers, self.id, name)


@dataclass(frozen=True)
class Salvaged(Generic[_F]):
    """What can be read of the documents of a kind, and the items of which nothing can be."""

    found: dict[str, _F]
    lost: dict[str, Path]
    """The newest file of each."""

    def when(self, item: str) -> datetime:
        """When the lost document was written, as far as its file tells."""
        try:
            return datetime.fromtimestamp(self.lost[item].stat().st_mtime, UTC)
        except OSError:
            return datetime.fromtimestamp(0, UTC)


class Cases:
    """The cases on this kit. Only the web process writes here."""

    def __init__(self, home: Home, now: Callable[[], datetime] | None = None) -> None:
        """`now` is the time that documents carry: without it, this computer's."""
        self._home = home
        self._now = now or (lambda: datetime.now(UTC))

    def records(self) -> list[CaseRecord]:
        """The public face of every case that can be read, in no meaningful order.

        A damaged one must not hide the others. The recorder takes it for withdrawn.
        """
        found = map(_record, self._home.case_folders())
        return [record for record in found if isinstance(record, CaseRecord)]

    def unreadable(self, keys: PrivateKeys) -> list[str]:
        """The cases of this practitioner whose public face cannot be read, a newer form's too."""
        found = []
        for folder in self._home.case_folders():
            if isinstance(_record(folder), BadFile):
                with contextlib.suppress(NotOpened, BadFile, Incomplete):
                    open_case_identities(folder, [keys.identity])
                    found.append(folder.name)
        return found

    def create(
        self, details: Details, keys: PrivateKeys, service: CardChain, verifiers: Iterable[Verifier]
    ) -> OpenCase:
        """Make a case with a key of its own, sealed to this practitioner and the service.

        The key file is on the card before anything can be sealed to the case.
        """
        identity = _new_identity(service)
        record = CaseRecord(id=new_id(), recipient=str(identity.recipient), state="open")
        directory = self._home.case(record.id)
        directory.documents.mkdir(mode=0o750, parents=True)
        directory.clips.mkdir(mode=0o750)
        _save_identities(directory, [identity], [keys.card()], service)
        save_fact(directory.record, record)
        sync_directory(self._home.cases)
        case = self._opened(directory, record, (identity,), keys, verifiers)
        _write_team(case, (keys.card(),), record.recipient)
        case.write(details)
        return case

    def open(self, name: str, keys: PrivateKeys, verifiers: Iterable[Verifier]) -> OpenCase:
        """Open a case with a practitioner's key. Raises CaseWithdrawn, NoMatch or BadFile."""
        directory, record = self._not_withdrawn(name)
        identities = open_case_identities(directory, [keys.identity])
        if record.recipient not in {str(identity.recipient) for identity in identities}:
            # NoMatch if it was renewed and they are not of its team any more.
            _secrets(paths_in(directory, _IDENTITY)[-1], [keys.identity])
            raise BadFile("The key of this family and its record do not belong together.")
        identities = _in_force_first(identities, record.recipient)
        case = self._opened(directory, record, identities, keys, verifiers)
        teams: list[Team] = []
        # If its author is no longer enrolled, or it is damaged, it is ignored: the family must
        # still be able to withdraw.
        with contextlib.suppress(*UNREADABLE):
            teams = [one.fact for one in case.versions(Team)]
        here = {str(identity.recipient) for identity in identities}
        # The key of another home's may be there alone.
        team = next((one for one in teams if one.recipient in here), teams[0] if teams else None)
        if team is not None and team.recipient != record.recipient:
            if keys.card() not in team.members:
                raise NoMatch("You can no longer open this family.")
            if team.recipient not in here:
                raise BadFile("The newest key of this family is not here.")
            # The power went while somebody was leaving: what follows is not for them.
            case = _sealed_from_now_to(case, team.recipient)
        if team is not None:
            # A home of before there were public lists, or one where the power went in between. A
            # full card must not keep the family from its films.
            with contextlib.suppress(BadInput, OSError):
                _publish_team(case, team.members)
        return case

    def open_to_close(
        self, name: str, keys: PrivateKeys, verifiers: Iterable[Verifier]
    ) -> OpenCase:
        """Open a case whose record is damaged, for whoever has its key, to take it back and for
        nothing else: it is filmed no more. Raises as `open` does."""
        directory = self._home.case(name)
        if is_withdrawn(directory):
            raise CaseWithdrawn(
                "The family has withdrawn consent. Nothing of theirs can be opened any more."
            )
        identities = open_case_identities(directory, [keys.identity])
        record = CaseRecord(id=name, recipient=str(identities[0].recipient), state="open")
        return self._opened(directory, record, identities, keys, verifiers)

    def open_anew(
        self, name: str, sealed: bytes, keys: PrivateKeys, verifiers: Iterable[Verifier]
    ) -> OpenCase:
        """Open a case with its key file as the service `sealed` it to a practitioner's new card.

        Raises CaseWithdrawn, BadFile, OtherKey if it is not the key that the case is sealed to, and
        what `unseal` does where the card does not open it.
        """
        directory, record = self._not_withdrawn(name)
        identities = _in_force_first(_parsed(unseal(sealed, [keys.identity])), record.recipient)
        if record.recipient not in {str(identity.recipient) for identity in identities}:
            raise OtherKey("This is not the key that the family is sealed to.")
        case = self._opened(directory, record, identities, keys, verifiers)
        teams = [one.fact.recipient for one in case.versions(Team)]
        if teams and record.recipient not in teams:
            # The power went while somebody was leaving: what follows is sealed to another.
            raise OtherKey("The family has a newer key than this one.")
        return case

    def _opened(
        self,
        directory: CaseFolder,
        record: CaseRecord,
        identities: tuple[Identity, ...],
        keys: PrivateKeys,
        verifiers: Iterable[Verifier],
    ) -> OpenCase:
        kit = None
        # Whatever became of that, the family must still be able to withdraw.
        with contextlib.suppress(BadFile, OSError):
            kit = load_fact(self._home.kit_card, KitCard)
        home = kit.id if kit is not None and ID.fullmatch(kit.id) else ""
        return OpenCase(directory, record, identities, keys, tuple(verifiers), home, self._now)

    def _not_withdrawn(self, name: str) -> tuple[CaseFolder, CaseRecord]:
        directory = self._home.case(name)
        record = load_fact(directory.record, CaseRecord)
        if record is None or record.id != name:
            raise BadFile("There is no such family on this kit.")
        if record.state == "withdrawn" or is_withdrawn(directory):
            raise CaseWithdrawn(
                "The family has withdrawn consent. Nothing of theirs can be opened any more."
            )
        return directory, record

    def admit(self, case: OpenCase, member: Card, enrolled: Enrolled) -> OpenCase:
        """Let another practitioner open the case: its secrets are sealed again, to all of them. If
        one of its own was revoked, it gets a new key as well. Safe to call again.

        Returns the case as it is now. Raises BadInput for somebody who is not obeyed here, or for a
        key of the other type.
        """
        if member not in enrolled.practitioners:
            raise BadInput(
                "This person is not a practitioner of this kit.",
                "Add them to the kit first. You cannot add someone the service has removed.",
            )
        team = case.team
        if strangers(team, enrolled):
            return self._renew(case, [*team, member], enrolled)
        if member not in team:
            # The key first: who is in the team can open it, whenever the power goes.
            _save_identities(case.directory, case.identities, [*team, member], enrolled.chain)
            _write_team(case, (*team, member), case.record.recipient)
        return case

    def release(self, case: OpenCase, member: str, enrolled: Enrolled) -> OpenCase:
        """A practitioner leaves: from now on everything is sealed to a new identity of the case.

        `member` is the name on a card. What was sealed before stays open to whoever has kept the
        old key, and so to them; nothing that follows does. Returns the case as it is now: the kit
        must be armed anew, and the recorder asks for presence, for it knows the old recipient.
        Safe to call again. Raises BadInput for the practitioner whose keys do this.
        """
        if member == case.keys.signer.verifier.name:
            raise BadInput(
                "You cannot remove yourself from a family.",
                "Ask another practitioner of this family.",
            )
        return self._renew(case, [card for card in case.team if card.name != member], enrolled)

    def renew(self, case: OpenCase, enrolled: Enrolled) -> OpenCase:
        """Whoever of the case was revoked leaves it, as with `release`, though nobody asks for it:
        they have kept the key that it had until now. Safe to call again."""
        team = case.team
        return self._renew(case, team, enrolled) if strangers(team, enrolled) else case

    def _renew(self, case: OpenCase, team: Iterable[Card], enrolled: Enrolled) -> OpenCase:
        """Give the case a new identity, sealed to those of this team whom the kit obeys."""
        stay = tuple(dict.fromkeys(card for card in team if card in enrolled.practitioners))
        if case.keys.card() not in stay:
            raise NoMatch("You can no longer open this family.")
        identity = _new_identity(enrolled.chain)
        # The key first, for nothing may be sealed to one that is not on the card; then who stays,
        # which `open` believes; then the recipient that is sealed to.
        _save_identities(case.directory, [identity, *case.identities], stay, enrolled.chain)
        _write_team(case, stay, str(identity.recipient))
        renewed = replace(case, identities=(identity, *case.identities))
        return _sealed_from_now_to(renewed, str(identity.recipient))


def _write_team(case: OpenCase, members: tuple[Card, ...], recipient: str) -> None:
    """Who works in a case from now on: sealed, with their cards, and in public, with their names on
    those alone."""
    case.write(Team(members=members, recipient=recipient))
    _publish_team(case, members)


def _publish_team(case: OpenCase, members: Iterable[Card]) -> None:
    """Have the public list (`protocol.teams`) say who works in a case. Safe to call again."""
    directory = case.directory
    names = tuple(sorted(card.name for card in members))
    lists = [CaseTeam(case=case.id, number=0, members=())]
    for path in paths_in(directory, TEAM_NAME):
        with contextlib.suppress(BadInput, FileNotFoundError):
            lists.append(read_team(path.name, read_plain(path), case.id, case.verifiers)[0])
    newest = max(team.number for team in lists)
    if (newest, names) not in [(team.number, team.members) for team in lists]:
        name, note = signed_team(case.keys.signer, case.id, newest + 1, names)
        save(directory / name, note)


def strangers(team: Iterable[Card], enrolled: Enrolled) -> tuple[Card, ...]:
    """Those of a case's practitioners whom this kit obeys no more: they have kept its key."""
    return tuple(card for card in team if card not in enrolled.practitioners)


def open_case_identities(directory: Path, identities: Sequence[Identity]) -> tuple[Identity, ...]:
    """The secrets of the case in a kit's or a store's `directory`, opened with any of `identities`.

    All that these may have, the newest first. Raises CaseWithdrawn if there is no key file,
    NoMatch if none of the keys opens one.
    """
    files = paths_in(directory, _IDENTITY)
    if not files:
        raise CaseWithdrawn(
            "The key to this family is not here.",
            "If the family has withdrawn consent, their films cannot be opened any more.",
        )
    found: dict[str, Identity] = {}
    damaged: BadInput | Incomplete | None = None
    for path in reversed(files):
        # A damaged one, or rubbish, must not keep the others closed.
        try:
            for identity in _secrets(path, identities):
                found.setdefault(str(identity.recipient), identity)
        except NoMatch:
            continue
        except (BadInput, Incomplete) as error:
            damaged = error
    if not found and damaged is not None:
        raise damaged
    if not found:
        raise NoMatch(
            "The key given does not open this family.",
            "Use the key of one of their practitioners or of the service.",
        )
    return tuple(found.values())


def team_document(
    sealed: bytes,
    identities: Sequence[Identity],
    verifiers: Sequence[Verifier],
    case: str,
    name: Numbered,
) -> Team:
    """Who works in a case, as one of its sealed lists says. Raises what `open_document` does."""
    return from_json(open_document(sealed, identities, verifiers, case, name).body, Team)


def teams_in_force(
    sealed: Mapping[Numbered, bytes],
    identities: Sequence[Identity],
    verifiers: Sequence[Verifier],
    case: str,
) -> list[Team]:
    """Who works in a case, as those of its sealed lists say that nothing replaces. Raises what
    `open_document` does where none of these can be read."""
    known: dict[Version, Team] = {}
    versions = []
    damaged: BadInput | Incomplete | NoMatch | None = None
    for name, data in sealed.items():
        try:
            document = open_document(data, identities, verifiers, case, name)
            versions.append(document.version)
            known[document.version] = from_json(document.body, Team)
        except (BadInput, Incomplete, NoMatch) as error:
            versions.append(unreadable(name))
            damaged = error
    found = [known[one] for one in in_force(versions) if one in known]
    if damaged is not None and not found:
        raise damaged
    return found


def _together(facts: Sequence[_F]) -> _F:
    """What several in force count as, the latest first."""
    first = facts[0]
    if isinstance(first, Joins):
        return reduce(lambda one, other: one.joined(other), facts[1:], first)
    return first


def _record(folder: CaseFolder) -> CaseRecord | BadFile | None:
    try:
        return load_fact(folder.record, CaseRecord)
    except BadFile as error:
        return error


def _secrets(path: Path, identities: Sequence[Identity]) -> list[Identity]:
    return _parsed(unseal(read_plain(path), identities))


def _parsed(secrets: bytes) -> list[Identity]:
    return [parse_identity(line) for line in identity_lines(secrets.decode(errors="replace"))]


def _in_force_first(identities: Sequence[Identity], recipient: str) -> tuple[Identity, ...]:
    # A sort keeps the order of the others.
    return tuple(sorted(identities, key=lambda one: str(one.recipient) != recipient))


def _sealed_from_now_to(case: OpenCase, recipient: str) -> OpenCase:
    record = msgspec.structs.replace(case.record, recipient=recipient)
    identities = _in_force_first(case.identities, recipient)
    save_fact(case.directory.record, record)
    return replace(case, record=record, identities=identities)


def _new_identity(service: CardChain) -> Identity:
    return generate_identity(x25519=service.first.sealing_key().kind == "x25519")


def _save_identities(
    directory: CaseFolder, identities: Sequence[Identity], team: Sequence[Card], service: CardChain
) -> None:
    """The case's secrets as the next key file, an identity file of age once it is opened."""
    names = [path.name for path in paths_in(directory, _IDENTITY)]
    number = 1 + max(
        (int(match["number"]) for name in names if (match := _KEY_NUMBER.fullmatch(name))),
        default=0,
    )
    secrets = "".join(f"{identity.secret_text()}\n" for identity in identities)
    save_new(directory.identity(number), seal(secrets.encode(), service.recipients(*team)))


def stem_of(kind: type[Fact]) -> str:
    """What documents of a kind are called."""
    return str(kind.__struct_config__.tag).partition("/")[0]


def _name(kind: type[Fact], item: str) -> str:
    return f"{stem_of(kind)}-{checked_id(item)}" if item else stem_of(kind)
