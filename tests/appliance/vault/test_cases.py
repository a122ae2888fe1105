"""A case: one key, sealed documents that cannot be forged or moved, and an end that is final."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.age.recipients import parse_recipient
from appliance.age.sealing import seal
from appliance.age.unsealing import unseal
from appliance.casework.closing import finish_withdrawal, withdraw
from appliance.errors import BadFile, BadInput, BadSignature, CaseWithdrawn, NoMatch
from appliance.protocol.cards import KitCard
from appliance.protocol.case_record import withdrawal_note
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.orders import Withdrawal
from appliance.records.files import Fact, Home, new_id, save_fact, to_json
from appliance.records.signing import Signer, open_note
from appliance.vault.cases import Cases, Details, Goal, Goals, OpenCase, open_case_identities
from appliance.vault.keys import PrivateKeys

SERVICE = PrivateKeys.generate("service")
KEYS = PrivateKeys.generate("practitioner")
OTHER_KIND = PrivateKeys.generate("practitioner", x25519=True)
NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
LABEL = "the family at number nine"


@pytest.fixture
def cases(tmp_path: Path) -> Cases:
    return Cases(Home(tmp_path / "home", tmp_path / "run"))


def made(cases: Cases) -> OpenCase:
    details = Details(label=LABEL, check_word="harbour")
    return cases.create(details, KEYS, SERVICE.chain, [KEYS.signer.verifier])


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
    assert len(files) == 6
    for path in files:
        data = path.read_bytes()
        assert b"number nine" not in data and b"nobody else" not in data
        assert case.identity.secret_text().encode() not in data


def test_the_service_can_open_a_case_and_a_stranger_cannot(cases: Cases) -> None:
    case = made(cases)
    (found,) = open_case_identities(case.directory, [SERVICE.identity])
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


COLLEAGUE = PrivateKeys.generate("practitioner")
BOTH = [KEYS.signer.verifier, COLLEAGUE.signer.verifier]


def obeyed(*keys: PrivateKeys, former: tuple[PrivateKeys, ...] = ()) -> Enrolled:
    return Enrolled(
        service=SERVICE.card(),
        practitioners=tuple(one.card() for one in keys),
        former=tuple(one.card() for one in former),
    )


ALL = obeyed(KEYS, COLLEAGUE, OTHER_KIND)


def secrets_for(case: OpenCase, keys: PrivateKeys) -> set[str]:
    """Every secret of the case that somebody can have from what lies in its directory."""
    found = open_case_identities(case.directory, [keys.identity])
    return {identity.secret_text() for identity in found}


def test_a_practitioner_who_joins_opens_everything_and_no_file_was_changed(cases: Cases) -> None:
    case = made(cases)
    before = {path: path.read_bytes() for path in case.directory.rglob("*.age")}
    with pytest.raises(NoMatch):
        cases.open(case.id, COLLEAGUE, BOTH)
    cases.admit(case, COLLEAGUE.card(), ALL)
    theirs = cases.open(case.id, COLLEAGUE, BOTH)
    details = theirs.read(Details)
    assert details is not None and details.label == LABEL
    assert theirs.team == (KEYS.card(), COLLEAGUE.card())
    assert theirs.record == case.record
    assert all(path.read_bytes() == data for path, data in before.items())
    assert (case.directory / "identity-0002.age").exists()
    cases.admit(case, COLLEAGUE.card(), ALL)
    assert not (case.directory / "identity-0003.age").exists()


def test_a_practitioner_who_left_opens_nothing_that_follows(cases: Cases) -> None:
    case = made(cases)
    cases.admit(case, COLLEAGUE.card(), ALL)
    case.write(goals("before"))
    old = case.identity.secret_text()
    renewed = cases.release(case, COLLEAGUE.card().name, ALL)
    renewed.write(goals("after"))
    new = renewed.identity.secret_text()
    assert old != new and renewed.record.recipient != case.record.recipient
    assert secrets_for(case, COLLEAGUE) == {old}
    with pytest.raises(NoMatch):
        cases.open(case.id, COLLEAGUE, BOTH)
    with pytest.raises(NoMatch):
        unseal(
            (case.directory / "documents" / "goals-0002.age").read_bytes(),
            open_case_identities(case.directory, [COLLEAGUE.identity]),
        )
    # Whoever stays has both, and so has the service.
    again = cases.open(case.id, KEYS, BOTH)
    assert [one.secret_text() for one in again.identities] == [new, old]
    newest = (case.directory / "identity-0003.age").read_bytes()
    assert unseal(newest, [SERVICE.identity]).decode().split() == [new, old]
    assert secrets_for(case, SERVICE) == {new, old}
    assert again.team == (KEYS.card(),)
    found = again.read(Goals)
    assert found is not None and found.goals[0].text == "after"
    sealed_before = (case.directory / "documents" / "goals-0001.age").read_bytes()
    assert b"before" in unseal(sealed_before, again.identities)


def test_who_joins_after_somebody_left_opens_both_what_was_and_what_is(cases: Cases) -> None:
    case = made(cases)
    cases.admit(case, COLLEAGUE.card(), ALL)
    renewed = cases.release(case, COLLEAGUE.card().name, ALL)
    cases.admit(renewed, COLLEAGUE.card(), ALL)
    theirs = cases.open(case.id, COLLEAGUE, BOTH)
    assert len(theirs.identities) == 2 and str(theirs.identity.recipient) == theirs.record.recipient


def test_a_leave_cut_at_any_step_loses_nothing_and_is_done_with_the_next_try(
    cases: Cases, tmp_path: Path
) -> None:
    case = made(cases)
    cases.admit(case, COLLEAGUE.card(), ALL)
    before = tmp_path / "before"
    shutil.copytree(case.directory, before)
    cases.release(case, COLLEAGUE.card().name, ALL)
    after = tmp_path / "after"
    shutil.copytree(case.directory, after)
    steps = ["identity-0003.age", "documents/team-0003.age", "case.json"]
    for done in range(len(steps) + 1):
        shutil.rmtree(case.directory)
        shutil.copytree(before, case.directory)
        for name in steps[:done]:
            shutil.copy(after / name, case.directory / name)
        opened = cases.open(case.id, KEYS, BOTH)
        details = opened.read(Details)
        assert details is not None and details.label == LABEL
        if done >= 2:  # Known to have left: what follows is not theirs, without another try.
            assert opened.team == (KEYS.card(),)
        else:
            opened = cases.release(opened, COLLEAGUE.card().name, ALL)
        opened.write(goals("after"))
        assert opened.record.recipient != case.record.recipient
        assert secrets_for(case, COLLEAGUE) == {case.identity.secret_text()}


def test_nobody_takes_a_case_from_themselves(cases: Cases) -> None:
    case = made(cases)
    with pytest.raises(BadInput, match="remove yourself"):
        cases.release(case, KEYS.card().name, ALL)


def test_a_key_of_the_other_type_is_not_let_in(cases: Cases) -> None:
    case = made(cases)
    with pytest.raises(BadInput, match="post-quantum"):
        cases.admit(case, OTHER_KIND.card(), ALL)
    assert case.team == (KEYS.card(),)


def test_a_record_with_somebody_elses_recipient_is_refused(cases: Cases) -> None:
    case = made(cases)
    path = case.directory / "case.json"
    stranger = str(COLLEAGUE.identity.recipient)
    path.write_text(path.read_text().replace(case.record.recipient, stranger))
    with pytest.raises(BadFile, match="do not belong together"):
        cases.open(case.id, KEYS, BOTH)


def test_a_withdrawal_removes_every_key_file_of_the_case(cases: Cases) -> None:
    case = made(cases)
    cases.admit(case, COLLEAGUE.card(), ALL)
    case = cases.release(case, COLLEAGUE.card().name, ALL)
    shutil.copy(case.directory / "identity-0001.age", case.directory / ".identity-0004.age.ab.new")
    (case.directory / "derived" / new_id()).mkdir(parents=True)
    withdraw(case.directory, KEYS, kit=new_id(), at=NOW)
    assert sorted(p.name for p in case.directory.iterdir()) == ["case.json", "withdrawal"]


def test_a_withdrawal_closes_the_case_at_once_and_for_good(cases: Cases) -> None:
    case = made(cases)
    order = withdraw(case.directory, KEYS, kit=new_id(), at=NOW)
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
    first = withdraw(case.directory, KEYS, kit=new_id(), at=NOW)
    assert withdraw(case.directory, KEYS, kit=new_id(), at=NOW) == first


def test_a_withdrawal_cut_after_its_order_is_finished_later(cases: Cases, tmp_path: Path) -> None:
    case = made(cases)
    before = tmp_path / "before"
    shutil.copytree(case.directory, before)
    withdraw(case.directory, KEYS, kit=new_id(), at=NOW)
    for name in ("case.json", "identity-0001.age"):
        shutil.copy(before / name, case.directory / name)
    finish_withdrawal(case.directory)
    assert sorted(p.name for p in case.directory.iterdir()) == ["case.json", "withdrawal"]


def test_a_damaged_case_does_not_hide_the_others(cases: Cases) -> None:
    damaged, whole = made(cases), made(cases)
    (damaged.directory / "case.json").write_bytes(b"\0" * 100)
    assert [record.id for record in cases.records()] == [whole.id]


def test_a_case_of_another_name_is_no_path(cases: Cases) -> None:
    with pytest.raises(BadFile):
        cases.open("../../etc", KEYS, [])


# --- Whom the service has revoked -----------------------------------------------------------------

REVOKED, THIRD = PrivateKeys.generate("practitioner"), PrivateKeys.generate("practitioner")
AFTER = obeyed(KEYS, COLLEAGUE, THIRD, former=(REVOKED,))
FOUR = [keys.signer.verifier for keys in (KEYS, COLLEAGUE, REVOKED, THIRD)]


def with_revoked(cases: Cases) -> OpenCase:
    """A case of three, one of whom is revoked afterwards."""
    case = made(cases)
    before = obeyed(KEYS, COLLEAGUE, REVOKED)
    for keys in (COLLEAGUE, REVOKED):
        case = cases.admit(case, keys.card(), before)
    return cases.open(case.id, KEYS, FOUR)


def key_files(case: OpenCase) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in case.directory.glob("identity-*.age")}


# Everything that seals a case's key to people, by name.
CHANGES: dict[str, Callable[[Cases, OpenCase], object]] = {
    "a colleague leaves": lambda cases, case: cases.release(case, COLLEAGUE.card().name, AFTER),
    "a colleague joins": lambda cases, case: cases.admit(case, THIRD.card(), AFTER),
    "one of it joins again": lambda cases, case: cases.admit(case, COLLEAGUE.card(), AFTER),
    "the case is renewed": lambda cases, case: cases.renew(case, AFTER),
    "the service lets a new card in": lambda cases, case: cases.admit(
        cases.open_anew(
            case.id,
            seal(
                f"{case.identity.secret_text()}\n".encode(),
                [THIRD.card().sealing_key(), SERVICE.card().sealing_key()],
            ),
            THIRD,
            FOUR,
        ),
        THIRD.card(),
        AFTER,
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_no_key_that_is_made_after_a_revocation_opens_for_whom_was_revoked(
    cases: Cases, change: Callable[[Cases, OpenCase], object]
) -> None:
    case = with_revoked(cases)
    before, old = key_files(case), case.record.recipient
    change(cases, case)
    new = {name: data for name, data in key_files(case).items() if name not in before}
    assert new
    for data in new.values():
        with pytest.raises(NoMatch):
            unseal(data, [REVOKED.identity])
        assert unseal(data, [SERVICE.identity])
    again = cases.open(case.id, KEYS, FOUR)
    assert REVOKED.card() not in again.team and KEYS.card() in again.team
    assert again.record.recipient != old
    again.write(goals("said after the revocation"))
    written = max((case.directory / "documents").glob("goals-*.age")).read_bytes()
    theirs = open_case_identities(case.directory, [REVOKED.identity])
    with pytest.raises(NoMatch):
        unseal(written, theirs)
    # What was there before stays open to whoever is still of the case.
    assert case.identity.secret_text() in {one.secret_text() for one in again.identities}


def test_whom_this_kit_does_not_obey_is_let_into_no_case(cases: Cases) -> None:
    case = made(cases)
    before = key_files(case)
    for keys in (REVOKED, PrivateKeys.generate("practitioner")):
        with pytest.raises(BadInput, match="not a practitioner of this kit"):
            cases.admit(case, keys.card(), AFTER)
    assert key_files(case) == before and case.team == (KEYS.card(),)


def test_a_case_of_which_nobody_was_revoked_keeps_its_key(cases: Cases) -> None:
    case = made(cases)
    before = key_files(case)
    assert cases.renew(case, AFTER) is case
    assert key_files(case) == before


def test_who_was_revoked_while_unlocked_gives_no_case_a_new_key(cases: Cases) -> None:
    case = with_revoked(cases)
    theirs = cases.open(case.id, REVOKED, FOUR)
    before = key_files(case)
    for ask in (
        lambda: cases.renew(theirs, AFTER),
        lambda: cases.release(theirs, KEYS.card().name, AFTER),
        lambda: cases.admit(theirs, THIRD.card(), AFTER),
    ):
        with pytest.raises(NoMatch):
            ask()
    assert key_files(case) == before


# --- Two homes with one case ----------------------------------------------------------------------

OURS, THEIRS = "a" * 16, "b" * 16


@dataclass
class Kit:
    """A kit's home, with the case that both have."""

    id: str
    home: Home
    now: datetime = NOW

    def case(self, name: str) -> OpenCase:
        cases = Cases(self.home, lambda: self.now)
        return cases.open(name, KEYS, BOTH)

    def says(self, name: str, text: str) -> None:
        self.case(name).write(goals(text))

    def documents(self, name: str) -> Path:
        return self.home.case(name).documents

    def sees(self, other: "Kit", name: str) -> None:
        """What another kit wrote of a case arrives here."""
        for path in other.documents(name).iterdir():
            there = self.documents(name) / path.name
            if not there.exists():
                shutil.copy(path, there)


