"""Signed checkpoints: what it has signed of a log can never again be otherwise."""

from pathlib import Path

import pytest

from appliance.errors import BadFile, BadSignature
from appliance.records.audit import Log, check_heads
from appliance.records.clock import SystemClock
from appliance.records.files import Home, new_id
from appliance.records.signing import Signer
from firmware.logs.checkpoints import Checkpoints
from tests.support.strange import STRANGE

CLOCK = SystemClock()
SIGNER = Signer.generate(f"kit-{new_id()}")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home", tmp_path / "run")


def happened(home: Home, process: str, *events: str) -> None:
    log = Log(home.log(process), CLOCK)
    for event in events:
        log.write(event)


def notes(home: Home) -> dict[str, str]:
    return {path.name: path.read_text() for path in (home.kit / "heads").iterdir()}


def test_each_look_at_the_logs_is_a_note_that_follows_the_one_before(home: Home) -> None:
    happened(home, "recorder", "started")
    Checkpoints(home, SIGNER, CLOCK).sign()
    happened(home, "web", "unlocked", "locked")
    Checkpoints(home, SIGNER, CLOCK).sign()
    first, second = check_heads(notes(home), [SIGNER.verifier])
    assert {name: head.number for name, head in first.logs.items()} == {"recorder": 1}
    assert {name: head.number for name, head in second.logs.items()} == {"recorder": 1, "web": 2}
    assert second.broken == () and second.kit == SIGNER.verifier.name.removeprefix("kit-")


def test_nothing_new_is_not_signed_again(home: Home) -> None:
    happened(home, "web", "unlocked")
    checkpoints = Checkpoints(home, SIGNER, CLOCK)
    assert checkpoints.sign() is not None
    assert checkpoints.sign() is None
    assert Checkpoints(home, SIGNER, CLOCK).sign() is None


def test_a_log_that_is_written_anew_is_named_and_signed_no_further(home: Home) -> None:
    happened(home, "web", "unlocked", "withdrawn")
    checkpoints = Checkpoints(home, SIGNER, CLOCK)
    checkpoints.sign()
    (home.log("web") / "log").unlink()
    happened(home, "web", "unlocked", "locked", "unlocked")
    found = checkpoints.sign()
    assert found is not None and found.broken == ("web",) and found.logs["web"].number == 2
    again = Checkpoints(home, SIGNER, CLOCK).sign()
    assert again is None, "what is known to be broken is not found out anew"


def test_a_log_that_was_cut_short_is_named(home: Home) -> None:
    happened(home, "sync", "confirmed", "confirmed")
    checkpoints = Checkpoints(home, SIGNER, CLOCK)
    checkpoints.sign()
    path = home.log("sync") / "log"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    found = checkpoints.sign()
    assert found is not None and found.broken == ("sync",)


@pytest.mark.parametrize("what", STRANGE)
def test_what_a_process_plants_in_the_place_of_its_log_is_named_and_hides_no_other(
    home: Home, what: str
) -> None:
    happened(home, "recorder", "started")
    happened(home, "sync", "confirmed")
    Checkpoints(home, SIGNER, CLOCK).sign()
    happened(home, "recorder", "armed")
    log = home.log("sync") / "log"
    log.unlink()
    STRANGE[what](log)
    found = Checkpoints(home, SIGNER, CLOCK).sign()
    assert found is not None and found.broken == ("sync",)
    assert found.logs["recorder"].number == 2 and found.logs["sync"].number == 1


def test_a_line_that_is_being_written_waits_for_the_next_look(home: Home) -> None:
    happened(home, "web", "unlocked")
    with open(home.log("web") / "log", "ab") as log:
        log.write(b'{"half')
    found = Checkpoints(home, SIGNER, CLOCK).sign()
    assert found is not None and found.broken == () and found.logs["web"].number == 1


def test_a_note_taken_out_altered_or_put_in_is_found(home: Home) -> None:
    for event in ("started", "armed", "disarmed"):
        happened(home, "recorder", event)
        Checkpoints(home, SIGNER, CLOCK).sign()
    true = notes(home)
    check_heads(true, [SIGNER.verifier])
    with pytest.raises(BadFile, match="000003"):
        check_heads({name: n for name, n in true.items() if name != "000002"}, [SIGNER.verifier])
    with pytest.raises(BadFile, match="000002"):
        check_heads(true | {"000002": true["000001"]}, [SIGNER.verifier])
    with pytest.raises(BadSignature):
        altered = true["000002"].replace('"number":2', '"number":1')
        check_heads(true | {"000002": altered}, [SIGNER.verifier])
    with pytest.raises(BadSignature):
        check_heads(true, [Signer.generate("kit-somebody").verifier])


def test_a_note_that_was_damaged_does_not_keep_the_kit_from_going_on(home: Home) -> None:
    happened(home, "web", "unlocked")
    Checkpoints(home, SIGNER, CLOCK).sign()
    (home.kit / "heads" / "000001").write_bytes(b"\xff\0")
    happened(home, "web", "locked")
    assert Checkpoints(home, SIGNER, CLOCK).sign() is not None
    assert sorted(path.name for path in (home.kit / "heads").iterdir()) == ["000001", "000002"]
