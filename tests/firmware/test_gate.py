"""The gate in doubt: whatever it cannot read, or cannot be sure of, films nothing."""

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.protocol.case_record import CaseRecord
from appliance.protocol.permits import PressRefusal
from appliance.protocol.requests import FRESH_SECONDS
from appliance.records.audit import check_chain
from appliance.records.clock import Correction, Kept, Sources, Trust
from appliance.records.files import LARGEST_FACT, load_fact, new_id, to_json
from firmware.gate import Gate
from firmware.recorder import State
from firmware.room import Room
from tests.support.clocks import NOON
from tests.support.fakes import CASE, PRACTITIONER, Stage


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Stage]:
    kit = Stage(tmp_path)
    yield kit
    kit.close()


def cut(record: Path) -> None:
    record.write_bytes(record.read_bytes()[:-3])


def pipe(record: Path) -> None:
    record.unlink()
    os.mkfifo(record)


def folder(record: Path) -> None:
    record.unlink()
    record.mkdir()


def link(target: str) -> Callable[[Path], None]:
    def put(record: Path) -> None:
        record.unlink()
        record.symlink_to(target)

    return put


def link_to_itself_elsewhere(record: Path) -> None:
    """The same words, and whoever wrote the link can change them without touching the case."""
    record.symlink_to(record.rename(record.parents[2] / "elsewhere.json"))


def order_that_leads_nowhere(record: Path) -> None:
    (record.parent / "withdrawal").symlink_to("nowhere")


def says(old: str, new: str) -> Callable[[Path], None]:
    def put(record: Path) -> None:
        text = record.read_text()
        assert old in text
        record.write_text(text.replace(old, new))

    return put


def another_familys(record: Path) -> None:
    other = CaseRecord(id=new_id(), recipient=str(CASE.recipient), state="open")
    record.write_bytes(to_json(other))


def file_for_the_case(record: Path) -> None:
    record.unlink()
    record.parent.rmdir()
    record.parent.write_text("")


def no_case_at_all(record: Path) -> None:
    record.unlink()
    record.parent.rmdir()


DAMAGED: dict[str, Callable[[Path], None]] = {
    "missing": Path.unlink,
    "empty": lambda record: record.write_bytes(b"") and None,
    "cut short": cut,
    "not text": lambda record: record.write_bytes(b"\xff" * 80) and None,
    "no record": lambda record: record.write_bytes(b"[]") and None,
    "too large": lambda record: os.truncate(record, LARGEST_FACT + 1),
    "of another version": says("/v", "/v9"),
    "a field too many": says("{", '{"more":1,'),
    "without its state": says(',"state":"open"', ""),
    "a state nobody knows": says('"open"', '"perhaps"'),
    "withdrawn": says('"open"', '"withdrawn"'),
    "another family's": another_familys,
    "a pipe": pipe,
    "a folder": folder,
    "a link that leads nowhere": link("nowhere"),
    "a link to itself": link("case.json"),
    "a link to the right words": link_to_itself_elsewhere,
    "an order to withdraw that leads nowhere": order_that_leads_nowhere,
    "a link to what never ends": link("/dev/zero"),
    "a file for the case": file_for_the_case,
    "no case at all": no_case_at_all,
}


@pytest.mark.parametrize("how", DAMAGED)
def test_a_case_that_cannot_be_read_is_not_filmed(kit: Stage, how: str) -> None:
    kit.arm()
    assert kit.state is State.READY
    DAMAGED[how](kit.home.case(kit.case) / "case.json")
    kit.press()
    assert kit.status.reason == PressRefusal.WITHDRAWN.value and not kit.films()
    kit.ask(kit.preview())
    assert "camera on" not in kit.happened


@pytest.mark.parametrize("how", DAMAGED)
def test_a_case_that_cannot_be_read_any_more_ends_its_film(kit: Stage, how: str) -> None:
    kit.arm()
    kit.press()
    kit.advance(0.5)
    assert kit.camera.open
    DAMAGED[how](kit.home.case(kit.case) / "case.json")
    kit.notice()
    assert not kit.camera.open
    kit.settle()
    assert kit.status.ended == "withdrawn"


@pytest.mark.parametrize("how", DAMAGED)
def test_a_case_that_cannot_be_read_any_more_ends_framing(kit: Stage, how: str) -> None:
    kit.arm()
    kit.ask(kit.preview())
    assert kit.state is State.PREVIEW
    DAMAGED[how](kit.home.case(kit.case) / "case.json")
    kit.notice()
    assert not kit.camera.open


