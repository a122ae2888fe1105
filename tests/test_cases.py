"""A case: one key, sealed documents that cannot be forged or moved, and an end that is final."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.cases import (
    Cases,
    Details,
    Goal,
    Goals,
    OpenCase,
    open_case_identity,
    withdrawal_note,
)
from appliance.consent import Withdrawal
from appliance.errors import BadFile, BadSignature, CaseWithdrawn, NoMatch
from appliance.files import Home, new_id
from appliance.keys import PrivateKeys, parse_recipient
from appliance.sealing import seal
from appliance.signing import Signer, open_note
from appliance.unsealing import unseal

SERVICE = PrivateKeys.generate("service")
KEYS = PrivateKeys.generate("practitioner")
NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
LABEL = "the family at number nine"


@pytest.fixture
def cases(tmp_path: Path) -> Cases:
    return Cases(Home(tmp_path / "home", tmp_path / "run"))


def made(cases: Cases) -> OpenCase:
    details = Details(label=LABEL, check_word="harbour")
    return cases.create(details, KEYS, SERVICE.card(), [KEYS.signer.verifier])


def goals(text: str) -> Goals:
    return Goals(goals=(Goal(id=new_id(), text=text),))


def test_what_was_written_is_read_again_and_the_newest_counts(cases: Cases) -> None:
    case = made(cases)
    case.write(goals("more turns together"))
    case.write(goals("quieter mornings"))
    again = cases.open(case.id, KEYS, [KEYS.signer.verifier])
    found = again.read(Goals)
    assert found is not None and [g.text for g in found.goals] == ["quieter mornings"]
    details = again.read(Details)
    assert details is not None and details.label == LABEL


def test_no_word_of_a_family_lies_in_the_open(cases: Cases) -> None:
    case = made(cases)
    case.write(goals("words nobody else may read"))
    files = [p for p in case.directory.rglob("*") if p.is_file()]
    assert len(files) == 4
    for path in files:
        data = path.read_bytes()
        assert b"number nine" not in data and b"nobody else" not in data
        assert case.identity.secret_text().encode() not in data


def test_the_service_can_open_a_case_and_a_stranger_cannot(cases: Cases) -> None:
    case = made(cases)
    found = open_case_identity(case.directory, [SERVICE.identity])
    assert found.secret_text() == case.identity.secret_text()
    with pytest.raises(NoMatch):
        cases.open(case.id, PrivateKeys.generate("practitioner"), [])


def test_a_document_forged_with_the_public_recipient_is_refused(cases: Cases) -> None:
    case = made(cases)
    case.write(goals("true words"))
    original = case.directory / "documents" / "goals-0001.age"
    note = unseal(original.read_bytes(), [case.identity]).decode()
    text = note.split("\n\n")[0].replace("true", "false").replace(':1,"number"', ':2,"number"')
    forged = Signer.generate("practitioner-somebody").sign(text + "\n")
    (case.directory / "documents" / "goals-0002.age").write_bytes(
        seal(forged.encode(), [parse_recipient(case.record.recipient)])
    )
    with pytest.raises(BadSignature):
        case.read(Goals)


def test_an_old_document_put_back_under_a_new_number_is_refused(cases: Cases) -> None:
    case = made(cases)
    case.write(goals("old"))
    case.write(goals("new"))
    documents = case.directory / "documents"
    shutil.copy(documents / "goals-0001.age", documents / "goals-0003.age")
    with pytest.raises(BadFile, match="belongs elsewhere"):
        case.read(Goals)


def test_a_withdrawal_closes_the_case_at_once_and_for_good(cases: Cases) -> None:
    case = made(cases)
    order = cases.withdraw(case.id, KEYS, kit=new_id(), at=NOW)
    assert sorted(p.name for p in case.directory.iterdir()) == ["case.json", "withdrawal"]
    assert [r.state for r in cases.records()] == ["withdrawn"]
    with pytest.raises(CaseWithdrawn):
        cases.open(case.id, KEYS, [KEYS.signer.verifier])
    found = withdrawal_note(case.directory)
    assert found is not None and found[0] == order
    text, _ = open_note(found[1], [KEYS.signer.verifier])
    assert order.id in text and isinstance(order, Withdrawal)


def test_a_withdrawal_said_twice_is_one_order(cases: Cases) -> None:
    case = made(cases)
    first = cases.withdraw(case.id, KEYS, kit=new_id(), at=NOW)
    assert cases.withdraw(case.id, KEYS, kit=new_id(), at=NOW) == first


def test_a_withdrawal_cut_after_its_order_is_finished_later(cases: Cases, tmp_path: Path) -> None:
    case = made(cases)
    before = tmp_path / "before"
    shutil.copytree(case.directory, before)
    cases.withdraw(case.id, KEYS, kit=new_id(), at=NOW)
    for name in ("case.json", "identity-0001.age"):
        shutil.copy(before / name, case.directory / name)
    cases.finish_withdrawal(case.id)
    assert sorted(p.name for p in case.directory.iterdir()) == ["case.json", "withdrawal"]


def test_a_case_of_another_name_is_no_path(cases: Cases) -> None:
    with pytest.raises(BadFile):
        cases.open("../../etc", KEYS, [])
