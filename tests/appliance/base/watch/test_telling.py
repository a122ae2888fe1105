"""Who does not look is told: what, since when, what to do, and never a secret."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.base.status import Finding
from appliance.base.watch.telling import (
    STANDS_STILL,
    Heartbeat,
    beat,
    failed,
    figures,
    notify,
    stands_still,
)
from appliance.errors import BadInput, NotPossible, StoreFull
from appliance.records.files import load_fact, new_id
from tests.support.bases import Base

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
FOUND = Finding("Kit x is silent.", NOW - timedelta(days=20), "Where is it?")


@pytest.fixture
def command(tmp_path: Path) -> Path:
    """Somebody's own command, which keeps what it was given."""
    path = tmp_path / "tell"
    path.write_text(f"#!/bin/sh\ncat >{tmp_path}/given\nenv >{tmp_path}/environment\n")
    path.chmod(0o755)
    return path


def given(tmp_path: Path) -> dict[str, object]:
    told = json.loads((tmp_path / "given").read_text())
    assert isinstance(told, dict)
    return told


def test_a_command_is_told_what_since_when_and_what_to_do(tmp_path: Path, command: Path) -> None:
    notify(f"{command} --loud", [FOUND], NOW)
    assert given(tmp_path) == {
        "at": "2026-11-29T12:00:00+00:00",
        "findings": [
            {
                "what": FOUND.what,
                "since": "2026-11-09T12:00:00+00:00",
                "to_do": FOUND.to_do,
                "sentence": FOUND.sentence,
            }
        ],
    }


def test_a_command_that_fails_or_is_none_is_told(tmp_path: Path) -> None:
    for wrong in ("/bin/false", str(tmp_path / "not-there"), ""):
        with pytest.raises(NotPossible, match="Nobody was told"):
            notify(wrong, [FOUND], NOW)
    with pytest.raises(BadInput):
        notify("mail 'lead", [FOUND], NOW)


def test_rounds_that_come_to_no_end_are_told_and_so_is_what_ended_one(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    assert "has stopped" in next(stands_still(path, NOW)).what
    beat(path, NOW)
    assert load_fact(path, Heartbeat) == Heartbeat(at=NOW)
    assert list(stands_still(path, NOW + STANDS_STILL)) == []
    (found,) = stands_still(path, NOW + STANDS_STILL + timedelta(seconds=1))
    assert (found.since, "systemctl status" in found.to_do) == (NOW, True)
    beat(path, NOW, "store-full")
    assert "store-full" in next(stands_still(path, NOW)).what
    path.write_text("half a")
    assert list(stands_still(path, NOW))


def test_figures_are_such_as_prometheus_reads(tmp_path: Path) -> None:
    path = tmp_path / "attune.prom"
    before = os.umask(0o077)  # As the unit has it.
    try:
        figures(path, [FOUND], {"kits": 3}, NOW)
    finally:
        os.umask(before)
    rows = dict(line.split() for line in path.read_text().splitlines() if not line.startswith("#"))
    assert rows == {
        "attune_base_looked_timestamp_seconds": f"{NOW.timestamp():.0f}",
        "attune_base_findings": "1",
        "attune_base_oldest_finding_seconds": "1728000",
        "attune_base_kits": "3",
    }
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_store_that_cannot_be_looked_at_is_a_finding_as_well() -> None:
    found = failed(StoreFull("The store is full.", "Make room."))
    assert found.what.endswith("The store is full.") and found.to_do == "Make room."


def test_status_tells_a_command_of_an_order_that_waits_and_nothing_that_is_secret(
    tmp_path: Path, command: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/not-for-you")
    monkeypatch.setenv("SECRET_WORD", "swordfish")
    at_base = Base(tmp_path)
    words = ("--notify", str(command), "--textfile", str(tmp_path / "x.prom"))
    done = at_base.run("status", *words)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "given").exists()
    other = f"kits/{new_id()}/card.json"
    (at_base.store / other).parent.mkdir(parents=True)
    (at_base.store / other).write_text("{}")
    assert at_base.run("status", *words).returncode == 1
    told = (tmp_path / "given").read_text()
    assert "is not enrolled" in told and "if it is yours" in told.lower()
    key = (at_base.keys / "service.key").read_text()
    assert not [word for word in key.split() if len(word) > 20 and word in told]
    assert {line.split("=")[0] for line in (tmp_path / "environment").read_text().split()} <= {
        "PATH", "HOME", "LANG", "LC_ALL", "TZ", "PWD", "_", "OLDPWD", "SHLVL",
    }  # fmt: skip
    assert "attune_base_findings 1" in (tmp_path / "x.prom").read_text()


@pytest.mark.parametrize("broken", ["figures", "store", "keys", "both"])
def test_whatever_fails_somebody_is_told_and_it_ends_as_a_failure(
    tmp_path: Path, command: Path, broken: str
) -> None:
    at_base = Base(tmp_path)
    textfile = tmp_path / "x.prom"
    if broken in ("figures", "both"):
        textfile = tmp_path / "not-there" / "x.prom"
    if broken in ("store", "both"):
        os.rename(at_base.store, tmp_path / "unplugged")
    if broken == "keys":
        (at_base.keys / "service.key").unlink()
        (at_base.keys / "service.key").mkdir()
    words = ("--notify", str(command), "--textfile", str(textfile))
    done = at_base.run("status", *words)
    assert done.returncode == 2, done.stderr
    told = (tmp_path / "given").read_text()
    assert ("figures" in told) is (broken in ("figures", "both"))
    assert ("could not look" in told) is (broken != "figures")
    assert "error" in at_base.told("status", *words, status=2) or broken == "figures"


def test_a_look_of_which_nobody_could_be_told_is_a_failure(tmp_path: Path) -> None:
    at_base = Base(tmp_path)
    card = at_base.store / f"kits/{new_id()}/card.json"
    card.parent.mkdir(parents=True)
    card.write_text("{}")
    textfile = tmp_path / "x.prom"
    done = at_base.run("status", "--notify", "/bin/false", "--textfile", str(textfile))
    assert done.returncode == 2 and "Nobody was told" in done.stderr
    assert "attune_base_findings 1" in textfile.read_text()
    assert at_base.told("status", "--notify", "/bin/false", status=2)["findings"]


def test_serve_leaves_word_of_its_rounds_and_status_reads_it(tmp_path: Path) -> None:
    at_base = Base(tmp_path)
    path = str(tmp_path / "heartbeat")
    assert at_base.run("serve", "--once", "--heartbeat", path).returncode == 0
    assert at_base.run("status", "--heartbeat", path).returncode == 0
    os.rename(at_base.store, tmp_path / "unplugged")
    assert at_base.run("serve", "--once", "--heartbeat", path).returncode == 1
    assert load_fact(Path(path), Heartbeat).error == "store-missing"  # type: ignore[union-attr]
