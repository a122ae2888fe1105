"""An audit names whatever of a store is not as it should be, and changes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.protocol.objects import tombstone_object
from tests.support.bases import Base
from tests.support.homes import contents


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    """A service whose one kit is enrolled, with a family."""
    made = Base(tmp_path)
    made.told("enrol", str(made.kit.home.kit / "kit.json"))
    return made


def audit(at_base: Base, *words: str, status: int = 0) -> dict[str, Any]:
    return at_base.told("audit", *words, status=status)


def found(at_base: Base, *words: str) -> list[tuple[str, str]]:
    findings = audit(at_base, *words, status=1)["audit"]["findings"]
    return [(finding["object"], finding["code"]) for finding in findings]


def test_a_store_that_is_whole_is_looked_through_and_nothing_is_changed(at_base: Base) -> None:
    at_base.sent()
    at_base.withdrawn()
    assert at_base.run("serve", "--once").returncode == 0
    before = contents(at_base.root)
    told = audit(at_base, "--sample", "100")
    assert (told["ok"], told["audit"]["findings"], told["waiting"]) == (True, [], [])
    assert told["audit"]["films"] == 2 and told["audit"]["read"] == 2 * FILES
    assert audit(at_base)["audit"]["read"] == 0
    assert contents(at_base.root) == before


FILES = 4
"""Segments and indexes of a film."""


def lost(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])


def altered(path: Path) -> None:
    path.chmod(0o600)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize(
    ("file", "fault", "code"),
    [
        ("recordings/FILM/0000.mp4.age", lost, "missing"),
        ("recordings/FILM/0001.index.age", cut, "size"),
        ("recordings/FILM/0000.index.age", altered, "content"),
        ("recordings/FILM/manifest", altered, "manifest"),
        ("recordings/FILM/manifest", lost, "no-manifest"),
        ("identity-0001.age", lost, "key"),
        ("identity-0001.age", altered, "key"),
    ],
)
def test_what_is_lost_or_altered_is_named(
    at_base: Base, file: str, fault: Callable[[Path], None], code: str
) -> None:
    case = at_base.sent()
    (film,) = (path.name for path in at_base.kit.home.recordings.iterdir())
    path = at_base.store / "cases" / case / file.replace("FILM", film)
    fault(path)
    ((name, told),) = found(at_base, "--sample", "100")
    assert told == code
    assert name.startswith(f"cases/{case}/recordings/{film}/") or name == f"Case {case}"


def test_a_key_that_came_back_and_an_answer_that_is_another_are_named(at_base: Base) -> None:
    case, _ = at_base.withdrawn()
    other, _ = at_base.withdrawn()
    assert at_base.run("serve", "--once").returncode == 0
    planted = at_base.store / tombstone_object(at_base.kit.case().id)
    planted.write_bytes(b"forged")
    assert (tombstone_object(planted.name), "answer") in found(at_base)
    assert at_base.identities(case) == at_base.identities(other) == []


def test_what_waits_to_be_done_is_told(at_base: Base) -> None:
    case, order = at_base.withdrawn()
    told = audit(at_base, status=1)
    assert [outcome["order"] for outcome in told["waiting"]] == [order]
    assert at_base.identities(case)
    done = at_base.run("audit")
    assert f"Not done yet: Case {case} is withdrawn." in done.stderr


def test_films_of_a_kit_that_is_not_enrolled_are_not_believed(at_base: Base) -> None:
    at_base.sent()
    (at_base.keys / "kits" / f"{at_base.kit.id}.pub").unlink()
    assert [code for _, code in found(at_base)] == ["manifest"]
