"""What needs the opening key is carried to it on a stick: nothing else opens or counts."""

import hashlib
import shutil
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import pytest

from appliance.age.unsealing import unseal
from appliance.base.custody.stick import Answer, Asked, Given
from appliance.errors import NoMatch
from appliance.records.files import Fact, from_json, to_json
from appliance.records.signing import sign_fact
from appliance.vault.keys import HalfKeys, PrivateKeys, read_keys
from tests.appliance.base.custody.test_keys import kept_apart
from tests.support.bases import Base
from tests.support.homes import contents, practitioner, service

F = TypeVar("F", bound=Fact)


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    made = Base(tmp_path)
    (tmp_path / "stick").mkdir()
    return made


def safe(at_base: Base) -> Base:
    """Where the opening keys are: no store can be reached from there."""
    away = kept_apart(at_base)
    (away / "cards").mkdir()
    for path in (at_base.keys / "cards").iterdir():
        (away / "cards" / path.name).write_bytes(path.read_bytes())
    there = Base.__new__(Base)
    there.__dict__ |= {**at_base.__dict__, "keys": away, "store": at_base.root / "nowhere"}
    return there


def opened_with(at_base: Base, half: str, sealed: bytes) -> bytes:
    keys = read_keys((at_base.root / "away" / f"{half}.key").read_bytes(), lambda: "")
    assert isinstance(keys, HalfKeys) and keys.identity is not None
    return unseal(sealed, [keys.identity])


def test_every_case_is_sealed_anew_by_way_of_a_stick(at_base: Base) -> None:
    cases = [at_base.sent(), at_base.sent()]
    there, stick = safe(at_base), str(at_base.root / "stick")
    assert at_base.told("ask", stick)["asked"] == 2
    assert there.told("answer", stick)["cases"] == 2
    at_base.told("ask", stick, "--take")
    for case in cases:
        (name,) = at_base.identities(case)
        sealed = (at_base.store / "cases" / case / name).read_bytes()
        assert opened_with(at_base, "daily", sealed) == opened_with(at_base, "escrow", sealed)
        with pytest.raises(NoMatch):
            unseal(sealed, [service().identity])


def test_a_practitioner_is_let_in_and_the_machine_beside_the_store_opens_nothing(
    at_base: Base,
) -> None:
    case, other = at_base.sent(), at_base.sent()
    there, stick = safe(at_base), str(at_base.root / "stick")
    new = PrivateKeys.generate("practitioner")
    card = at_base.root / "new.pub"
    card.write_bytes(to_json(new.card()))
    at_base.told("ask", stick, "--let-in", str(card), "--case", case, "--kit", at_base.kit.id)
    assert there.told("answer", stick, "--yes")["to"] == new.card().name
    (done,) = at_base.told("ask", stick, "--take")["cases"]
    assert unseal((at_base.store / done["key"]).read_bytes(), [new.identity])
    assert (done["kit"], done["order"]) == (at_base.kit.id, 1)
    assert at_base.identities(other) == ["identity-0001.age"]


def test_whoever_answers_is_asked_before_somebody_is_let_in(at_base: Base) -> None:
    case = at_base.sent()
    there, stick = safe(at_base), str(at_base.root / "stick")
    card = at_base.root / "new.pub"
    card.write_bytes(to_json(PrivateKeys.generate("practitioner").card()))
    at_base.told("ask", stick, "--let-in", str(card), "--case", case)
    done = there.run("answer", stick)
    assert done.returncode == 130 and "Is that right?" in done.stderr
    assert not (Path(stick) / "answer").exists()


