"""The recorder as a whole, without hardware: what a family and a practitioner would see."""

import os
import random
import struct
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.age.identities import generate_identity
from appliance.errors import CameraFailed
from appliance.film.manifest import EndReason, read_manifest
from appliance.film.recording import open_recording
from appliance.protocol.enrolment import Enrolled, Revocation
from appliance.protocol.permits import LONGEST_FILM, Books, Ceilings, PressRefusal
from appliance.protocol.requests import (
    FRESH_SECONDS,
    CorrectTime,
    Enrol,
    SetTime,
    Stop,
    place_request,
)
from appliance.protocol.status import Pattern, SoundLevel, State
from appliance.records.clock import EARLIEST, LARGEST_STEP, Correction, Judgement, Mark, Trust
from appliance.records.files import load_fact, new_id, save, to_json
from appliance.vault.keys import PrivateKeys
from firmware.camera import SAMPLE_RATE, TICKS, Camera, GuardedSink, Meter
from firmware.cameras.late import LateCamera
from firmware.cameras.scene import sound_frame
from firmware.capture import LONGEST_WITHOUT_PICTURE, LONGEST_WITHOUT_SOUND
from firmware.debounce import SETTLE
from firmware.light import CAPTURING
from firmware.recorder import PRESENCE_LASTS, PREVIEW_LASTS, REFUSAL_SHOWN
from firmware.runner import (
    ANSWERED_WITHIN,
    Died,
    Quit,
)
from tests.support.clocks import NOON, FakeClock
from tests.support.fakes import CASE, PRACTITIONER, SERVICE, FakeCamera, Reel, Stage

STRANGER = PrivateKeys.generate("practitioner", x25519=True)


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Stage]:
    kit = Stage(tmp_path)
    yield kit
    kit.close()


@pytest.fixture
def filming(kit: Stage) -> Stage:
    kit.arm()
    kit.press()
    assert kit.state is State.FILMING and kit.camera.open
    return kit


# --- A film from press to press -----------------------------------------------------------------


def test_a_press_films_and_a_press_ends_it(filming: Stage) -> None:
    filming.advance(3)
    filming.down()
    assert not filming.camera.open
    filming.up()
    filming.settle()
    assert filming.state is State.READY
    status = filming.status
    assert status.frames_in == status.frames_out == filming.manifest().ended.frames  # type: ignore[union-attr]
    assert status.frames_in in (90, 91, 92)
    assert (status.ended, status.segments, status.case) == ("button", 2, filming.case)
    assert set(status.timings_ms) == {
        "release_to_light",
        "release_to_camera",
        "release_to_sealed",
        "stop_to_closed",
    }
    (film,) = filming.films()
    opened = open_recording(film, [CASE], [filming.books.signer.verifier], check=True)
    assert opened.complete and len(opened.film.frames) == status.frames_in
    opened.close()


def test_the_light_is_on_before_the_camera_and_off_after_it(kit: Stage) -> None:
    kit.arm(limit=120)
    kit.press()
    kit.advance(1)
    kit.press()
    kit.settle()
    start, stop = (kit.happened.index(f"camera {what}") for what in ("on", "off"))
    assert kit.happened[start - 1] == "light on"
    assert "light off" not in kit.happened[start:stop]
    assert kit.happened[stop + 1] == "light off"


def test_a_film_ends_at_its_limit_and_not_before(filming: Stage) -> None:
    filming.advance(10 - 0.25)
    assert filming.state is State.FILMING and filming.camera.open
    filming.advance(0.25)
    assert not filming.camera.open
    filming.settle()
    assert filming.status.ended == "limit"
    ended = filming.manifest().ended
    assert ended is not None and 9.9 <= ended.seconds <= 10


def test_a_recorder_that_hangs_does_not_film_beyond_the_limit(filming: Stage) -> None:
    # Time passes and pictures come, but the runner is never asked.
    for _ in range(15 * 30):
        filming.clock.advance(1 / 30)
        filming.camera.roll()
    filming.work()
    filming.settle()
    ended = filming.manifest().ended
    assert ended is not None and ended.seconds == pytest.approx(10, abs=0.001)
    assert ended.why is EndReason.LIMIT


@pytest.mark.parametrize(("hung", "films"), [(ANSWERED_WITHIN, 1), (ANSWERED_WITHIN + 0.01, 0)])
def test_a_press_that_waited_while_the_recorder_hung_films_nothing(
    kit: Stage, hung: float, films: int
) -> None:
    kit.arm()
    kit.pin.drive_low()
    kit.clock.advance(0.2)
    kit.pin.drive_high()
    kit.clock.advance(SETTLE + hung)
    kit.work()
    assert len(kit.films()) == films
    if not films:
        assert (kit.light.pattern, kit.status.reason) == (Pattern.REFUSED, "too-late")
        kit.advance(REFUSAL_SHOWN + 0.1)
        kit.press()
        assert kit.state is State.FILMING


def test_a_press_that_waited_while_the_recorder_hung_stops_a_film_all_the_same(
    filming: Stage,
) -> None:
    filming.pin.drive_low()
    filming.clock.advance(0.2)
    filming.pin.drive_high()
    filming.clock.advance(5)
    filming.work()
    filming.settle()
    assert not filming.camera.open and filming.state is not State.FILMING


def test_why_there_was_a_fault_is_told_after_it_was_acknowledged_too(kit: Stage) -> None:
    kit.arm()
    kit.camera.fails_to_start = True
    kit.press()
    kit.settle()
    kit.disarm()
    kit.press()
    assert (kit.state, kit.status.reason) == (State.IDLE, "camera-failed")


def test_every_film_counts_before_the_camera_opens(kit: Stage) -> None:
    permit = kit.arm(films=1)
    kit.camera.fails_to_start = True
    kit.press()
    kit.settle()
    assert kit.state is State.FAULT
    books = load_fact(kit.home.kit / "books.json", Books)
    assert books is not None and books.films == {permit.id: 1}
    kit.camera.fails_to_start = False
    kit.press()
    kit.press()
    kit.advance(0.5)
    assert kit.state is State.REFUSED
    assert kit.status.reason == "films-used"


