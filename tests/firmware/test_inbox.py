"""What is asked of the recorder: each once, by its own name, and answered at once."""

import os
import select
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.protocol.requests import CorrectTime, Enrol, LetIn, SetTime, Stop
from appliance.protocol.status import State
from appliance.records.clock import Correction
from appliance.records.files import Home, new_id, save, save_fact, to_json
from appliance.records.signing import Signer
from firmware.inbox import watch
from tests.support.fakes import FILMED_WITH, PRACTITIONER, SERVICE, Stage

STRANGER = Signer.generate("practitioner-x")


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.close()


def asked(kit: Stage) -> dict[str, Any]:
    """What every request says of itself."""
    now = kit.clock.read()
    return {"id": new_id(), "boot": now.boot, "boottime": now.boottime}


def corrected(kit: Stage, signer: Signer = PRACTITIONER.signer) -> CorrectTime:
    now = kit.clock.read()
    time = now.wall + timedelta(minutes=5)
    said = Correction(kit=kit.books.kit, time=time, boot=now.boot, boottime=now.boottime)
    return CorrectTime(**asked(kit), note=signer.sign(to_json(said).decode() + "\n"))


def test_what_came_of_a_request_is_told_at_once(kit: Stage) -> None:
    request = LetIn(**asked(kit), note="nothing")
    kit.ask(request)
    assert kit.told[-1].answers[request.id] == "refused"


@pytest.mark.parametrize("name", ["{id}.part", "{id}", "{id}.json.new", "x{id}.json", ".{id}.json"])
def test_only_a_file_of_the_requests_own_name_is_one(kit: Stage, name: str) -> None:
    """One that is still being written, or that another put beside it."""
    kit.arm()
    kit.press()
    request = Stop(**asked(kit))
    save(kit.home.web_requests / name.format(id=request.id), to_json(request))
    kit.notice()
    assert kit.state is State.FILMING and request.id not in kit.inbox.answers


@pytest.mark.parametrize("name", ["stop", "a" * 300, "A" * 16, "../x"])
def test_a_request_whose_name_is_no_id_is_none(kit: Stage, name: str) -> None:
    kit.arm()
    kit.press()
    request = Stop(**asked(kit) | {"id": name})
    path = kit.home.web_requests / f"{name[:200].replace('/', '')}.json"
    save_fact(path, request)
    kit.notice()
    assert kit.state is State.FILMING and name not in kit.inbox.answers


def test_what_cannot_be_read_is_looked_at_once_and_holds_nothing_up(kit: Stage) -> None:
    for number in range(40):
        (kit.home.web_requests / f"{number:016}.json").write_text("?")
    request = LetIn(**asked(kit), note="nothing")
    place = kit.home.web_requests / f"{request.id}.json"
    save(place, to_json(request))
    for _ in range(5):
        kit.notice()
    assert kit.inbox.answers[request.id] == "refused"


def test_what_was_confirmed_is_given_back_and_what_nobody_asked_is_not(kit: Stage) -> None:
    request = corrected(kit)
    assert kit.ask(request) == "waiting"
    assert kit.inbox.confirm(request.id) == request
    assert kit.inbox.answers[request.id] == "done"
    for again in (request.id, new_id()):
        assert kit.inbox.confirm(again) is None
        assert kit.inbox.answers[again] == "refused"


def test_what_counts_no_more_when_it_is_pressed_for_is_not_done(kit: Stage) -> None:
    request = corrected(kit)
    assert kit.ask(request) == "waiting"
    kit.clock.boot = "the next boot"
    assert kit.inbox.confirm(request.id) is None
    assert kit.inbox.answers[request.id] == "refused"


def test_asking_for_a_press_is_no_press(kit: Stage) -> None:
    """The kit is armed: whoever asks for another time begins no film."""
    kit.arm()
    assert kit.state is State.READY
    assert kit.ask(corrected(kit)) == "refused"
    assert kit.state is State.READY and not kit.films()


def test_a_permit_that_goes_while_a_press_is_asked_for_is_no_press_that_was_refused(
    kit: Stage,
) -> None:
    """The page takes it away to ask: the light says nothing of a press that nobody made."""
    kit.arm()
    request = corrected(kit)
    (kit.home.permits / "current").unlink()
    assert kit.ask(request) == "waiting"
    assert not kit.films() and "refused" not in kit.events()
    kit.press_when_asked()
    assert kit.inbox.answers[request.id] == "done"


