"""The recorder's time: a person's word, a machine's, the chip's, and which of them counts."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.protocol.permits import PressRefusal
from appliance.protocol.requests import FRESH_SECONDS
from appliance.records.audit import check_chain
from appliance.records.clock import Correction, Kept, Sources, Trust
from appliance.records.files import to_json
from firmware.gate import Gate
from firmware.timekeeper import Timekeeper
from tests.support.clocks import NOON
from tests.support.fakes import PRACTITIONER, Stage


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Stage]:
    kit = Stage(tmp_path)
    yield kit
    kit.close()


class Machine:
    """What a machine says of the time, and a gate that asks it: nobody has vouched there."""

    def __init__(self, kit: Stage) -> None:
        self.sources = Sources()
        self.kit = kit
        self.time = Timekeeper(kit.books, kit.clock, kit.log, lambda: self.sources)
        self.gate = Gate(kit.home, kit.books, kit.log, self.time, kit.space, lambda sound: None)

    def told(self) -> list[str]:
        """What the log has of it: where each time came from."""
        log = (self.kit.home.log("recorder") / "log").read_bytes()
        return [e.ids["network"] for e in check_chain(log) if e.event == "time-by-machine"]


@pytest.fixture
def machine(kit: Stage) -> Machine:
    return Machine(kit)


def test_a_time_that_nobody_and_no_machine_says_is_none(machine: Machine) -> None:
    permit = machine.kit.permit()
    assert machine.time.now is None and machine.gate.left(permit) == 0
    assert machine.gate.answer() is not permit and machine.told() == []


def test_a_machine_is_asked_once_and_the_boot_clock_goes_on_from_there(machine: Machine) -> None:
    """Whoever sets that machine's clock afterwards moves no film's end."""
    clock = machine.kit.clock
    machine.sources = Sources(from_network=True)
    began = machine.time.read()
    assert (began.trust, began.now) == (Trust.TRUSTED, clock.wall)
    clock.advance(60)
    clock.wall += timedelta(hours=3)
    assert machine.time.now == clock.wall - timedelta(hours=3)
    machine.sources = Sources()
    assert machine.time.now == clock.wall - timedelta(hours=3)
    assert machine.told() == ["True"]
    permit = machine.kit.arm(not_before=NOON)
    assert machine.gate.answer() == permit


def test_a_persons_word_stands_before_a_machines_and_the_difference_is_said(
    machine: Machine,
) -> None:
    kit, clock = machine.kit, machine.kit.clock
    machine.sources = Sources(from_network=True)
    assert machine.time.now == clock.wall and machine.time.other_time() is None
    assert machine.time.vouch(kit.vouch_note())
    assert machine.time.other_time() is machine.time.disagrees is None
    clock.advance(1)
    hour = timedelta(hours=1)
    assert machine.time.vouch(kit.vouch_note(time=clock.wall + hour))
    assert machine.time.now == clock.wall + hour
    assert machine.time.other_time() == machine.time.disagrees == clock.wall


def test_a_clock_chip_counts_on_from_what_was_vouched_for(machine: Machine) -> None:
    kit, clock = machine.kit, machine.kit.clock
    machine.sources = Sources(chip=5_000)
    assert machine.time.now is None
    assert machine.time.vouch(kit.vouch_note())
    clock.boot, clock.wall = "the next boot", datetime(1970, 1, 1, tzinfo=UTC)
    after = Machine(kit)
    after.sources = Sources(chip=5_000 + 3600)
    assert after.time.now == NOON + timedelta(hours=1)
    assert after.told() == ["False"]
    # One that lost its battery begins again, far below.
    flat = Machine(kit)
    flat.sources = Sources(chip=12)
    assert flat.time.now is None


def test_the_chip_is_looked_at_again_as_time_goes_on(machine: Machine) -> None:
    kit = machine.kit
    machine.sources = Sources(chip=5_000)
    assert machine.time.vouch(kit.vouch_note())
    kit.clock.advance(2 * 86_400)
    machine.sources = Sources(chip=5_000 + 2 * 86_400)
    machine.gate.answer()
    assert kit.books.kept == Kept(chip=5_000 + 2 * 86_400, time=kit.clock.wall)


def correction(kit: Stage, to: datetime) -> str:
    now = kit.clock.read()
    said = Correction(kit=kit.books.kit, time=to, boot=now.boot, boottime=now.boottime)
    return PRACTITIONER.signer.sign(to_json(said).decode() + "\n")


def test_a_time_that_is_put_right_disarms_counts_on_by_the_chip_and_says_who_disagrees(
    machine: Machine,
) -> None:
    kit, clock = machine.kit, machine.kit.clock
    machine.sources = Sources(from_network=True, chip=5_000)
    assert machine.time.vouch(kit.vouch_note())
    permit = kit.arm()
    assert machine.gate.answer() == permit
    right = clock.wall - timedelta(hours=1)
    assert machine.gate.correct(correction(kit, right))
    assert permit.id in kit.books.books.disarmed
    assert machine.gate.answer() is PressRefusal.DISARMED
    assert machine.time.disagrees == clock.wall
    assert kit.books.kept == Kept(chip=5_000, time=right)
    # Where nothing is armed, nothing is taken away.
    assert machine.gate.correct(correction(kit, right))
    assert kit.books.books.disarmed == (permit.id,)


@pytest.mark.parametrize(("late", "good"), [(0, True), (0.5, False)])
def test_a_word_counts_for_as_long_as_it_is_fresh(
    machine: Machine, late: float, good: bool
) -> None:
    kit, gate = machine.kit, machine.gate
    asked, note = kit.preview(), correction(kit, kit.clock.wall)
    kit.clock.advance(FRESH_SECONDS + late)
    assert gate.may_frame(asked.note) is good
    kit.clock.advance(FRESH_SECONDS)
    assert (machine.time.correction(note) is not None) is good


def test_a_word_of_an_earlier_boot_stands_in_no_ones_way(machine: Machine) -> None:
    kit, clock = machine.kit, machine.kit.clock
    assert machine.time.vouch(kit.vouch_note())
    clock.boot, clock.seconds = "the next boot", 10.0
    assert machine.time.vouch(kit.vouch_note())
    assert machine.time.now == clock.wall