def named(path: Path, kit: str) -> Kit:
    home = Home(path / "home", path / "run")
    home.kit.mkdir(parents=True, exist_ok=True)
    verifier = str(Signer.generate(f"kit-{kit}").verifier)
    save_fact(home.kit_card, KitCard(id=kit, verifier=verifier))
    return Kit(kit, home)


@pytest.fixture
def two(tmp_path: Path) -> tuple[Kit, Kit, str]:
    """Two kits with one case: the card of one was copied, and got a kit of its own."""
    ours = named(tmp_path / "ours", OURS)
    case = made(Cases(ours.home, lambda: NOW))
    case.write(goals("what both knew"))
    shutil.copytree(ours.home.root, tmp_path / "theirs" / "home")
    return ours, named(tmp_path / "theirs", THEIRS), case.id


def texts(case: OpenCase) -> list[str]:
    return [one.fact.goals[0].text for one in case.versions(Goals)]


def test_each_homes_documents_carry_its_name_so_that_two_never_write_one(
    two: tuple[Kit, Kit, str],
) -> None:
    ours, theirs, case = two
    ours.says(case, "ours")
    theirs.says(case, "theirs")
    for kit in (ours, theirs):
        (written,) = kit.documents(case).glob("goals-0002*")
        assert written.name == f"goals-0002-{kit.id}.age"


