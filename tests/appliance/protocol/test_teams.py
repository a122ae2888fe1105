"""Public lists of who works with a family, and whom they make one of them."""

import pytest

from appliance.errors import BadFile, BadInput
from appliance.protocol.teams import CaseTeam, ever_in, read_team, signed_team
from appliance.records.files import new_id
from appliance.records.signing import Signer, Verifier

CASE = new_id()
ONE, TWO, STRANGER = (Signer.generate(f"practitioner-{new_id()}") for _ in range(3))
PEOPLE = [signer.verifier for signer in (ONE, TWO, STRANGER)]


def a_list(by: Signer, number: int, *members: Signer) -> tuple[CaseTeam, Verifier]:
    name, note = signed_team(by, CASE, number, [one.verifier.name for one in members])
    return read_team(name, note, CASE, PEOPLE)


def names(*people: Signer) -> set[str]:
    return {one.verifier.name for one in people}


def test_a_list_says_ids_of_key_cards_and_nothing_else() -> None:
    name, note = signed_team(ONE, CASE, 1, [ONE.verifier.name])
    team, by = read_team(name, note, CASE, PEOPLE)
    assert (team.case, team.members, by) == (CASE, (ONE.verifier.name,), ONE.verifier)
    assert note.decode().count(CASE) == 1 and name.startswith("team-0001-")


def test_whoever_was_let_in_by_one_of_them_is_one_of_them_and_stays_known() -> None:
    joined = [a_list(ONE, 1, ONE), a_list(ONE, 2, ONE, TWO)]
    assert ever_in(joined) == ever_in(reversed(joined)) == names(ONE, TWO)
    # Who left had a say in what was theirs.
    assert ever_in([*joined, a_list(TWO, 3, TWO)]) == names(ONE, TWO)


def test_a_list_of_somebody_elses_own_makes_them_none_of_it() -> None:
    true = a_list(ONE, 1, ONE)
    assert ever_in([true, a_list(STRANGER, 2, STRANGER)]) == names(ONE)
    assert ever_in([true, a_list(STRANGER, 9, ONE, STRANGER)]) == names(ONE)
    # Two first ones: nobody can tell, and the service is asked.
    assert ever_in([true, a_list(STRANGER, 1, STRANGER)]) == set()
    assert ever_in([true, a_list(STRANGER, 1, ONE)]) == names(ONE)
    assert ever_in([]) == set()


@pytest.mark.parametrize("wrong", ["number", "case", "digest", "signer", "rubbish"])
def test_a_list_that_belongs_elsewhere_or_is_nobodys_is_none(wrong: str) -> None:
    name, note = signed_team(ONE, CASE, 0 if wrong == "number" else 1, [ONE.verifier.name])
    people = [TWO.verifier] if wrong == "signer" else PEOPLE
    case = new_id() if wrong == "case" else CASE
    if wrong == "digest":
        name = f"{name[:-1]}{'0' if name[-1] != '0' else '1'}"
    with pytest.raises((BadFile, BadInput)):
        read_team(name, b"rubbish" if wrong == "rubbish" else note, case, people)