def test_a_record_cut_anywhere_is_not_filmed(kit: Stage) -> None:
    record = kit.home.case(kit.case) / "case.json"
    whole = record.read_bytes()
    for length in range(len(whole.rstrip())):
        record.write_bytes(whole[:length])
        assert kit.gate.withdrawn(kit.case)
    record.write_bytes(whole)
    assert not kit.gate.withdrawn(kit.case)
    assert load_fact(record, CaseRecord) is not None


@pytest.mark.parametrize("name", ["", "..", "../cases", "no id", "a" * 17, "A" * 16, "\0" * 16])
def test_what_is_no_case_is_not_filmed(kit: Stage, name: str) -> None:
    assert kit.gate.withdrawn(name)


@pytest.mark.parametrize("change", ["limit", "films", "not_after", "sound", "kind"])
def test_a_permit_that_was_changed_while_filming_ends_the_film(kit: Stage, change: str) -> None:
    """The same order with other words in it is another: what was begun under is gone."""
    permit = kit.arm()
    kit.press()
    assert kit.camera.open
    changes = {
        "limit": 5,
        "films": 1,
        "not_after": permit.not_before,
        "sound": False,
        "kind": "review",
    }
    kit.arm(**{"id": permit.id, "not_after": permit.not_after, change: changes[change]})
    assert not kit.camera.open
    kit.settle()
    assert kit.status.ended == "page"


@pytest.mark.parametrize("how", ["empty", "not text", "a pipe", "a folder", "missing", "cut short"])
def test_a_permit_that_cannot_be_read_any_more_ends_the_film(kit: Stage, how: str) -> None:
    kit.arm()
    kit.press()
    assert kit.camera.open
    current = kit.home.permits / "current"
    if how == "cut short":
        # In the midst of what it says.
        current.write_bytes(current.read_bytes()[:40])
    else:
        DAMAGED[how](current)
    kit.notice()
    assert not kit.camera.open
    kit.settle()
    assert kit.status.ended == "page"


# --- The kit itself ---------------------------------------------------------------------------


def gate_of(
    kit: Stage,
    *,
    room: Room | None = None,
    lit: bool = True,
    sources: Callable[[], Sources] = Sources,
) -> Gate:
    """A gate on this kit's books that nobody has told the time; the rest of the kit is well."""
    return Gate(
        kit.home,
        kit.books,
        kit.clock,
        kit.log,
        room or kit.room,
        kit.board,
        lambda: lit,
        lambda: True,
        lambda: True,
        sources=sources,
    )


class Card(Room):
    """A card with room for so many seconds, which may refuse to hold them."""

    def __init__(self, seconds: float, holds: bool) -> None:
        self._left, self._holds = seconds, holds

    def seconds(self) -> float:
        return self._left

    def reserve(self, seconds: float) -> bool:
        return self._holds and seconds <= self._left


@pytest.mark.parametrize(
    ("left", "holds", "lit", "refusal"),
    [
        (10, True, True, None),
        (9.9, True, True, PressRefusal.CARD_FULL),
        (10, False, True, PressRefusal.CARD_FULL),
        (10, True, False, PressRefusal.LIGHT_BROKEN),
    ],
)
def test_a_press_films_where_card_and_light_can_do_all_of_it(
    kit: Stage, left: float, holds: bool, lit: bool, refusal: PressRefusal | None
) -> None:
    gate = gate_of(kit, room=Card(left, holds), lit=lit)
    assert gate.vouch(kit.vouch_note())
    permit = kit.arm(limit=10)
    assert gate.answer(reserve=True) == (refusal or permit)


# --- The time -----------------------------------------------------------------------------------


class Machine:
    """What a machine says of the time, and a gate that asks it: nobody has vouched there."""

    def __init__(self, kit: Stage) -> None:
        self.sources = Sources()
        self.kit = kit
        self.gate = gate_of(kit, sources=lambda: self.sources)

    def told(self) -> list[str]:
        """What the log has of it: where each time came from."""
        log = (self.kit.home.log("recorder") / "log").read_bytes()
        return [e.ids["network"] for e in check_chain(log) if e.event == "time-by-machine"]


@pytest.fixture
def machine(kit: Stage) -> Machine:
    return Machine(kit)