def test_who_forgot_the_passphrase_is_let_in_where_they_worked_by_way_of_a_stick(
    at_base: Base,
) -> None:
    case, closed, other = at_base.sent(), at_base.sent(), at_base.sent()
    there, stick = safe(at_base), at_base.root / "stick"
    for path in (at_base.store / "cases" / other / "documents").glob("team-*"):
        path.unlink()
    for path in (at_base.store / "cases" / closed).glob("identity-*"):
        path.write_bytes(b"rubbish")
    new = PrivateKeys.generate("practitioner")
    card = at_base.root / "new.pub"
    card.write_bytes(to_json(new.card()))
    old = practitioner().card().name
    asked = ("ask", str(stick), "--let-in", str(card), "--instead-of", old)
    assert at_base.told(*asked, "--kit", at_base.kit.id)["asked"] == 3
    # Whoever answers sees how many, before anything is sealed.
    seen = there.run("answer", str(stick))
    assert f"Of 3 cases, 2 in which {old} works" in seen.stderr and not (stick / "given").exists()
    assert there.told("answer", str(stick), "--yes")["closed"] == [closed]
    secret = at_base.opened(case).identity.secret_text().encode()
    assert not any(secret in data for data in contents(stick).values())
    done = {one["case"]: one for one in at_base.told("ask", str(stick), "--take")["cases"]}
    assert set(done) == {case, closed}
    assert unseal((at_base.store / done[case]["key"]).read_bytes(), [new.identity])
    assert (done[case]["kit"], done[case]["order"]) == (at_base.kit.id, 1)
    assert "cannot be known" in done[closed]["why"]
    assert at_base.identities(other) == ["identity-0001.age"]


def test_a_case_that_is_named_besides_is_opened_as_well(at_base: Base) -> None:
    case = at_base.sent()
    there, stick = safe(at_base), str(at_base.root / "stick")
    card = at_base.root / "new.pub"
    card.write_bytes(to_json(PrivateKeys.generate("practitioner").card()))
    nobody = PrivateKeys.generate("practitioner").card().name
    asked = ("ask", stick, "--let-in", str(card), "--instead-of", nobody)
    at_base.told(*asked)
    assert there.told("answer", stick, "--yes")["cases"] == 0
    assert at_base.told("ask", stick, "--take")["cases"] == []
    at_base.told(*asked, "--case", case)
    assert there.told("answer", stick, "--yes")["cases"] == 1
    assert at_base.told("ask", stick, "--take")["cases"][0]["key"]


def test_a_list_of_who_works_in_a_case_counts_from_people_of_this_service_alone(
    at_base: Base,
) -> None:
    at_base.sent()
    there, stick = safe(at_base), str(at_base.root / "stick")
    card = at_base.root / "new.pub"
    card.write_bytes(to_json(PrivateKeys.generate("practitioner").card()))
    (at_base.keys / "practitioners" / "one.pub").unlink()
    old = practitioner().card().name
    at_base.told("ask", stick, "--let-in", str(card), "--instead-of", old)
    assert len(there.told("answer", stick, "--yes")["closed"]) == 1
    assert not (Path(stick) / "given").exists()


@pytest.mark.parametrize("held", [False, True])
def test_nobody_asks_for_a_case_that_was_withdrawn(at_base: Base, held: bool) -> None:
    case = at_base.sent()
    stick = at_base.root / "stick"
    if held:
        at_base.told("hold", case, "--until", "2099-01-01")
    at_base.told("withdraw", case)
    safe(at_base)
    card = at_base.root / "new.pub"
    card.write_bytes(to_json(PrivateKeys.generate("practitioner").card()))
    done = at_base.run("ask", str(stick), "--let-in", str(card), "--case", case)
    assert done.returncode == 1 and "has withdrawn" in done.stderr
    assert not contents(stick)


@pytest.mark.parametrize("words", [
    ("--instead-of", "practitioner-x"), ("--kit", "a" * 16), ("--let-in", "new.pub"),
    ("--take", "--case", "a" * 16), ("--audit", "--take"),
])  # fmt: skip
def test_what_does_not_go_together_is_told(at_base: Base, words: tuple[str, ...]) -> None:
    assert at_base.run("ask", str(at_base.root / "stick"), *words).returncode == 2
    assert not contents(at_base.root / "stick")


def test_nothing_on_the_stick_is_in_clear(at_base: Base) -> None:
    case = at_base.sent()
    secret = at_base.opened(case).identity.secret_text().encode()
    there, stick = safe(at_base), at_base.root / "stick"
    at_base.told("ask", str(stick))
    there.told("answer", str(stick))
    for data in contents(stick).values():
        assert secret not in data and b"SECRET" not in data and b"PRIVATE" not in data


def answered(at_base: Base) -> tuple[str, Path]:
    case = at_base.sent()
    there, stick = safe(at_base), at_base.root / "stick"
    at_base.told("ask", str(stick))
    there.told("answer", str(stick))
    return case, stick


