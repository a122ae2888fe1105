"""An audit beside the store counts what the opening key saw elsewhere, of what lies there now."""

import hashlib
from pathlib import Path

import pytest

from appliance.age.sealing import seal
from appliance.protocol.audits import StoreAudit
from appliance.protocol.objects import NEWEST_AUDIT
from appliance.vault.keys import PrivateKeys
from tests.appliance.base.custody.test_carrying import safe, signed
from tests.support.bases import Base
from tests.support.homes import contents


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    made = Base(tmp_path)
    made.told("enrol", str(made.kit.home.kit / "kit.json"))
    (tmp_path / "stick").mkdir()
    return made


def key_of(at_base: Base, case: str) -> Path:
    (name,) = at_base.identities(case)
    return at_base.store / "cases" / case / name


def looked_at(at_base: Base, there: Base, stick: Path) -> None:
    at_base.told("ask", str(stick), "--audit")
    there.told("answer", str(stick))


def sealed_anew(at_base: Base) -> Base:
    """The safe of a service whose cases open by its second card."""
    there, stick = safe(at_base), str(at_base.root / "stick")
    at_base.told("ask", stick)
    there.told("answer", stick)
    at_base.told("ask", stick, "--take")
    return there


def test_a_key_that_opens_for_nobody_is_found_by_way_of_a_stick(at_base: Base) -> None:
    case, other = at_base.sent(), at_base.sent()
    there, stick = sealed_anew(at_base), at_base.root / "stick"
    # It shows to how many a file is sealed, and not to whom: beside the store nobody can tell.
    strangers = [PrivateKeys.generate("practitioner").identity.recipient for _ in range(3)]
    key_of(at_base, case).write_bytes(seal(b"x", strangers))
    assert at_base.told("audit")["audit"]["opened"] is False
    looked_at(at_base, there, stick)
    told = at_base.told("audit", "--opened", str(stick), status=1)
    assert told["audit"]["findings"] == [{"object": f"cases/{case}", "code": "key"}]
    note = signed(at_base.store / NEWEST_AUDIT, StoreAudit)
    assert note.opened and note.lost == (f"cases/{case}",)
    assert at_base.identities(other)


def test_only_sealed_key_files_are_carried(at_base: Base) -> None:
    cases = [at_base.sent(), at_base.sent()]
    there, stick = sealed_anew(at_base), at_base.root / "stick"
    looked_at(at_base, there, stick)
    keys = {key_of(at_base, case).read_bytes() for case in cases}
    assert {path.read_bytes() for path in (stick / "asked").iterdir()} == keys
    assert {path.name for path in stick.iterdir()} == {"ask", "asked", "cards", "answer"}
    secrets = [at_base.opened(case).identity.secret_text().encode() for case in cases]
    for data in contents(stick).values():
        assert not any(secret in data for secret in secrets)
        assert not any(case.encode() in data for case in cases)


def test_a_key_that_came_since_counts_as_not_opened(at_base: Base) -> None:
    at_base.sent()
    there, stick = sealed_anew(at_base), at_base.root / "stick"
    looked_at(at_base, there, stick)
    at_base.kit.sync()
    case = at_base.sent()
    found = at_base.told("audit", "--opened", str(stick), status=1)["audit"]
    assert (found["opened"], found["unopened"]) == (False, 1)
    # This kit had not heard of the second card.
    name = key_of(at_base, case).relative_to(at_base.store).as_posix()
    assert found["findings"] == [{"object": name, "code": "recipients"}]


def test_an_answer_to_an_audit_counts_once_and_a_rehearsal_does_not_count(at_base: Base) -> None:
    at_base.sent()
    there, stick = sealed_anew(at_base), at_base.root / "stick"
    looked_at(at_base, there, stick)
    copy = {path: path.read_bytes() for path in (stick / "ask", stick / "answer")}
    before = contents(at_base.store)
    assert at_base.told("audit", "--opened", str(stick), "--dry-run")["audit"]["opened"]
    assert contents(at_base.store) == before
    assert at_base.told("audit", "--opened", str(stick))["signed"] == 1
    assert [path.name for path in stick.iterdir()] == ["cards"]
    for path, data in copy.items():
        path.write_bytes(data)
    done = at_base.run("audit", "--opened", str(stick))
    assert done.returncode == 1 and "taken in before" in done.stderr


def test_an_answer_is_taken_in_by_the_verb_that_asked_for_it(at_base: Base) -> None:
    at_base.sent()
    there, stick = safe(at_base), at_base.root / "stick"
    looked_at(at_base, there, stick)
    done = at_base.run("ask", str(stick), "--take")
    assert done.returncode == 1 and "audit --opened" in done.stderr
    at_base.told("ask", str(at_base.root / "other"))
    there.told("answer", str(at_base.root / "other"))
    done = at_base.run("audit", "--opened", str(at_base.root / "other"))
    assert done.returncode == 1 and "ask DIR --take" in done.stderr
    assert not (at_base.store / NEWEST_AUDIT).exists()


def test_a_key_that_a_hold_keeps_is_looked_at_and_one_that_is_gone_is_not_asked_for(
    at_base: Base,
) -> None:
    held, gone = at_base.sent(), at_base.sent()
    at_base.told("hold", held, "--until", "2099-01-01")
    for case in (held, gone):
        at_base.told("withdraw", case)
    there, stick = safe(at_base), at_base.root / "stick"
    assert at_base.told("ask", str(stick), "--audit")["asked"] == 1
    (name,) = [path.name for path in (stick / "asked").iterdir()]
    assert name == hashlib.sha256(key_of(at_base, held).read_bytes()).hexdigest()
    # The first key opens it yet, and goes.
    done = there.run("answer", str(stick))
    assert "0 of 1 key files open here" in done.stderr and "not sealed anew" in done.stderr


def test_where_no_opening_key_is_nothing_is_answered(at_base: Base) -> None:
    at_base.sent()
    there, stick = safe(at_base), at_base.root / "stick"
    at_base.told("ask", str(stick), "--audit")
    for half in ("daily", "escrow"):
        (there.keys / f"{half}.key").unlink()
    done = there.run("answer", str(stick))
    assert done.returncode == 1 and "where the opening key is" in done.stderr
    assert not (stick / "answer").exists()