def test_the_second_of_two_films_is_a_film_of_its_own(filming: Stage) -> None:
    for _ in range(2):
        filming.advance(1)
        filming.press()
        filming.settle()
        filming.press()
    filming.press()
    filming.settle()
    assert len(filming.films()) == 3
    assert filming.state is State.IDLE
    assert filming.status.reason == "films-used"


def test_nothing_that_happens_is_left_out_of_the_log(filming: Stage) -> None:
    filming.advance(1)
    filming.press()
    filming.settle()
    filming.disarm()
    filming.press()
    happened = ["time-vouched", "armed", "film-begun", "film-ended", "disarmed", "refused"]
    assert filming.events() == happened


# --- The gate -----------------------------------------------------------------------------------


def refused(kit: Stage) -> str:
    """Press; nothing may be filmed. Returns the reason that is shown."""
    kit.press()
    assert kit.state is State.REFUSED
    assert kit.light.pattern is Pattern.REFUSED
    assert not kit.films() and "camera on" not in kit.happened
    assert kit.events()[-1] == "refused"
    return kit.status.reason


def test_without_agreement_a_press_opens_no_camera(kit: Stage) -> None:
    assert refused(kit) == "no-permit"


def test_a_new_kit_films_nothing(tmp_path: Path) -> None:
    assert refused(Stage(tmp_path, set_up=False)) == "not-set-up"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"kit": new_id()}, PressRefusal.OTHER_KIT),
        ({"boot": "an earlier boot"}, PressRefusal.OTHER_BOOT),
        ({"limit": int(LONGEST_FILM.total_seconds()) + 1}, PressRefusal.OVER_CEILING),
        ({"signer": STRANGER.signer}, PressRefusal.PERMIT_NOT_SIGNED),
        ({"case": new_id()}, PressRefusal.WITHDRAWN),
    ],
)
def test_a_permit_that_is_not_right_is_refused(
    kit: Stage, changes: dict[str, Any], reason: PressRefusal
) -> None:
    kit.arm(**changes)
    assert kit.state is State.IDLE
    assert refused(kit) == reason.value


def test_a_permit_altered_by_one_byte_is_refused(kit: Stage) -> None:
    kit.arm()
    note = (kit.home.permits / "current").read_text()
    kit.place(note.replace('"limit":10', '"limit":19'))
    assert refused(kit) == "permit-not-signed"


@pytest.mark.parametrize("note", ["", "nothing of the kind", "\N{EM DASH}", "\x00" * 100_000])
def test_what_is_no_permit_is_refused(kit: Stage, note: str) -> None:
    kit.place(note)
    assert refused(kit) in ("permit-unreadable", "permit-not-signed")


def test_a_permit_is_over_when_its_time_is(kit: Stage) -> None:
    kit.arm(not_after=kit.clock.wall + timedelta(seconds=30))
    kit.advance(28)
    assert kit.state is State.READY
    kit.advance(3)
    assert (kit.state, kit.light.pattern) == (State.IDLE, Pattern.OFF)
    assert refused(kit) == "expired"


def test_a_clock_that_nobody_vouched_for_films_nothing(tmp_path: Path) -> None:
    kit = Stage(tmp_path)
    kit.vouch()
    again = Stage(tmp_path)
    again.clock.boot = "the next boot"
    again.arm()
    assert again.status.clock == Trust.DOUBTFUL.value
    assert refused(again) == "clock-not-trusted"


def test_a_clock_in_1970_films_nothing(kit: Stage) -> None:
    kit.clock.boot = "the next boot"
    kit.clock.wall = kit.clock.wall.replace(year=1970)
    kit.arm()
    assert kit.status.clock == Trust.WRONG.value
    assert refused(kit) == "clock-not-trusted"


def test_a_permit_that_was_taken_away_never_counts_again(kit: Stage) -> None:
    kit.arm()
    note = (kit.home.permits / "current").read_text()
    kit.disarm()
    assert kit.state is State.IDLE
    kit.place(note)
    assert refused(kit) == "disarmed"


def test_a_permit_that_made_way_for_another_never_counts_again(kit: Stage) -> None:
    kit.arm()
    note = (kit.home.permits / "current").read_text()
    kit.arm()
    kit.place(note)
    assert refused(kit) == "disarmed"


def test_a_case_whose_key_changed_is_refused(filming: Stage) -> None:
    filming.press()
    filming.settle()
    filming.arm(recipient=str(generate_identity(x25519=True).recipient))
    filming.press()
    assert filming.status.reason == "recipient-changed"
    assert len(filming.films()) == 1


@pytest.mark.parametrize("how", ["state", "order", "no record"])
def test_a_withdrawn_case_is_refused(kit: Stage, how: str) -> None:
    kit.arm()
    directory = kit.home.case(kit.case)
    if how == "state":
        kit.write_case(kit.case, "withdrawn")
    elif how == "order":
        (directory / "withdrawal").write_text("half written")
    else:
        (directory / "case.json").unlink()
    kit.notice()
    assert kit.state is State.IDLE
    assert refused(kit) == "withdrawn"


def test_a_card_without_room_for_the_whole_film_is_refused(tmp_path: Path) -> None:
    # So many bits a second that no card holds ten of them.
    kit = Stage(tmp_path, bit_rate=10**15)
    kit.arm()
    assert refused(kit) == "card-full"


def test_room_for_the_whole_film_is_held_while_it_is_made_and_not_longer(kit: Stage) -> None:
    kit.arm(limit=600)
    room = kit.home.kit / "room"
    assert not room.exists()
    kit.press()
    assert room.stat().st_size > 600 * kit.config.bits_a_second / 8
    kit.advance(1)
    kit.press()
    kit.settle()
    assert kit.status.ended == "button" and not room.exists()


def test_a_press_that_films_nothing_holds_no_room(kit: Stage) -> None:
    kit.place(PRACTITIONER.signer.sign(to_json(kit.permit()).decode() + "\n"))
    kit.lamp.stuck = True
    kit.press()
    kit.settle()
    assert kit.state is State.FAULT
    kit.lamp.stuck = False
    kit.press()
    kit.press(held=2)
    assert not (kit.home.kit / "room").exists()