def test_whoever_asks_to_close_the_camera_opens_none(kit: Stage) -> None:
    """With a note that would open it."""
    kit.arm()
    request = kit.preview()
    closing = type(request)(**asked(kit), open=False, note=request.note)
    assert kit.ask(closing) == "done"
    assert kit.state is not State.PREVIEW and "camera on" not in kit.happened


def test_a_forged_wish_to_open_the_camera_does_not_close_it(kit: Stage) -> None:
    kit.arm()
    assert kit.ask(kit.preview()) == "done" and kit.state is State.PREVIEW
    assert kit.ask(kit.preview(signer=STRANGER)) == "done", "it is open, as was asked"
    assert kit.state is State.PREVIEW


def test_a_close_look_is_for_who_may_frame_and_while_the_camera_is_open_for_it(kit: Stage) -> None:
    """Nothing opens for it, and it goes with the rest of what was framed."""

    def closely(signer: Signer = PRACTITIONER.signer) -> str:
        return kit.ask(msgspec.structs.replace(kit.preview(signer=signer), closely=True))

    kit.arm()
    assert closely() == "refused" and "camera on" not in kit.happened
    assert kit.ask(kit.preview()) == "done"
    assert closely(STRANGER) == "refused"
    kit.advance(1)
    assert kit.close_look is None and kit.status.looks == 0
    assert closely() == "done"
    kit.advance(1)
    assert kit.close_look and kit.status.looks == 1
    assert (kit.status.brightness, kit.status.filmed_with) == (0.5, FILMED_WITH)
    kit.press()
    assert kit.state is State.FILMING and closely() == "refused"
    assert kit.close_look is None and kit.status.brightness is None
    assert kit.status.filmed_with == FILMED_WITH


def test_a_false_time_is_in_the_log_once_and_a_true_one_never(kit: Stage) -> None:
    def said(signer: Signer) -> SetTime:
        return SetTime(**asked(kit), note=kit.vouch_note(signer))

    kit.clock.boot = "the next boot"
    assert kit.ask(said(PRACTITIONER.signer)) == "done"
    kit.ask(corrected(kit))
    assert "time-not-believed" not in kit.events()
    for _ in range(3):
        assert kit.ask(said(STRANGER)) == "refused"
    assert kit.events().count("time-not-believed") == 1
    assert kit.ask(corrected(kit, STRANGER)) == "refused"
    assert kit.events().count("time-not-believed") == 1


def test_a_false_correction_is_in_the_log_too(kit: Stage) -> None:
    assert kit.ask(corrected(kit, STRANGER)) == "refused"
    assert kit.events().count("time-not-believed") == 1


def test_who_a_kit_belongs_to_from_then_on_is_in_the_log(tmp_path: Path) -> None:
    kit = Stage(tmp_path, set_up=False)
    request = Enrol(**asked(kit), service=SERVICE.card(), practitioner=PRACTITIONER.card())
    assert kit.ask(request) == "waiting"
    kit.press_when_asked()
    assert kit.events().count("enrolled") == 1
    kit.close()


# --- Noticing -----------------------------------------------------------------------------------


def heard(end: int, seconds: float) -> bool:
    """Whether there was notice within so many seconds."""
    ready = bool(select.select([end], [], [], seconds)[0])
    return ready and bool(os.read(end, 1000))


def test_whatever_is_written_for_the_recorder_is_noticed_and_nothing_else(tmp_path: Path) -> None:
    """In a place that is not there yet, too, and in a case that comes later."""
    home = Home(tmp_path / "home", tmp_path / "run")
    home.prepare(home.permits, home.web_requests)
    end, tells = os.pipe()
    over = threading.Event()

    class Over(Exception):
        """It watches for ever otherwise."""

    def notice() -> None:
        if over.is_set():
            raise Over
        os.write(tells, b".")

    def watched() -> None:
        with suppress(Over):
            watch(home, notice)

    thread = threading.Thread(target=watched)
    thread.start()
    try:
        places = (home.permits, home.web_requests, home.cases, home.case(new_id()), home.inbox)
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
            for attempt in range(20):
                # Until it is watched, nobody knows what is written there.
                (place / f"{attempt}").write_text("")
                if heard(end, 1.5):
                    break
            else:
                pytest.fail(f"nobody noticed what was written in {place.name}")
        while heard(end, 1.5):
            pass
        assert not heard(end, 3), "nothing was written"
        (home.permits / "0").unlink(missing_ok=True)
        assert heard(end, 5), "something was taken away"
        assert thread.is_alive()
    finally:
        over.set()
        # However long it takes to notice that.
        while thread.is_alive():
            (home.permits / new_id()).write_text("")
            thread.join(0.1)
        os.close(end)
        os.close(tells)
