"""A stick between the store and the opening key: what is no answer to what was asked changes
nothing, and a full stick has nothing half."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.base.custody.stick import nothing_half, put_file
from appliance.errors import NotPossible
from appliance.records.files import save
from tests.appliance.base.custody.test_carrying import answered, safe
from tests.support.bases import Base
from tests.support.homes import contents


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    made = Base(tmp_path)
    (tmp_path / "stick").mkdir()
    return made


@contextmanager
def full(stick: Path, size: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", stick], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", stick], check=True)


def test_a_full_stick_is_told_and_has_nothing_half(at_base: Base) -> None:
    at_base.sent()
    safe(at_base)
    stick = at_base.root / "stick"
    with full(stick, "8k"):
        done = at_base.run("ask", str(stick))
        assert done.returncode == 1 and "not enough room" in done.stderr
        assert not list(stick.iterdir())


def test_a_stick_that_is_full_when_it_is_answered_keeps_what_was_asked(at_base: Base) -> None:
    at_base.sent()
    there, stick = safe(at_base), at_base.root / "stick"
    with full(stick, "64k"):
        at_base.told("ask", str(stick))
        before = contents(stick)
        free = shutil.disk_usage(stick).free
        (stick / "other").write_bytes(bytes(free))
        done = there.run("answer", str(stick))
        assert done.returncode == 1 and "not enough room" in done.stderr
        (stick / "other").unlink()
        assert contents(stick) == before
        assert there.told("answer", str(stick))["cases"] == 1


def test_what_was_there_before_stays_when_something_fails(tmp_path: Path) -> None:
    put_file(tmp_path / "given", b"before")
    with pytest.raises(NotPossible), nothing_half(tmp_path, "given", "answer"):
        save(tmp_path / "answer", b"half")
        raise NotPossible("It failed.")
    assert list(contents(tmp_path).values()) == [b"before"]


def test_an_answer_to_another_question_changes_nothing(at_base: Base) -> None:
    case, stick = answered(at_base)
    other = at_base.root / "other"
    at_base.told("ask", str(other))
    shutil.copy(stick / "answer", other / "answer")
    done = at_base.run("ask", str(other), "--take")
    assert done.returncode == 1 and "no answer to what was asked" in done.stderr
    assert at_base.identities(case) == ["identity-0001.age"]


def test_an_answer_of_another_service_changes_nothing(at_base: Base, tmp_path: Path) -> None:
    case, stick = answered(at_base)
    (tmp_path / "second" / "stick").mkdir(parents=True)
    elsewhere = Base(tmp_path / "second")
    _case, other = answered(elsewhere)
    for name in ("answer", "ask"):
        shutil.copy(other / name, stick / name)
        done = at_base.run("ask", str(stick), "--take")
        assert done.returncode == 1 and "not signed by a key that is enrolled" in done.stderr
    assert at_base.identities(case) == ["identity-0001.age"]


def test_an_answer_that_is_older_than_the_newest_card_changes_nothing(at_base: Base) -> None:
    case, stick = answered(at_base)
    away = at_base.root / "away"
    there = Base.__new__(Base)
    there.__dict__ |= {**at_base.__dict__, "keys": away}
    at_base.told("card", "--take", there.told("card", "--next")["made"])
    done = at_base.run("ask", str(stick), "--take")
    assert done.returncode == 1 and "another card since" in done.stderr
    assert at_base.identities(case) == ["identity-0001.age"]
    # Nor is a question answered that was asked by the card before.
    done = there.run("answer", str(stick))
    assert done.returncode == 1 and "another card of the service" in done.stderr


def test_a_question_that_was_altered_on_the_way_is_not_answered(at_base: Base) -> None:
    at_base.sent()
    there, stick = safe(at_base), at_base.root / "stick"
    at_base.told("ask", str(stick))
    for path in (stick / "ask", next((stick / "asked").iterdir())):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        before = path.read_bytes()
        path.write_bytes(data)
        assert there.run("answer", str(stick)).returncode == 1
        assert not (stick / "answer").exists() and not (stick / "given").exists()
        path.write_bytes(before)