@pytest.mark.parametrize("trouble", [PressRefusal.UNDER_VOLTAGE, PressRefusal.TOO_HOT])
def test_a_board_in_trouble_is_refused_and_forgiven(kit: Stage, trouble: PressRefusal) -> None:
    kit.board.has = trouble
    kit.arm()
    assert refused(kit) == trouble.value
    kit.board.has = None
    kit.advance(REFUSAL_SHOWN + 1.1)
    kit.press()
    assert kit.state is State.FILMING


def test_a_camera_that_is_not_there_is_refused(kit: Stage) -> None:
    kit.arm()
    kit.camera.is_present = False
    assert refused(kit) == "camera-missing"


def test_a_press_while_the_camera_is_loaded_is_refused_and_films_nothing_later(kit: Stage) -> None:
    kit.camera.loading = True
    kit.arm()
    assert kit.state is State.IDLE, "the light says that it is not ready"
    assert kit.status.reason == "camera-loading"
    assert refused(kit) == "camera-loading"
    kit.camera.loading = False
    kit.advance(REFUSAL_SHOWN)
    assert (kit.state, kit.status.reason) == (State.READY, "")
    assert "camera on" not in kit.happened
    kit.press()
    assert kit.state is State.FILMING


def test_who_asks_to_frame_while_the_camera_is_loaded_sees_it_as_soon_as_it_is(kit: Stage) -> None:
    kit.camera.loading = True
    kit.arm()
    asked = kit.preview()
    assert kit.ask(asked) == "", "it waits"
    kit.camera.loading = False
    kit.notice()
    assert kit.state is State.PREVIEW and kit.inbox.answers[asked.id] == "done"


def test_a_camera_is_loaded_beside_the_thread_that_hears_the_button() -> None:
    may_go_on, over = threading.Event(), threading.Event()
    made: list[int] = []

    def make() -> Camera:
        assert may_go_on.wait(60)
        made.append(threading.get_ident())
        return FakeCamera(FakeClock(), [])

    late = LateCamera("late", make)
    assert late.name == "late"
    assert late.loading(over.set) and late.loading(over.set), "it goes on in its own time"
    assert not made
    may_go_on.set()
    assert over.wait(60)
    assert not late.loading(over.set)
    assert late.present() and late.name == "fake camera"
    assert len(made) == 1 and made != [threading.get_ident()]


def test_a_camera_that_cannot_be_loaded_is_not_there_and_nobody_waits_for_it_for_ever() -> None:
    def make() -> Camera:
        raise ImportError("something is missing")

    told: list[None] = []
    late = LateCamera("late", make)
    assert not late.present(), "who asks at once is told when it is certain"
    assert not late.loading(lambda: told.append(None))
    with pytest.raises(CameraFailed):
        late.start(Reel(), lambda why: None)
    late.stop()


def test_a_kit_without_a_microphone_films_only_what_was_agreed_to_without_sound(
    kit: Stage,
) -> None:
    kit.camera.has_sound = False
    kit.arm()
    assert refused(kit) == "no-microphone"
    kit.advance(REFUSAL_SHOWN)
    kit.arm(sound=False)
    kit.press()
    assert kit.camera.open
    kit.advance(1)
    kit.press()
    kit.settle()
    assert not kit.manifest().started.sound


def test_a_lamp_that_does_not_light_films_nothing(kit: Stage) -> None:
    kit.arm()
    kit.lamp.stuck = True
    kit.press()
    kit.settle()
    assert (kit.state, kit.status.reason) == (State.FAULT, "light-failed")
    assert "camera on" not in kit.happened


def test_a_held_press_never_starts_a_film(kit: Stage) -> None:
    kit.arm()
    kit.press(held=1.6)
    kit.press(held=8)
    assert kit.state is State.READY
    assert "camera on" not in kit.happened


# --- Framing ------------------------------------------------------------------------------------


def preview(kit: Stage, open_it: bool = True) -> str:
    return kit.ask(kit.preview(open_it))


@pytest.fixture
def framing(kit: Stage) -> Stage:
    kit.arm()
    assert preview(kit) == "done"
    assert kit.state is State.PREVIEW and kit.camera.open
    return kit


def test_framing_shows_the_newest_picture_and_keeps_nothing(framing: Stage) -> None:
    assert (framing.light.pattern, framing.status.state) == (Pattern.PREVIEW, "preview")
    framing.advance(1)
    first = framing.seen
    framing.advance(1)
    assert first and framing.seen and framing.seen != first
    assert preview(framing, open_it=False) == "done"
    assert framing.seen is None and not framing.camera.open
    assert framing.state is State.READY
    assert not framing.films() and not framing.books.books.films
    assert framing.happened[framing.happened.index("camera on") - 1] == "light on"


@pytest.mark.parametrize("how", ["unsigned", "a stranger's", "other kit", "other boot", "kept"])
def test_a_page_that_is_locked_and_armed_sees_nothing_through_the_camera(
    kit: Stage, how: str
) -> None:
    kit.arm()
    request = {
        "unsigned": lambda: msgspec.structs.replace(kit.preview(), note=""),
        "a stranger's": lambda: kit.preview(signer=SERVICE.signer),
        "other kit": lambda: kit.preview(kit=new_id()),
        "other boot": lambda: kit.preview(boot="the boot before"),
        "kept": lambda: kit.preview(boottime=kit.clock.read().boottime - 61),
    }[how]()
    assert kit.ask(request) == "refused"
    assert "camera on" not in kit.happened and kit.state is State.READY


def test_framing_tells_how_loud_it_is_until_it_closes(framing: Stage) -> None:
    framing.advance(0.5)
    assert framing.camera.hear and framing.status.with_sound
    assert framing.status.sound == SoundLevel(peak=-90.3, rms=-90.3, loudest=-90.3)
    assert preview(framing, open_it=False) == "done"
    assert (framing.camera.hear, framing.status.with_sound) == (None, False)
    assert framing.status.sound is None


def test_a_microphone_that_fails_is_told_and_framing_goes_on(framing: Stage) -> None:
    framing.advance(0.5)
    framing.camera.mute = True
    framing.advance(5)
    assert framing.state is State.PREVIEW and framing.camera.open
    assert framing.status.with_sound and framing.status.sound is None
    framing.camera.mute = False
    framing.advance(0.5)
    assert framing.status.sound is not None