def test_an_answer_counts_once(at_base: Base) -> None:
    case, stick = answered(at_base)
    shutil.copytree(stick, at_base.root / "copy")
    at_base.told("ask", str(stick), "--take")
    before = at_base.identities(case)
    done = at_base.run("ask", str(at_base.root / "copy"), "--take")
    assert done.returncode == 1 and "taken in before" in done.stderr
    assert at_base.identities(case) == before


@pytest.mark.parametrize("what", ["given", "answer", "ask"])
def test_a_stick_that_was_altered_on_its_way_changes_nothing(at_base: Base, what: str) -> None:
    case, stick = answered(at_base)
    path = next((stick / what).iterdir()) if what == "given" else stick / what
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert at_base.run("ask", str(stick), "--take").returncode == 1
    assert at_base.identities(case) == ["identity-0001.age"]


@pytest.mark.parametrize("before", [timedelta(0), timedelta(days=1)])
def test_an_answer_of_a_key_that_has_ended_changes_nothing(
    at_base: Base, before: timedelta
) -> None:
    case, stick = answered(at_base)
    asked = signed(stick / "ask", Asked)
    assert signed(stick / "answer", Answer).id == asked.id
    junk = hashlib.sha256(b"junk").hexdigest()
    (stick / "given" / junk).write_bytes(b"junk")
    given = Given(case=case, number=1, sha256=junk, left=tuple(asked.wants[0].files))
    told = Answer(id=asked.id, at=asked.at - before, cases=(given,))
    # The first key signs no more since the second card.
    (stick / "answer").write_text(sign_fact(service().signer, told))
    done = at_base.run("ask", str(stick), "--take")
    assert done.returncode == 1 and "any more" in done.stderr
    assert at_base.identities(case) == ["identity-0001.age"]


def test_a_signing_key_in_force_may_answer(at_base: Base) -> None:
    case, stick = answered(at_base)
    told = signed(stick / "answer", Answer)
    half = HalfKeys.parse((at_base.keys / "signing.key").read_text())
    assert half.signer is not None
    (stick / "answer").write_text(sign_fact(half.signer, told))
    assert at_base.told("ask", str(stick), "--take")["cases"][0]["key"]
    assert "identity-0001.age" not in at_base.identities(case)


def signed(path: Path, kind: type[F]) -> F:
    return from_json(path.read_text().partition("\n\n")[0], kind)


def test_a_family_that_withdrew_meanwhile_gets_no_key_back(at_base: Base) -> None:
    case, stick = answered(at_base)
    at_base.told("withdraw", case)
    (told,) = at_base.told("ask", str(stick), "--take")["cases"]
    assert "withdrawn meanwhile" in told["why"]
    assert at_base.identities(case) == []


@pytest.mark.parametrize("carried", [True, False])
def test_what_a_hold_keeps_is_sealed_anew_and_goes_when_the_hold_is_over(
    at_base: Base, carried: bool
) -> None:
    case = at_base.sent()
    at_base.told("hold", case, "--until", "2099-01-01")
    at_base.told("withdraw", case)
    there, stick = safe(at_base), str(at_base.root / "stick")
    if carried:
        assert at_base.told("ask", stick)["asked"] == 1
        there.told("answer", stick)
        at_base.told("ask", stick, "--take")
    else:
        for half in ("service", "daily", "escrow"):
            shutil.copy(there.keys / f"{half}.key", at_base.keys)
        at_base.told("reseal")
    (name,) = at_base.identities(case)
    assert opened_with(at_base, "daily", (at_base.store / "cases" / case / name).read_bytes())
    at_base.told("hold", case, "--lift")
    at_base.told("serve", "--once")
    assert at_base.identities(case) == []


def test_what_was_taken_in_makes_room_for_what_is_asked_for_next(at_base: Base) -> None:
    _case, stick = answered(at_base)
    at_base.told("ask", str(stick), "--take")
    assert [path.name for path in stick.iterdir()] == ["cards"]
    assert at_base.told("ask", str(stick))["asked"] == 1


def test_what_was_asked_and_not_taken_is_not_written_over(at_base: Base) -> None:
    _case, stick = answered(at_base)
    done = at_base.run("ask", str(stick))
    assert done.returncode == 1 and "asked for before" in done.stderr
