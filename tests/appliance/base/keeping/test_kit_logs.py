"""A kit's logs are at the service, and what is missing or altered of them is told."""

import shutil
from pathlib import Path

import pytest

from appliance.age.sealing import seal
from appliance.protocol.kit_logs import Lines, LogPart
from appliance.records.audit import Log
from appliance.records.files import new_id, save
from appliance.records.signing import Signer, sign_fact
from firmware.logs.checkpoints import Checkpoints
from firmware.logs.outbox import Outbox
from tests.support.bases import Base
from tests.support.homes import CLOCK, contents, service


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    """A service with a kit that has written, signed and sent its logs."""
    made = Base(tmp_path)
    made.told("enrol", str(made.kit.home.kit / "kit.json"))
    for events in (("unlocked", "armed"), ("disarmed", "locked")):
        log = Log(made.kit.home.log("web"), CLOCK)
        for event in events:
            log.write(event)
        written(made)
    return made


def written(at_base: Base) -> None:
    home, signer = at_base.kit.home, at_base.kit.signer
    Checkpoints(home, signer, CLOCK).sign()
    Outbox(home, signer).put()
    at_base.kit.sync()


def logs_at(at_base: Base) -> Path:
    return at_base.store / "kits" / at_base.kit.id / "logs"


def test_the_logs_of_a_kit_that_is_gone_can_be_read_at_base(at_base: Base) -> None:
    film = new_id()
    at_base.kit.home.prepare(at_base.kit.home.removed)
    save(at_base.kit.home.removed / film, b"a signed note\n")
    written(at_base)
    shutil.rmtree(at_base.kit.home.root)
    told = at_base.told("logs", at_base.kit.id)
    events = [one["entry"]["event"] for one in told["lines"] if one["process"] == "web"]
    assert events == ["unlocked", "armed", "disarmed", "locked"]
    assert told["removed"] == {film: "a signed note\n"} and told["problems"] == []
    printed = at_base.run("logs", at_base.kit.id).stdout
    assert "web       unlocked" in printed


def test_nothing_of_a_log_stands_at_the_store_in_clear(at_base: Base) -> None:
    for data in contents(logs_at(at_base)).values():
        assert b"unlocked" not in data and data.startswith(b"age-encryption.org/v1")


def problems(at_base: Base) -> str:
    return "\n".join(at_base.told("logs", at_base.kit.id, status=1)["problems"])


def test_a_part_that_is_missing_is_told(at_base: Base) -> None:
    (logs_at(at_base) / "000001.age").unlink()
    assert "Lines 1 to 2 of web's log are missing." in problems(at_base)


def test_a_part_that_never_came_is_told_by_the_kits_signed_heads(at_base: Base) -> None:
    (logs_at(at_base) / "000002.age").unlink()
    assert "web's log goes on to 4, and 2 lines have come." in problems(at_base)


def test_what_another_put_there_counts_for_nothing(at_base: Base) -> None:
    forged = LogPart(
        kit=at_base.kit.id, number=7, logs={"web": Lines(1, "{}\n")}, removed={}
    )  # fmt: skip
    note = sign_fact(Signer.generate(f"kit-{at_base.kit.id}"), forged).encode()
    recipient = service().card().sealing_key()
    (logs_at(at_base) / "000007.age").write_bytes(seal(note, [recipient]))
    (logs_at(at_base) / "000008.age").write_bytes(b"rubbish")
    (logs_at(at_base) / "x").write_bytes(b"rubbish")
    told = at_base.told("logs", at_base.kit.id, status=1)
    assert len([one for one in told["lines"] if one["process"] == "web"]) == 4
    assert len(told["problems"]) == 3


def test_a_kit_that_rewrote_its_log_is_told(at_base: Base) -> None:
    (at_base.kit.home.log("web") / "log").unlink()
    log = Log(at_base.kit.home.log("web"), CLOCK)
    for _ in range(6):
        log.write("unlocked")
    written(at_base)
    said = problems(at_base)
    assert "The kit saw that web's log was rewritten." in said and "broken at line" in said


def test_a_kit_that_nobody_knows_has_no_logs_here(at_base: Base) -> None:
    done = at_base.run("logs", "a" * 16)
    assert (done.returncode, "is not enrolled" in done.stderr) == (1, True)