def test_where_the_film_is_to_have_no_sound_framing_hears_nothing(kit: Stage) -> None:
    kit.arm(sound=False)
    assert preview(kit) == "done"
    kit.advance(1)
    assert kit.camera.show and kit.camera.hear is None
    assert (kit.status.with_sound, kit.status.sound) == (False, None)


def test_without_a_permit_in_force_there_is_nothing_to_see_or_hear(kit: Stage) -> None:
    assert preview(kit) == "refused"
    assert kit.camera.hear is None
    assert (kit.state, kit.status.reason) == (State.REFUSED, "no-permit")
    assert "camera on" not in kit.happened and kit.events()[-1] == "refused"


def test_a_short_press_ends_framing_and_films(framing: Stage) -> None:
    framing.advance(1)
    framing.down()
    assert not framing.camera.open and framing.seen is None
    framing.advance(0.2)
    framing.up()
    assert framing.state is State.FILMING and framing.camera.open
    assert "light off" not in framing.happened[-2:]


def test_framing_ends_by_itself(framing: Stage) -> None:
    framing.advance(PREVIEW_LASTS - 0.1)
    assert framing.camera.open
    framing.advance(0.2)
    assert not framing.camera.open and framing.seen is None


@pytest.mark.parametrize("how", ["disarmed", "withdrawn", "expired", "stopped"])
def test_framing_ends_when_what_allowed_it_does(kit: Stage, how: str) -> None:
    kit.arm(not_after=kit.clock.wall + timedelta(seconds=5))
    assert preview(kit) == "done"
    if how == "disarmed":
        kit.disarm()
    elif how == "withdrawn":
        kit.write_case(kit.case, "withdrawn")
        kit.notice()
    elif how == "expired":
        kit.advance(6.1)
    else:
        kit.ask(stop_request(kit))
    assert not kit.camera.open and kit.seen is None


@pytest.mark.parametrize("how", ["light", "pictures", "camera", "memory"])
def test_what_breaks_ends_framing_and_is_told(framing: Stage, how: str) -> None:
    framing.advance(1)
    if how == "light":
        framing.lamp.dark()
        framing.advance(0.5)
    elif how == "pictures":
        framing.camera.stalled = True
        framing.advance(LONGEST_WITHOUT_PICTURE + 0.1)
    elif how == "camera":
        framing.camera.on_failure(EndReason.CAMERA_FAILED)
        framing.work()
    else:
        framing.no_memory = True
        framing.advance(0.5)
    assert not framing.camera.open and framing.seen is None
    assert framing.state is State.FAULT and framing.status.reason


def test_nobody_frames_while_a_film_is_made(filming: Stage) -> None:
    assert preview(filming) == "refused"
    # A word to close it that comes late does not end the film.
    assert preview(filming, open_it=False) == "done"
    assert filming.state is State.FILMING and filming.camera.open


def test_a_camera_that_does_not_close_after_framing_ends_the_process(framing: Stage) -> None:
    framing.camera.fails_to_stop = True
    with pytest.raises(Died):
        framing.down()
    assert framing.light.pattern is Pattern.PREVIEW
    framing.camera.fails_to_stop = False


# --- Stopping -----------------------------------------------------------------------------------


def stop_request(kit: Stage, age: float = 0.0) -> Stop:
    now = kit.clock.read()
    return Stop(id=new_id(), boot=now.boot, boottime=now.boottime - age)


def test_the_page_stops_a_film(filming: Stage) -> None:
    assert filming.ask(stop_request(filming)) == "done"
    assert not filming.camera.open
    filming.settle()
    assert filming.status.ended == "page"


def test_a_stop_that_is_a_minute_old_stops_nothing(filming: Stage) -> None:
    assert filming.ask(stop_request(filming, FRESH_SECONDS + 1)) == "refused"
    assert filming.camera.open


def test_a_stop_of_another_boot_stops_nothing(filming: Stage) -> None:
    request = msgspec.structs.replace(stop_request(filming), boot="another")
    assert filming.ask(request) == "refused"
    assert filming.camera.open


def test_what_was_asked_of_a_recorder_that_ended_is_not_done_by_the_next(kit: Stage) -> None:
    requests = stop_request(kit), enrol(kit, STRANGER), set_time(kit, kit.vouch_note())
    for request in requests:
        place_request(kit.home, request)
    kit.clock.advance(1)
    inbox = kit.new_inbox()
    assert inbox.new() == [requests[2]]
    assert [inbox.answers.get(request.id) for request in requests] == ["refused", "refused", None]


@pytest.mark.parametrize("text", [b"", b"{}", b'{"attune":"stop/v1"}', b"\xff"])
def test_a_request_that_cannot_be_read_changes_nothing(filming: Stage, text: bytes) -> None:
    save(filming.home.web_requests / f"{new_id()}.json", text)
    save(filming.home.web_requests / "odd name.json", text)
    filming.notice()
    assert filming.camera.open and not filming.status.answers


def test_a_withdrawal_ends_the_film_at_once(filming: Stage) -> None:
    filming.write_case(filming.case, "withdrawn")
    filming.notice()
    assert not filming.camera.open
    filming.settle()
    assert filming.status.ended == "withdrawn"
    assert filming.state is State.IDLE


def test_taking_the_permit_away_ends_the_film(filming: Stage) -> None:
    filming.disarm()
    assert not filming.camera.open
    filming.settle()
    assert filming.status.ended == "page"


def test_another_familys_permit_ends_the_film(filming: Stage) -> None:
    filming.case = filming.make_case()
    filming.arm()
    assert not filming.camera.open
    filming.settle()
    assert (filming.status.ended, filming.state) == ("page", State.READY)


@pytest.mark.parametrize("kind", ["visit", "review"])
def test_a_film_ends_with_the_agreement_it_was_made_under(kit: Stage, kind: str) -> None:
    until = kit.clock.monotonic() + 3
    kit.arm(kind=kind, not_after=kit.clock.wall + timedelta(seconds=3))
    kit.press()
    began = kit.clock.monotonic() - SETTLE
    kit.advance(until - kit.clock.monotonic() - 0.2)
    assert kit.camera.open
    assert kit.status.limit - kit.status.remaining == pytest.approx(
        kit.clock.monotonic() - began, abs=0.05
    )
    kit.advance(0.2)
    assert not kit.camera.open
    kit.settle()
    ended = kit.manifest().ended
    assert ended is not None and ended.why is EndReason.LIMIT
    assert ended.seconds <= until - began


