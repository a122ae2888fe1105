"""Who works with a family, as far as base can tell: the case's sealed lists where its key opens
them, and otherwise the public ones (`protocol.teams`)."""

from collections.abc import Collection, Sequence
from contextlib import suppress

from appliance.age.identities import identity_lines, parse_identity
from appliance.age.unsealing import Identity, unseal
from appliance.base.cases import keys_there, teams_there
from appliance.base.orders import read_or_none
from appliance.errors import BadInput, Incomplete, NoMatch, NotAFile
from appliance.protocol.names import Numbered
from appliance.protocol.objects import case_object
from appliance.protocol.teams import TEAM_NAME, ever_in, read_team
from appliance.records.signing import Verifier
from appliance.stores.store import ServiceStore, read_small
from appliance.vault.cases import team_document
from appliance.vault.keys import PrivateKeys


def works_in(
    store: ServiceStore,
    keys: PrivateKeys,
    people: Sequence[Verifier],
    case: str,
    name: str,
    left: Collection[str] = (),
) -> bool:
    """True if this person is, or was, of the case's team. Raises SendInterrupted, SendRefused."""
    return name in people_of(store, keys, people, case, left)


def people_of(
    store: ServiceStore,
    keys: PrivateKeys,
    people: Sequence[Verifier],
    case: str,
    left: Collection[str] = (),
) -> set[str]:
    """Everybody who works, or worked, with a family, by the names on their cards. Of those who
    `left`, none whom only a list says that one of them may have begun since. Raises likewise."""
    found = keys_there(store, case)
    identities: list[Identity] = []
    for key in found:
        # Whoever has a kit's way in can put rubbish there, sealed to the service if need be.
        with suppress(BadInput, Incomplete, NoMatch, NotAFile, UnicodeDecodeError):
            sealed = read_small(store, case_object(case, key.file)) or b""
            secrets = unseal(sealed, keys.identities)
            identities += [parse_identity(line) for line in identity_lines(secrets.decode())]
    # Who has a kit's way in and a card can put a public list where there is none. Where sealed ones
    # are read they decide, also that nobody can tell.
    known = _sealed(store, people, case, identities)
    return _public(store, people, case, left) if known is None else known


def _sealed(
    store: ServiceStore, people: Sequence[Verifier], case: str, identities: Sequence[Identity]
) -> set[str] | None:
    """Everybody who ever worked in a case: those of its first list, and of each that one of them
    signed. A list of their own that somebody else put there makes them none of it; where several
    are the first, nobody can tell which is, and only who is known by each counts. None where no
    list can be read."""

    def known_by(lists: Sequence[Numbered]) -> set[str]:
        known: set[str] = set()
        for one in lists:
            with suppress(BadInput, Incomplete, NoMatch, NotAFile):
                sealed = read_small(store, case_object(case, f"documents/{one.file}")) or b""

                def members(by: Sequence[Verifier]) -> set[str]:
                    team = team_document(sealed, identities, by, case, one)  # noqa: B023
                    return {card.name for card in team.members}

                may = known or members(people)
                known |= members([one for one in people if one.name in may])
        return known

    lists = teams_there(store, case)
    same = [one for one in lists if one.number == lists[0].number]
    later = lists[len(same) :]
    # Rubbish that was put beside it must not have the family wait.
    first = [one for one in same if known_by([one])]
    if not first and not any(known_by([one]) for one in later):
        return None
    lines = [[one, *later] for one in first] or [later]
    return set.intersection(*map(known_by, lines))


def _public(
    store: ServiceStore, people: Sequence[Verifier], case: str, left: Collection[str]
) -> set[str]:
    lists = []
    place = case_object(case, "")
    for entry in list(store.list(f"{place}team-")):
        name = entry.name.removeprefix(place)
        if TEAM_NAME.fullmatch(name):
            with suppress(BadInput):
                note = read_or_none(store, entry.name) or b""
                lists.append(read_team(name, note, case, people))
    begun = min((team.number for team, _by in lists), default=0)
    if any(by.name in left for team, by in lists if team.number == begun):
        # A list tells no day: it may have been written after they had left.
        return ever_in(lists) - set(left)
    return ever_in(lists)