def test_of_what_two_homes_wrote_at_once_the_later_counts_and_both_are_there(
    two: tuple[Kit, Kit, str],
) -> None:
    ours, theirs, case = two
    ours.now, theirs.now = NOW + timedelta(hours=2), NOW + timedelta(hours=1)
    ours.says(case, "ours")
    theirs.says(case, "theirs")
    for kit, other in ((ours, theirs), (theirs, ours)):
        kit.sees(other, case)
        opened = kit.case(case)
        assert texts(opened) == ["ours", "theirs"]
        found = opened.read(Goals)
        assert found and found.goals[0].text == "ours"
        assert [(one.home, one.at) for one in opened.versions(Goals)] == [
            (OURS, ours.now),
            (THEIRS, theirs.now),
        ]


@pytest.mark.parametrize("kept", ["ours", "theirs"])
def test_one_of_both_is_kept_and_counts_wherever_that_arrives(
    two: tuple[Kit, Kit, str], kept: str
) -> None:
    ours, theirs, case = two
    ours.says(case, "ours")
    theirs.says(case, "theirs")
    ours.sees(theirs, case)
    opened = ours.case(case)
    (digest,) = [one.digest for one in opened.versions(Goals) if one.fact.goals[0].text == kept]
    opened.keep(Goals, digest)
    theirs.sees(ours, case)
    assert texts(opened) == texts(theirs.case(case)) == [kept]
    with pytest.raises(NoMatch, match="already chosen"):
        opened.keep(Goals, digest)