@pytest.mark.parametrize("opens_after", [0.0, 1.5, 4.0])
def test_a_recorder_that_hangs_does_not_film_beyond_the_agreement(
    kit: Stage, opens_after: float
) -> None:
    """The second deadline alone, also where the camera takes its time to open."""
    until = kit.clock.monotonic() + 3
    kit.arm(not_after=kit.clock.wall + timedelta(seconds=3))
    kit.camera.takes = opens_after
    kit.down()
    kit.advance(0.2)
    kit.pin.drive_high()
    kit.clock.advance(SETTLE)
    kit.work()
    began = kit.clock.monotonic()
    for _ in range(15 * 30):
        kit.clock.advance(1 / 30)
        kit.camera.roll()
    kit.work()
    kit.settle()
    ended = kit.manifest().ended
    assert ended is not None
    assert ended.seconds <= max(until - began, 0.0) + 1 / 30


@pytest.mark.parametrize("hours", [-8, -1, 1, 8])
def test_a_clock_that_is_set_while_filming_moves_no_end(kit: Stage, hours: int) -> None:
    """Neither the machine's clock nor a practitioner's new word: it was reckoned at the press."""
    kit.arm(not_after=kit.clock.wall + timedelta(seconds=5))
    until = kit.clock.monotonic() + 5
    kit.press()
    kit.advance(1)
    kit.clock.wall += timedelta(hours=hours)
    kit.vouch()
    kit.advance(until - kit.clock.monotonic() - 0.1)
    assert kit.camera.open
    kit.advance(0.2)
    assert not kit.camera.open
    kit.settle()
    assert kit.status.ended == "limit"


def test_the_end_of_the_process_ends_the_film_first(filming: Stage) -> None:
    filming.queue.put(Quit())
    filming.work()
    assert not filming.camera.open
    filming.settle()
    assert filming.status.ended == "shutdown"


# --- What breaks --------------------------------------------------------------------------------


def test_a_light_that_goes_out_ends_the_film_within_half_a_second(filming: Stage) -> None:
    filming.advance(2)
    filming.lamp.dark()
    filming.advance(0.5)
    assert not filming.camera.open
    filming.settle()
    assert filming.status.ended == "light-failed"
    assert filming.state is State.FAULT


def test_a_camera_that_gives_no_more_pictures_ends_the_film_in_two_seconds(filming: Stage) -> None:
    filming.advance(1)
    filming.camera.stalled = True
    filming.advance(LONGEST_WITHOUT_PICTURE - 0.1)
    assert filming.camera.open
    filming.advance(0.2)
    assert not filming.camera.open
    filming.settle()
    assert (filming.status.ended, filming.status.reason) == ("frames-stopped", "frames-stopped")


def test_a_camera_that_takes_long_to_open_is_not_taken_for_one_without_pictures(
    kit: Stage,
) -> None:
    kit.arm()
    kit.camera.takes = LONGEST_WITHOUT_SOUND + 1
    kit.camera.stalled = kit.camera.mute = True
    kit.press()
    assert kit.camera.open and kit.state is State.FILMING
    kit.advance(LONGEST_WITHOUT_PICTURE + 0.1)
    assert not kit.camera.open


def test_a_microphone_that_is_not_heard_any_more_ends_the_film_in_five_seconds(
    filming: Stage,
) -> None:
    filming.advance(1)
    filming.camera.mute = True
    filming.advance(LONGEST_WITHOUT_SOUND - 0.1)
    assert filming.camera.open
    filming.advance(0.2)
    assert not filming.camera.open
    filming.settle()
    assert (filming.status.ended, filming.status.reason) == ("sound-failed", "sound-failed")
    assert filming.status.frames_out == filming.status.frames_in > 150


def test_a_film_that_was_agreed_to_without_sound_does_not_wait_for_any(kit: Stage) -> None:
    kit.arm(sound=False)
    kit.camera.mute = True
    kit.press()
    kit.advance(LONGEST_WITHOUT_SOUND + 1)
    assert kit.camera.open and kit.status.sound is None


def test_a_microphone_that_does_not_start_is_a_fault_of_the_sound(kit: Stage) -> None:
    kit.arm()
    kit.camera.fails_to_hear = True
    kit.press()
    kit.settle()
    assert (kit.state, kit.status.reason) == (State.FAULT, "sound-failed")
    assert not kit.camera.open


def test_a_camera_that_fails_ends_the_film_and_keeps_it(filming: Stage) -> None:
    filming.advance(2)
    filming.camera.on_failure(EndReason.CAMERA_FAILED)
    filming.work()
    filming.settle()
    assert filming.status.ended == "camera-failed"
    assert filming.status.frames_out == filming.status.frames_in > 50


def test_a_camera_that_does_not_start_is_a_fault_until_a_press(kit: Stage) -> None:
    kit.arm()
    kit.camera.fails_to_start = True
    kit.press()
    kit.settle()
    assert (kit.state, kit.status.reason) == (State.FAULT, "camera-failed")
    assert not kit.camera.open
    kit.press()
    assert kit.state is State.READY


def test_a_camera_that_cannot_be_closed_ends_the_process_with_the_light_on(filming: Stage) -> None:
    filming.camera.fails_to_stop = True
    filming.advance(1)
    filming.down()
    with pytest.raises(Died):
        filming.settle()
    assert filming.lamp.lit
    assert filming.events()[-1] == "died"
    ended = filming.manifest().ended
    assert ended is not None and ended.why is EndReason.CAMERA_FAILED and ended.frames > 25
    assert (filming.told[-1].state, filming.told[-1].reason) == ("fault", "camera-failed")


def test_a_full_card_is_a_fault_and_no_traceback(kit: Stage) -> None:
    kit.arm()
    kit.home.recordings.rmdir()
    kit.home.recordings.write_bytes(b"not a directory")
    kit.press()
    kit.settle()
    assert kit.state in (State.FAULT, State.REFUSED)
    assert "camera on" not in kit.happened


