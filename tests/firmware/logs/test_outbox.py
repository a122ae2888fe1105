"""What is new in the logs goes to the service, sealed: once, and whatever is cut between."""

from pathlib import Path

import pytest

from appliance.age.unsealing import unseal
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.kit_logs import LogPart
from appliance.records.audit import Log, check_chain
from appliance.records.clock import SystemClock
from appliance.records.files import Home, new_id, save, save_fact
from appliance.records.signing import Signer, open_fact
from firmware.logs.outbox import Outbox
from tests.support.homes import practitioner, service

CLOCK = SystemClock()
SIGNER = Signer.generate(f"kit-{new_id()}")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home", tmp_path / "run")
    made.prepare(made.kit, made.removed)
    enrolled = Enrolled(service=service().card(), practitioners=(practitioner().card(),))
    save_fact(made.enrolled, enrolled)
    return made


def happened(home: Home, process: str, *events: str) -> None:
    log = Log(home.log(process), CLOCK)
    for event in events:
        log.write(event)


def parts(home: Home) -> list[LogPart]:
    """What the service reads."""
    return [
        open_fact(unseal(path.read_bytes(), [service().identity]), [SIGNER.verifier], LogPart)[0]
        for path in sorted(home.outbox.glob("*.age"))
    ]


def text(home: Home, process: str) -> bytes:
    """The log as its parts say."""
    return "".join(p.logs[process].text for p in parts(home) if process in p.logs).encode()


def test_each_part_has_what_was_written_since_and_together_they_are_the_logs(home: Home) -> None:
    happened(home, "recorder", "started")
    happened(home, "web", "unlocked", "armed")
    assert Outbox(home, SIGNER).put() == 1
    happened(home, "web", "locked")
    assert Outbox(home, SIGNER).put() == 1
    first, second = parts(home)
    assert (first.number, second.number, second.logs["web"].first) == (1, 2, 3)
    assert "recorder" not in second.logs
    for process in ("recorder", "web"):
        assert text(home, process) == (home.log(process) / "log").read_bytes()
    assert [entry.event for entry in check_chain(text(home, "web"))] == [
        "unlocked", "armed", "locked",
    ]  # fmt: skip


def test_with_nothing_new_there_is_no_part_and_nothing_is_written(home: Home) -> None:
    happened(home, "web", "unlocked")
    outbox = Outbox(home, SIGNER)
    assert (outbox.put(), outbox.put(), Outbox(home, SIGNER).put()) == (1, 0, 0)
    assert len(parts(home)) == 1


def test_the_notes_of_removed_films_go_along_once(home: Home) -> None:
    film = new_id()
    save(home.removed / film, b"a signed note\n")
    Outbox(home, SIGNER).put()
    save(home.removed / new_id(), b"another\n")
    Outbox(home, SIGNER).put()
    first, second = parts(home)
    assert first.removed == {film: "a signed note\n"}
    assert list(second.removed.values()) == ["another\n"]


@pytest.mark.parametrize("lie", [None, b"", b"nothing of ours", b"{}"])
def test_where_nobody_knows_what_was_put_there_all_goes_once_more_and_nothing_is_overwritten(
    home: Home, lie: bytes | None
) -> None:
    happened(home, "web", "unlocked")
    Outbox(home, SIGNER).put()
    kept = (home.outbox / "000001.age").read_bytes()
    (home.outbox / "so-far").unlink()
    if lie is not None:
        (home.outbox / "so-far").write_bytes(lie)
    happened(home, "web", "locked")
    assert Outbox(home, SIGNER).put() == 1
    assert (home.outbox / "000001.age").read_bytes() == kept
    assert [part.logs["web"].text.count("\n") for part in parts(home)] == [1, 2]


def test_after_a_cut_no_number_is_used_twice_and_every_line_goes(home: Home) -> None:
    happened(home, "web", "unlocked")
    Outbox(home, SIGNER).put()
    before = (home.outbox / "so-far").read_bytes()
    happened(home, "web", "armed")
    Outbox(home, SIGNER).put()
    # The plug was pulled before it was written down, and sync has sent the part by now.
    save(home.outbox / "so-far", before)
    sent = {path: path.read_bytes() for path in home.outbox.glob("*.age")}
    happened(home, "web", "locked")
    assert Outbox(home, SIGNER).put() == 1
    assert {path: path.read_bytes() for path in sent} == sent
    assert [part.number for part in parts(home)] == [1, 2, 3]
    last = parts(home)[-1].logs["web"]
    assert (last.first, last.text.count("\n")) == (2, 2)
    assert Outbox(home, SIGNER).put() == 0


def test_a_long_log_goes_in_several_parts(home: Home) -> None:
    log = Log(home.log("web"), CLOCK)
    for _ in range(30):
        log.append("unlocked", {"said": "x" * 50_000})
    assert Outbox(home, SIGNER).put() == 2
    assert text(home, "web") == (home.log("web") / "log").read_bytes()


def test_a_log_that_was_damaged_keeps_no_other(home: Home) -> None:
    happened(home, "web", "unlocked", "locked")
    happened(home, "sync", "confirmed")
    path = home.log("web") / "log"
    path.write_bytes(path.read_bytes().replace(b"locked", b"rocked"))
    Outbox(home, SIGNER).put()
    assert text(home, "sync") == (home.log("sync") / "log").read_bytes()


def test_a_kit_that_belongs_to_no_service_puts_nothing_there(home: Home) -> None:
    happened(home, "recorder", "started")
    home.enrolled.unlink()
    assert Outbox(home, SIGNER).put() == 0
    assert list(home.outbox.iterdir()) == []