def test_what_is_written_after_both_were_seen_replaces_both(two: tuple[Kit, Kit, str]) -> None:
    ours, theirs, case = two
    ours.says(case, "ours")
    theirs.says(case, "theirs")
    theirs.sees(ours, case)
    theirs.says(case, "after a talk")
    ours.sees(theirs, case)
    assert texts(ours.case(case)) == texts(theirs.case(case)) == ["after a talk"]


def test_a_damaged_version_of_another_home_keeps_nothing_for_ever(
    two: tuple[Kit, Kit, str],
) -> None:
    ours, theirs, case = two
    ours.says(case, "ours")
    theirs.says(case, "theirs")
    ours.sees(theirs, case)
    (ours.documents(case) / f"goals-0002-{THEIRS}.age").write_bytes(b"damaged")
    assert texts(ours.case(case)) == ["ours"]
    ours.says(case, "anew")
    assert texts(ours.case(case)) == ["anew"]


def test_what_a_kit_of_before_wrote_under_a_number_alone_is_read_and_replaced(
    tmp_path: Path,
) -> None:
    old = Kit("", Home(tmp_path / "kit" / "home", tmp_path / "run"))
    case = made(Cases(old.home)).id
    recipient = parse_recipient(old.case(case).record.recipient)

    def written_before(number: int, text: str) -> None:
        heading = f'{{"attune":"document/v1","case":"{case}","name":"goals","number":{number}}}'
        note = KEYS.signer.sign(f"{heading}\n{to_json(goals(text)).decode()}\n")
        path = old.documents(case) / f"goals-{number:04}.age"
        path.write_bytes(seal(note.encode(), [recipient]))

    written_before(1, "first")
    written_before(2, "before")
    assert texts(old.case(case)) == ["before"]
    new = named(tmp_path / "kit", OURS)
    assert texts(new.case(case)) == ["before"]
    new.says(case, "since")
    assert (new.documents(case) / f"goals-0003-{OURS}.age").exists()
    assert texts(new.case(case)) == ["since"]
    # What a copy of the card, never updated, wrote on meanwhile is not lost either.
    written_before(3, "elsewhere")
    assert texts(new.case(case)) == ["since", "elsewhere"]