def test_whatever_happens_in_whatever_order_the_camera_is_open_only_under_the_light(
    tmp_path: Path,
) -> None:
    assert sum(walk(Stage(tmp_path / str(seed)), random.Random(seed)) for seed in range(12)) > 20


def walk(kit: Stage, dice: random.Random) -> int:
    """Sixty things happen; returns how many films were begun."""
    films = 0
    for _ in range(60):
        was_open = kit.camera.open
        match dice.randrange(10):
            case 0 | 1:
                kit.arm(limit=dice.choice([1, 3]), films=dice.choice([1, 5]))
            case 2 | 3 | 4:
                kit.press(dice.choice([0.02, 0.1, 0.3, 2]))
            case 5:
                kit.advance(dice.choice([0.1, 1, 4]))
            case 6:
                kit.ask(dice.choice([stop_request(kit), enrol(kit, PRACTITIONER)]))
            case 7 if (kit.home.permits / "current").exists():
                kit.disarm()
            case 8:
                kit.lamp.stuck = dice.random() < 0.2
            case _:
                kit.camera.stalled = dice.random() < 0.3
        if kit.camera.open:
            assert kit.light.pattern in CAPTURING and kit.state is State.FILMING
            assert kit.recorder.permit is not None
            films += not was_open
        if kit.state is State.STOPPING:
            kit.settle()
    kit.close()
    assert not kit.camera.open
    for film in kit.films():
        manifest = read_manifest(film, [kit.books.signer.verifier])
        assert manifest.ended is not None and manifest.ended.seconds <= manifest.started.limit
    counted = sum(kit.books.books.films.values())
    assert counted == len(kit.films()) >= films
    return films


# --- Set-up, time, presence ---------------------------------------------------------------------


def enrol(
    kit: Stage, practitioner: PrivateKeys, service: PrivateKeys = SERVICE, ceilings: str = ""
) -> Enrol:
    now = kit.clock.read()
    return Enrol(
        id=new_id(),
        boot=now.boot,
        boottime=now.boottime,
        service=service.card(),
        practitioner=practitioner.card(),
        ceilings=ceilings,
    )


def ceilings(keys: PrivateKeys = SERVICE, **changes: Any) -> str:
    found = msgspec.structs.replace(Ceilings(since=NOON), **changes)
    return keys.signer.sign(to_json(found).decode() + "\n")


def test_a_service_may_allow_less_than_the_kit_could_do(kit: Stage) -> None:
    assert kit.ask(enrol(kit, PRACTITIONER, ceilings=ceilings(limit=300))) == "waiting"
    kit.press_when_asked()
    kit.arm(limit=301)
    kit.advance(1.1)
    assert refused(kit) == "over-service-ceiling"
    kit.arm(limit=300)
    kit.advance(REFUSAL_SHOWN + 1.1)
    kit.press()
    assert kit.state is State.FILMING


def test_a_service_that_signs_nothing_new_leaves_its_ceilings_as_they_are(kit: Stage) -> None:
    kit.ask(enrol(kit, PRACTITIONER, ceilings=ceilings(limit=300)))
    kit.press_when_asked()
    kit.ask(enrol(kit, STRANGER))
    kit.press_when_asked()
    assert kit.books.enrolled is not None
    assert kit.books.enrolled.ceilings == ceilings(limit=300)
    assert len(kit.books.enrolled.practitioners) == 2


def test_ceilings_that_were_taken_back_do_not_come_again(kit: Stage) -> None:
    kit.ask(enrol(kit, PRACTITIONER, ceilings=ceilings(limit=300, since=NOON)))
    kit.press_when_asked()
    older = ceilings(limit=3000, since=NOON - timedelta(seconds=1))
    assert kit.ask(enrol(kit, PRACTITIONER, ceilings=older)) == "refused"
    newer = ceilings(limit=600, since=NOON + timedelta(seconds=1))
    assert kit.ask(enrol(kit, PRACTITIONER, ceilings=newer)) == "waiting"
    kit.press_when_asked()
    assert kit.books.enrolled is not None and kit.books.enrolled.ceilings == newer


@pytest.mark.parametrize("note", [ceilings(STRANGER), "nothing of the kind", "x" * 70_000])
def test_ceilings_that_the_service_did_not_sign_are_refused(kit: Stage, note: str) -> None:
    assert kit.ask(enrol(kit, STRANGER, ceilings=note)) == "refused"
    assert kit.state not in (State.ASKED, State.PRESENCE)


def test_a_new_kit_is_set_up_with_a_press(tmp_path: Path) -> None:
    kit = Stage(tmp_path, set_up=False)
    request = enrol(kit, PRACTITIONER)
    assert kit.ask(request) == "waiting"
    assert (kit.state, kit.light.pattern) == (State.ASKED, Pattern.PRESENCE)
    kit.press_when_asked()
    assert kit.status.answers[request.id] == "done"
    assert load_fact(kit.home.kit / "enrolled.json", Enrolled) == Enrolled(
        service=SERVICE.card(), practitioners=(PRACTITIONER.card(),)
    )


def test_without_a_press_nobody_is_enrolled(kit: Stage) -> None:
    request = enrol(kit, STRANGER)
    kit.ask(request)
    kit.advance(PRESENCE_LASTS + 0.1)
    assert kit.status.answers[request.id] == "timed-out"
    kit.press()
    assert kit.books.enrolled is not None
    assert kit.books.enrolled.practitioners == (PRACTITIONER.card(),)


def test_nobody_is_enrolled_by_the_press_that_was_meant_to_film(kit: Stage) -> None:
    """A page that was taken over asks just as somebody goes to press."""
    kit.arm()
    request = enrol(kit, STRANGER)
    assert kit.ask(request) == "refused"
    kit.press()
    assert kit.state is State.FILMING
    assert kit.books.enrolled is not None
    assert kit.books.enrolled.practitioners == (PRACTITIONER.card(),)


