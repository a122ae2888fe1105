"""The gate in doubt: whatever it cannot read, or cannot be sure of, films nothing."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.protocol.case_record import CaseRecord
from appliance.protocol.permits import PressRefusal
from appliance.protocol.status import State
from appliance.records.clock import Correction
from appliance.records.files import LARGEST_FACT, load_fact, new_id, to_json
from appliance.records.signing import sign_fact
from firmware.board import Equipment
from firmware.free_space import FreeSpace
from firmware.gate import Gate
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


class Card(FreeSpace):
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
    kit.light.broken = not lit
    trouble = Equipment(kit.light, kit.camera, kit.board, True).trouble
    gate = Gate(kit.home, kit.books, kit.log, kit.time, Card(left, holds), trouble)
    permit = kit.arm(limit=10)
    assert gate.answer(reserve=True) == (refusal or permit)


def test_where_no_order_lies_nobody_has_signed_one(kit: Stage) -> None:
    permit = kit.arm()
    assert kit.gate.signer(permit) == PRACTITIONER.signer.verifier
    kit.disarm()
    assert kit.gate.signer(permit) is None


def test_what_was_disarmed_with_a_wrong_time_is_disarmed_once(kit: Stage) -> None:
    """In the log, which somebody reads to see what the kit was armed for."""
    kit.arm()
    now = kit.clock.read()
    said = Correction(kit=kit.books.kit, time=now.wall, boot=now.boot, boottime=now.boottime)
    assert kit.gate.correct(sign_fact(PRACTITIONER.signer, said))
    kit.disarm()
    kit.notice()
    assert kit.events().count("disarmed") == 1
