"""Cases' keys, carried to the opening key and back on a stick (`custody.stick`), to let somebody in
or to seal them anew: that key is never beside the store.

Whoever answers reads who would be let in before they do it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.age.identities import parse_identity
from appliance.base.cases import every_case, teams_there
from appliance.base.custody.anew import (
    Resealed,
    Verdict,
    files_of,
    has_keys,
    opened,
    put_resealed,
    service_key_file,
    verdict,
)
from appliance.base.custody.stick import (
    Answer,
    AnyAnswer,
    Asked,
    AskedInstead,
    Given,
    Question,
    Want,
    begin,
    clear,
    nothing_half,
    put_answer,
    put_ask,
    put_file,
    read_file,
)
from appliance.base.ledger import Ledger
from appliance.base.people import Recovered, SealedKey, give_key
from appliance.errors import BadFile, BadInput, CaseWithdrawn, Incomplete, NoMatch
from appliance.protocol.cards import Card
from appliance.protocol.names import Numbered, numbered
from appliance.protocol.objects import case_object, tombstone_object
from appliance.records.clock import Clock
from appliance.records.files import checked_id, new_id
from appliance.stores.store import ServiceStore, is_there, read_small
from appliance.vault.cases import teams_in_force
from appliance.vault.keys import PrivateKeys


@dataclass(frozen=True)
class LetIn:
    """Who is to be let in."""

    to: Card
    kit: str = ""
    """The kit that lets them in, '' for none."""
    before: str = ""
    """In every case in which the card of this name works, '' for none."""
    people: Sequence[Card] = ()
    """Whoever works or worked here, whose lists say who works in a case."""


def ask(
    store: ServiceStore,
    keys: PrivateKeys,
    ledger: Ledger,
    clock: Clock,
    directory: Path,
    cases: Sequence[str],
    who: LetIn | None = None,
) -> int:
    """Write on a stick what is asked for; returns how many cases are carried. Without `cases`, and
    where only the opening key can tell which are meant, every case that was not withdrawn. Raises
    BadInput where the stick holds something that was not taken yet, CaseWithdrawn for a case that
    was named and is, NotPossible where the stick is full."""
    begin(directory)
    for case in cases:
        if _is_closed(store, ledger, case, even_held=who is None):
            raise withdrawn(case)
    name, now, card = new_id(), clock.read().wall, keys.chain.digest
    with nothing_half(directory, "asked", "cards", "ask"):
        asked: Asked | AskedInstead
        if who is None or not who.before:
            wants = _wants(store, ledger, directory, cases or every_case(store), held=who is None)
            to, kit = (who.to, who.kit) if who else (None, "")
            asked = Asked(id=name, at=now, card=card, to=to, kit=kit, wants=wants)
        else:
            wants = _wants(store, ledger, directory, every_case(store), held=False)
            asked = AskedInstead(
                id=name,
                at=now,
                card=card,
                to=who.to,
                before=who.before,
                kit=who.kit,
                also=tuple(cases),
                people=tuple(who.people),
                wants=wants,
                lists={want.case: _lists(store, directory, want.case) for want in wants},
            )
        put_ask(directory, keys, ledger, asked)
    return len(wants)


def check_open(store: ServiceStore, ledger: Ledger, case: str) -> None:
    """Raises CaseWithdrawn for a case that was withdrawn, also under a hold."""
    if _is_closed(store, ledger, case):
        raise withdrawn(case)


def withdrawn(case: str) -> CaseWithdrawn:
    return CaseWithdrawn(
        f"The family of case {case} has withdrawn.",
        "Nothing of it is opened any more, for anybody. A hold keeps it as it is.",
    )


@dataclass(frozen=True)
class Chosen:
    """A case that is meant."""

    want: Want
    known: bool = True
    """False where nobody can tell who works in it: then nobody is let in."""


def chosen(keys: PrivateKeys, directory: Path, asked: Asked | AskedInstead) -> list[Chosen]:
    """The cases that are meant, as far as the keys here can tell. Raises BadInput."""
    if isinstance(asked, Asked):
        return [Chosen(want) for want in asked.wants]
    meant = []
    for want in asked.wants:
        works = want.case in asked.also or _works_in(keys, directory, asked, want)
        if works is not False:
            meant.append(Chosen(want, known=bool(works)))
    return meant


def answer(
    keys: PrivateKeys,
    clock: Clock,
    directory: Path,
    asked: Asked | AskedInstead,
    cases: Sequence[Chosen],
) -> Answer:
    """Do what is asked for in these cases, and write it on the stick. Safe to call again. Raises
    BadInput, NotPossible where the stick is full."""
    people = [asked.to] if asked.to else []
    done = []
    with nothing_half(directory, "given", "answer"):
        for one in cases:
            files = _files(directory, one.want)
            said = verdict(keys, files, people) if one.known else Verdict()
            digest = put_file(directory / "given", said.sealed) if said.sealed else ""
            done.append(
                Given(case=one.want.case, number=said.number, sha256=digest, left=said.left)
            )
        told = Answer(id=asked.id, at=clock.read().wall, cases=tuple(done))
        put_answer(directory, keys, told)
    return told


def take(
    store: ServiceStore,
    keys: PrivateKeys,
    ledger: Ledger,
    clock: Clock,
    directory: Path,
    asked: Question,
    told: AnyAnswer,
) -> list[Resealed | Recovered]:
    """Take in what was answered (`stick.read_answer`). Safe to call again, until it is done. Raises
    BadFile for an answer to something else, SendInterrupted, SendRefused."""
    if not isinstance(asked, Asked | AskedInstead) or not isinstance(told, Answer):
        raise BadFile("This answer speaks of what was not asked for.")
    wants = {want.case: want for want in asked.wants}
    done: list[Resealed | Recovered] = []
    for given in told.cases:
        if given.case not in wants or not set(given.left) <= set(wants[given.case].files):
            raise BadFile("This answer speaks of what was not asked for.")
        done.append(_take(store, keys, ledger, clock, directory, asked, given))
    ledger.write("taken", asked.id)
    clear(directory)
    return done


def _take(
    store: ServiceStore,
    keys: PrivateKeys,
    ledger: Ledger,
    clock: Clock,
    directory: Path,
    asked: Asked | AskedInstead,
    given: Given,
) -> Resealed | Recovered:
    case = checked_id(given.case)
    if _is_closed(store, ledger, case, even_held=asked.to is None):
        return Resealed(case, why="The family has withdrawn meanwhile.")
    if not given.number:
        unknown = ", or who works in it cannot be known" if isinstance(asked, AskedInstead) else ""
        return Resealed(case, why=f"No key there opens it, or it holds far too many{unknown}.")
    sealed = b""
    if given.sha256:
        sealed = read_file(directory / "given", given.sha256)
    if asked.to is None:
        new = service_key_file(given.number, keys.chain)
        left = tuple(case_object(case, name) for name in given.left if name != new)
        return put_resealed(store, keys, case, Verdict(given.number, sealed, left))
    key = SealedKey(case, given.number, sealed)
    return give_key(store, keys, ledger, clock, asked.to, key, asked.kit)


def _is_closed(store: ServiceStore, ledger: Ledger, case: str, even_held: bool = False) -> bool:
    """`even_held`: what a hold keeps is sealed anew, and opened for nobody."""
    if ledger.closing(case) is not None:
        return not (even_held and has_keys(ledger, case))
    return is_there(store, tombstone_object(checked_id(case)))


def _wants(
    store: ServiceStore, ledger: Ledger, directory: Path, cases: Sequence[str], held: bool
) -> tuple[Want, ...]:
    """The key files of these cases, on the stick."""
    wants = []
    for case in cases:
        if _is_closed(store, ledger, case, held):
            continue
        files = {
            name.rpartition("/")[2]: put_file(directory / "asked", sealed)
            for name, _number, sealed in files_of(store, case)
        }
        if files:
            wants.append(Want(case=case, files=files))
    return tuple(wants)


def _lists(store: ServiceStore, directory: Path, case: str) -> dict[str, str]:
    """The lists of who works in a case, on the stick."""
    return {
        name.file: put_file(
            directory / "asked",
            read_small(store, case_object(case, f"documents/{name.file}")) or b"",
        )
        for name in teams_there(store, case)
    }


def _works_in(keys: PrivateKeys, directory: Path, asked: AskedInstead, want: Want) -> bool | None:
    """Whether the one who is named works in a case; None where nobody can tell."""
    secrets = [parse_identity(line) for line in opened(keys, _files(directory, want))]
    if not secrets:
        return None
    lists = {}
    for name, digest in asked.lists.get(want.case, {}).items():
        lists[_named(name, "team")] = read_file(directory / "asked", digest)
    people = [card.verifying_key() for card in asked.people]
    try:
        teams = teams_in_force(lists, secrets, people, want.case)
    except (BadInput, Incomplete, NoMatch):
        return None
    return any(asked.before == card.name for team in teams for card in team.members)


def _files(directory: Path, want: Want) -> list[tuple[str, int, bytes]]:
    return [
        (name, _named(name, "identity").number, read_file(directory / "asked", digest))
        for name, digest in sorted(want.files.items())
    ]


def _named(name: str, stem: str) -> Numbered:
    found = numbered(name)
    if found is None or found.stem != stem:
        raise BadFile("What is asked for names something else than was meant.")
    return found