def test_a_kit_that_is_armed_while_it_asks_for_a_press_enrols_nobody(kit: Stage) -> None:
    request = enrol(kit, STRANGER)
    assert kit.ask(request) == "waiting"
    kit.arm()
    assert kit.status.answers[request.id] == "refused"
    kit.press_when_asked()
    assert kit.state is State.FILMING
    assert kit.books.enrolled is not None
    assert kit.books.enrolled.practitioners == (PRACTITIONER.card(),)


def test_a_press_ten_milliseconds_after_the_double_pulse_begins_enrols_nobody(kit: Stage) -> None:
    request = enrol(kit, STRANGER)
    assert kit.ask(request) == "waiting"
    kit.advance(0.01)
    kit.press()
    assert (kit.status.answers[request.id], kit.status.reason) == ("waiting", "too-soon")
    kit.press_when_asked()
    assert (kit.status.answers[request.id], kit.status.reason) == ("done", "")


def test_a_second_practitioner_joins_and_another_service_begins_anew(kit: Stage) -> None:
    kit.ask(enrol(kit, STRANGER))
    kit.press_when_asked()
    assert kit.books.enrolled is not None
    assert kit.books.enrolled.practitioners == (PRACTITIONER.card(), STRANGER.card())
    other = PrivateKeys.generate("service", x25519=True)
    kit.ask(enrol(kit, STRANGER, other))
    kit.press_when_asked()
    assert kit.books.enrolled == Enrolled(service=other.card(), practitioners=(STRANGER.card(),))


def test_nobody_is_enrolled_while_a_film_is_made(filming: Stage) -> None:
    assert filming.ask(enrol(filming, STRANGER)) == "refused"
    assert filming.camera.open


def set_time(kit: Stage, note: str) -> SetTime:
    now = kit.clock.read()
    return SetTime(id=new_id(), boot=now.boot, boottime=now.boottime, note=note)


def test_a_vouch_makes_the_time_certain_for_this_boot(kit: Stage) -> None:
    kit.clock.boot = "the next boot"
    assert kit.status.clock == Trust.DOUBTFUL.value
    assert kit.ask(set_time(kit, kit.vouch_note())) == "done"
    assert kit.status.clock == Trust.TRUSTED.value
    assert kit.status.now == kit.clock.wall


@pytest.mark.parametrize(
    "changes",
    [
        {"signer": STRANGER.signer},
        {"kit": new_id()},
        {"boot": "another"},
        {"time": FakeClock().wall - timedelta(days=365)},
        {"time": FakeClock().wall + timedelta(days=3650)},
    ],
)
def test_a_vouch_that_is_not_right_makes_nothing_certain(
    kit: Stage, changes: dict[str, Any]
) -> None:
    kit.clock.boot = "the next boot"
    assert kit.ask(set_time(kit, kit.vouch_note(**changes))) == "refused"
    assert kit.status.clock == Trust.DOUBTFUL.value


def correct_time(kit: Stage, time: datetime, /, **changes: Any) -> CorrectTime:
    now = kit.clock.read()
    signer = changes.pop("signer", PRACTITIONER.signer)
    said = Correction(kit=kit.books.kit, time=time, boot=now.boot, boottime=now.boottime)
    note = signer.sign(to_json(msgspec.structs.replace(said, **changes)).decode() + "\n")
    return CorrectTime(id=new_id(), boot=now.boot, boottime=now.boottime, note=note)


@pytest.mark.parametrize("why", ["a false word", "a year and more in a drawer"])
def test_a_time_that_the_kit_was_wrongly_sure_of_is_put_right_by_a_press(
    kit: Stage, why: str
) -> None:
    right = kit.clock.wall
    if why == "a false word":
        false = kit.vouch_note(time=right + timedelta(days=300))
        assert kit.ask(set_time(kit, false)) == "done"
        assert kit.ask(set_time(kit, kit.vouch_note(time=right))) == "refused"
    else:
        kit.books.correct_time(Judgement(Trust.TRUSTED, right - LARGEST_STEP - timedelta(days=1)))
        kit.clock.boot = "the next boot"
        assert kit.ask(set_time(kit, kit.vouch_note(time=right))) == "refused"
    request = correct_time(kit, right)
    assert kit.ask(request) == "waiting"
    assert kit.status.now != right
    kit.press_when_asked()
    assert kit.status.answers[request.id] == "done"
    assert (kit.status.clock, kit.status.now) == (Trust.TRUSTED.value, kit.clock.wall)
    assert "clock-corrected" in kit.events()
    assert kit.books.mark == load_fact(kit.home.kit / "clock-mark.json", Mark)
    assert kit.books.mark is not None
    assert timedelta(0) <= kit.books.mark.highest - right < timedelta(seconds=3)


def test_what_was_armed_under_the_other_time_is_armed_anew(kit: Stage) -> None:
    kit.arm()
    assert kit.state is State.READY
    note = (kit.home.permits / "current").read_text()
    (kit.home.permits / "current").unlink()
    assert kit.ask(correct_time(kit, kit.clock.wall)) == "waiting"
    kit.press_when_asked()
    kit.place(note)
    kit.advance(1.1)
    assert kit.state is State.IDLE
    assert refused(kit) == "disarmed"


@pytest.mark.parametrize(
    "changes",
    [
        {"signer": STRANGER.signer},
        {"signer": SERVICE.signer},
        {"kit": new_id()},
        {"boot": "another"},
        {"time": EARLIEST - timedelta(days=1)},
        {"boottime": -200.0},
        {"boottime": 1e12},
    ],
)
def test_a_correction_that_is_forged_replayed_or_for_another_kit_asks_for_no_press(
    kit: Stage, changes: dict[str, Any]
) -> None:
    mark = kit.books.mark
    assert kit.ask(correct_time(kit, kit.clock.wall - timedelta(days=9), **changes)) == "refused"
    assert kit.state not in (State.ASKED, State.PRESENCE) and kit.books.mark == mark


def test_a_correction_by_somebody_who_is_revoked_before_the_press_is_refused_and_breaks_nothing(
    kit: Stage,
) -> None:
    request, mark = correct_time(kit, kit.clock.wall - timedelta(days=9)), kit.books.mark
    assert kit.ask(request) == "waiting"
    name = PRACTITIONER.card().name
    word = to_json(Revocation(practitioner=name, at=kit.clock.wall)).decode()
    kit.home.prepare(kit.home.inbox)
    save(kit.home.inbox / f"revoked-{name}", SERVICE.signer.sign(f"{word}\n").encode())
    kit.notice()
    kit.press_when_asked()
    assert kit.inbox.answers[request.id] == "refused" and kit.books.mark == mark
    assert kit.state is State.IDLE and kit.status.reason == ""