def test_the_key_of_another_home_that_is_not_here_closes_nothing(
    two: tuple[Kit, Kit, str],
) -> None:
    """Somebody left there, so that the case has a new key; here a colleague joined meanwhile."""
    ours, theirs, case = two
    ours.now, theirs.now = NOW + timedelta(hours=1), NOW + timedelta(hours=2)
    Cases(ours.home).admit(ours.case(case), COLLEAGUE.card(), ALL)
    there = Cases(theirs.home)
    there.renew(there.admit(theirs.case(case), COLLEAGUE.card(), ALL), obeyed(KEYS))
    ours.sees(theirs, case)
    opened = ours.case(case)
    assert opened.record.recipient == str(opened.identity.recipient)
    opened.write(goals("still open"))
    assert texts(ours.case(case)) == ["still open"]


def counts(case: OpenCase) -> tuple[str, ...]:
    found = case.read(Ticked)
    return found.ticks if found else ()


class Ticked(Fact, frozen=True, kw_only=True, tag="ticked/v1"):
    """A document of which two count together."""

    ticks: tuple[str, ...]

    def joined(self, other: "Ticked") -> "Ticked":
        return Ticked(ticks=tuple(sorted({*self.ticks, *other.ticks})))


def test_of_what_counts_together_both_count_and_are_written_once_a_digest_is_asked_for(
    two: tuple[Kit, Kit, str],
) -> None:
    ours, theirs, case = two
    ours.case(case).write(Ticked(ticks=("ours",)))
    theirs.case(case).write(Ticked(ticks=("theirs",)))
    ours.sees(theirs, case)
    opened = ours.case(case)
    assert counts(opened) == ("ours", "theirs") and len(opened.versions(Ticked)) == 2
    found = opened.read_with_digest(Ticked)
    assert found and found[0].ticks == ("ours", "theirs")
    (only,) = opened.versions(Ticked)
    assert only.digest == found[1] and opened.read_by_digest(Ticked, found[1]) == only.fact
    assert opened.read_with_digest(Ticked) == found
    theirs.sees(ours, case)
    assert counts(theirs.case(case)) == ("ours", "theirs")


def test_of_what_counts_together_one_that_cannot_be_read_leaves_it_in_doubt_until_it_is_written(
    two: tuple[Kit, Kit, str],
) -> None:
    ours, theirs, case = two
    ours.case(case).write(Ticked(ticks=("ours",)))
    theirs.case(case).write(Ticked(ticks=("theirs",)))
    ours.sees(theirs, case)
    (ours.documents(case) / f"ticked-0001-{THEIRS}.age").write_bytes(b"damaged")
    with pytest.raises(BadFile):
        counts(ours.case(case))
    ours.case(case).write(Ticked(ticks=("anew",)))
    assert counts(ours.case(case)) == ("anew",)