def test_a_time_that_nobody_and_no_machine_says_is_none(machine: Machine) -> None:
    permit = machine.kit.permit()
    assert machine.gate.time().now is None and machine.gate.left(permit) == 0
    assert machine.gate.answer() is not permit and machine.told() == []


def test_a_machine_is_asked_once_and_the_boot_clock_goes_on_from_there(machine: Machine) -> None:
    """Whoever sets that machine's clock afterwards moves no film's end."""
    clock = machine.kit.clock
    machine.sources = Sources(from_network=True)
    began = machine.gate.time()
    assert (began.trust, began.now) == (Trust.TRUSTED, clock.wall)
    clock.advance(60)
    clock.wall += timedelta(hours=3)
    assert machine.gate.time().now == clock.wall - timedelta(hours=3)
    machine.sources = Sources()
    assert machine.gate.time().now == clock.wall - timedelta(hours=3)
    assert machine.told() == ["True"]
    permit = machine.kit.arm(not_before=NOON)
    assert machine.gate.answer() == permit


def test_a_persons_word_stands_before_a_machines_and_the_difference_is_said(
    machine: Machine,
) -> None:
    kit, clock = machine.kit, machine.kit.clock
    machine.sources = Sources(from_network=True)
    assert machine.gate.time().now == clock.wall and machine.gate.other_time() is None
    assert machine.gate.vouch(kit.vouch_note())
    assert machine.gate.other_time() is machine.gate.disagrees is None
    clock.advance(1)
    hour = timedelta(hours=1)
    assert machine.gate.vouch(kit.vouch_note(time=clock.wall + hour))
    assert machine.gate.time().now == clock.wall + hour
    assert machine.gate.other_time() == machine.gate.disagrees == clock.wall


def test_a_clock_chip_counts_on_from_what_was_vouched_for(machine: Machine) -> None:
    kit, clock = machine.kit, machine.kit.clock
    machine.sources = Sources(chip=5_000)
    assert machine.gate.time().now is None
    assert machine.gate.vouch(kit.vouch_note())
    clock.boot, clock.wall = "the next boot", datetime(1970, 1, 1, tzinfo=UTC)
    after = Machine(kit)
    after.sources = Sources(chip=5_000 + 3600)
    assert after.gate.time().now == NOON + timedelta(hours=1)
    assert after.told() == ["False"]
    # One that lost its battery begins again, far below.
    flat = Machine(kit)
    flat.sources = Sources(chip=12)
    assert flat.gate.time().now is None


def test_the_chip_is_looked_at_again_as_time_goes_on(machine: Machine) -> None:
    kit = machine.kit
    machine.sources = Sources(chip=5_000)
    assert machine.gate.vouch(kit.vouch_note())
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
    assert machine.gate.vouch(kit.vouch_note())
    permit = kit.arm()
    assert machine.gate.answer() == permit
    right = clock.wall - timedelta(hours=1)
    assert machine.gate.correct(correction(kit, right))
    assert permit.id in kit.books.books.disarmed
    assert machine.gate.answer() is PressRefusal.DISARMED
    assert machine.gate.disagrees == clock.wall
    assert kit.books.kept == Kept(chip=5_000, time=right)
    # Where nothing is armed, nothing is taken away.
    assert machine.gate.correct(correction(kit, right))
    assert kit.books.books.disarmed == (permit.id,)


def test_where_no_order_lies_nobody_has_signed_one(machine: Machine) -> None:
    permit = machine.kit.arm()
    assert machine.gate.signer(permit) == PRACTITIONER.signer.verifier
    machine.kit.disarm()
    assert machine.gate.signer(permit) is None


@pytest.mark.parametrize(("late", "good"), [(0, True), (0.5, False)])
def test_a_word_counts_for_as_long_as_it_is_fresh(
    machine: Machine, late: float, good: bool
) -> None:
    kit, gate = machine.kit, machine.gate
    asked, note = kit.preview(), correction(kit, kit.clock.wall)
    kit.clock.advance(FRESH_SECONDS + late)
    assert gate.may_frame(asked.note) is good
    kit.clock.advance(FRESH_SECONDS)
    assert gate.may_correct(note) is good


def test_a_word_of_an_earlier_boot_stands_in_no_ones_way(machine: Machine) -> None:
    kit, clock = machine.kit, machine.kit.clock
    assert machine.gate.vouch(kit.vouch_note())
    clock.boot, clock.seconds = "the next boot", 10.0
    assert machine.gate.vouch(kit.vouch_note())
    assert machine.gate.time().now == clock.wall