def test_a_common_word_for_the_time_is_no_correction(kit: Stage) -> None:
    request = correct_time(kit, kit.clock.wall)
    said = msgspec.structs.replace(request, note=kit.vouch_note())
    assert kit.ask(said) == "refused"


def test_without_a_press_the_time_stays_as_it_was(kit: Stage) -> None:
    mark = kit.books.mark
    request = correct_time(kit, kit.clock.wall - timedelta(days=9))
    kit.ask(request)
    kit.advance(PRESENCE_LASTS + 0.1)
    assert kit.status.answers[request.id] == "timed-out"
    kit.press()
    assert kit.books.mark == mark


@pytest.mark.parametrize("what", ["a pipe", "an endless device", "a directory"])
def test_what_a_lying_page_plants_as_a_permit_is_refused_and_holds_up_no_press(
    kit: Stage, what: str
) -> None:
    planted = kit.home.permit
    if what == "a pipe":
        os.mkfifo(planted)
    elif what == "a directory":
        planted.mkdir()
    else:
        planted.symlink_to("/dev/zero")
    assert refused(kit) == "permit-unreadable"


def test_limits_do_not_follow_the_wall_clock(filming: Stage) -> None:
    filming.clock.wall -= timedelta(days=1)
    filming.advance(9)
    assert filming.camera.open
    filming.clock.wall += timedelta(days=3650)
    filming.advance(0.5)
    assert filming.camera.open
    filming.advance(0.5)
    assert not filming.camera.open
    filming.settle()


# --- What the page is told ----------------------------------------------------------------------


def test_the_page_is_told_each_second_and_at_every_change(kit: Stage) -> None:
    before = len(kit.told)
    kit.advance(10)
    assert 9 <= len(kit.told) - before <= 11
    kit.arm()
    assert kit.told[-1].state == "ready"
    kit.press()
    assert kit.told[-1].state == "filming"
    assert kit.told[-1].lit
    kit.advance(2)
    assert 7.5 <= kit.told[-1].remaining <= 8.5
    kit.press()
    kit.settle()


def test_a_power_cut_shows_on_the_light_until_the_next_film(tmp_path: Path) -> None:
    kit = Stage(tmp_path, recovered=True)
    assert kit.light.pattern is Pattern.RECOVERED


# --- The sink between camera and film -----------------------------------------------------------


def sink(limit: float) -> tuple[GuardedSink, Reel, list[EndReason]]:
    reel, ends = Reel(), list[EndReason]()
    return GuardedSink(reel, limit, FakeClock(), ends.append), reel, ends


def test_the_sink_refuses_the_first_picture_past_the_limit_and_tells_it_once() -> None:
    guarded, reel, ends = sink(1.0)
    guarded.picture(b"a", 0, 3000, True)
    guarded.picture(b"b", TICKS - 1, 3000, False)
    assert not ends
    guarded.picture(b"c", TICKS, 3000, True)
    guarded.picture(b"d", TICKS + 3000, 3000, False)
    assert ends == [EndReason.LIMIT]
    assert guarded.pictures == 2
    # The last one is not shown for longer than was agreed, either.
    assert [(data, duration) for data, _, duration, _ in reel.pictures] == [(b"a", 3000), (b"b", 1)]


def test_the_sink_raises_nothing_into_the_camera_and_tells_the_first_error_once() -> None:
    class Broken(Reel):
        def picture(self, data: bytes, time: int, duration: int, key: bool) -> None:
            raise MemoryError

    ends: list[EndReason] = []
    guarded = GuardedSink(Broken(), 10, FakeClock(), ends.append)
    for time in range(0, 9000, 3000):
        guarded.picture(b"x", time, 3000, False)
    assert ends == [EndReason.FAULT]
    assert guarded.pictures == 0


def test_the_sink_counts_the_pictures_that_are_missing_between_others() -> None:
    guarded, _, _ = sink(10.0)
    for time in (0, 3000, 6001, 15_000, 18_000, 30_000):
        guarded.picture(b"x", time, 3000, False)
    assert (guarded.pictures, guarded.missed) == (6, 2 + 3)


def test_the_sink_tells_how_loud_it_is() -> None:
    guarded, _, _ = sink(10.0)
    quarter = SAMPLE_RATE // 4
    assert guarded.meter.level is None
    guarded.sound(sound_frame(bytes(2 * quarter), 0))
    assert guarded.meter.level == SoundLevel(peak=-90.3, rms=-90.3, loudest=-90.3)
    loudest = (-32768).to_bytes(2, "little", signed=True) * quarter
    guarded.sound(sound_frame(loudest, quarter))
    assert guarded.meter.level == SoundLevel(peak=0, rms=0, loudest=0)
    tenth = struct.pack(f"<{quarter}h", *[3277, -3277] * (quarter // 2))
    guarded.sound(sound_frame(tenth, 2 * quarter))
    assert guarded.meter.level == SoundLevel(peak=-20, rms=-20, loudest=0)
    # What has just been loud is told until the quarter is full.
    guarded.sound(sound_frame(loudest[:100], 3 * quarter))
    assert guarded.meter.level == SoundLevel(peak=-20, rms=-20, loudest=0)


def test_what_was_loud_is_remembered_for_three_seconds_and_silence_is_known_after_one() -> None:
    clock = FakeClock()
    meter, quarter = Meter(clock), SAMPLE_RATE // 4
    meter.take(sound_frame(struct.pack(f"<{quarter}h", *[3277] * quarter), 0))
    for n in range(1, 12):
        meter.take(sound_frame(bytes(2 * quarter), n * quarter))
        assert meter.level and (meter.level.peak, meter.level.loudest) == (-90.3, -20)
    meter.take(sound_frame(bytes(2 * quarter), 12 * quarter))
    assert meter.level and meter.level.loudest == -90.3
    clock.advance(1.0)
    assert meter.level
    clock.advance(0.01)
    assert meter.level is None
