"""The visit: who is here, framing, and what can be done while a film is made."""

import re
from typing import Any

import msgspec
import pytest

from appliance.casework.clips import Marks, marks_of
from appliance.casework.consent import Enough
from appliance.casework.withdrawal import withdraw_film
from appliance.film.manifest import FilmedWith
from appliance.protocol.requests import Framing, Preview, Stop
from appliance.protocol.status import SoundLevel
from appliance.records.files import from_json
from appliance.records.signing import open_note
from tests.support.pages import NOW, PASSPHRASE, Page, WebKit, practitioner

PICTURE = b"\xff\xd8 what the camera sees"


@pytest.fixture
def case(kit: WebKit) -> str:
    return kit.make_case()


def arm(kit: WebKit, case: str) -> None:
    kit.browser.submit(f"/cases/{case}/arm", films="1")
    permit = kit.recorder.permit()
    assert permit and permit.case == case
    kit.recorder.show(state="ready", case=case, permit=permit.id)


def film(kit: WebKit, case: str, second: float = 23.0) -> str:
    """The kit is filming this case, and the film is so many seconds old."""
    name = kit.recorder.write_film(case, kit.recipient(case))
    kit.recorder.show(
        state="filming", case=case, recording=name, limit=300.0, remaining=300.0 - second
    )
    return name


def sound(kit: WebKit, peak: float, loudest: float | None = None) -> None:
    """What the kit hears."""
    level = SoundLevel(peak=peak, rms=peak, loudest=peak if loudest is None else loudest)
    kit.recorder.show(with_sound=True, sound=level)


def frame(kit: WebKit, case: str, **told: Any) -> None:
    kit.recorder.show(state="preview", case=case, **told)
    kit.home.preview.write_bytes(PICTURE)


# --- Who is here ----------------------------------------------------------------------------------


def test_whoever_was_asked_just_now_is_here(kit: WebKit, case: str) -> None:
    assert "How many films today?" in kit.browser.get(f"/cases/{case}/arm").words


def test_after_an_unlock_it_is_asked_who_is_here_before_the_kit_is_armed(
    kit: WebKit, case: str
) -> None:
    kit.browser.submit("/cases", action="/lock")
    kit.unlock()
    url = f"/cases/{case}/arm"
    page = kit.browser.get(url)
    assert "Alex (mother)" in page.words and "Who is here today?" in page.words
    assert kit.browser.submit(url, word="lantern").status == 400
    assert kit.browser.submit(url, word="lantern", here="elsewhere").status == 400
    assert kit.recorder.permit() is None
    kit.browser.submit(url, here="these")
    assert kit.recorder.permit()
    assert "Who is here today?" not in kit.browser.get(url).words


def test_who_is_here_said_with_another_familys_word_is_asked_again(kit: WebKit, case: str) -> None:
    kit.browser.submit("/cases", action="/lock")
    kit.unlock()
    url = f"/cases/{case}/arm"
    page = kit.browser.submit(url, word="kettle", here="these")
    assert page.status == 400 and "not this family's word" in page.words
    assert kit.recorder.permit() is None
    page = kit.browser.submit(url, word="lantern")
    assert page.status == 400 and "Select who is here" in page.words
    assert kit.recorder.permit() is None


def test_somebody_else_here_leads_to_the_consent_and_disarms_the_kit(
    kit: WebKit, case: str
) -> None:
    kit.browser.submit("/cases", action="/lock")
    kit.unlock()
    kit.browser.submit(f"/cases/{case}/arm", word="lantern", here="these")
    permit = kit.recorder.permit()
    kit.browser.submit("/cases", action="/lock")
    kit.unlock()
    assert permit and kit.recorder.permit() == permit
    page = kit.browser.submit(f"/cases/{case}/arm", here="more")
    assert page.path == f"/cases/{case}/consent"
    assert kit.recorder.permit() is None


def test_after_somebody_new_came_in_it_is_asked_again_who_is_here(kit: WebKit, case: str) -> None:
    arm(kit, case)
    kit.browser.submit(f"/cases/{case}", f"/cases/{case}/newcomer")
    assert "Who is here today?" in kit.browser.get(f"/cases/{case}/arm").words
    assert kit.browser.submit(f"/cases/{case}/arm").status == 400
    assert kit.recorder.permit() is None


# --- What the kit would do at a press -------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "ready"),
    [
        ({"state": "ready"}, True),
        ({"state": "preview"}, True),
        ({"state": "idle", "reason": "all-made"}, False),
        ({"state": "idle", "reason": "expired"}, False),
        ({"state": "fault", "reason": "camera-failed"}, False),
    ],
)
def test_no_page_says_that_a_press_would_film_where_the_recorder_says_otherwise(
    kit: WebKit, case: str, told: dict[str, str], ready: bool
) -> None:
    arm(kit, case)
    kit.recorder.show(**told)
    assert kit.browser.get("/cases").tagged("Ready to film") is ready
    page = kit.browser.get(f"/cases/{case}")
    assert page.tagged("Ready to film") is ready
    assert ("Press the button once to start filming" in page.words) is ready
    framing = kit.browser.get(f"/cases/{case}/visit/frame").words
    assert ("not ready to film this family" not in framing) is ready
    second = kit.make_case("Another family")
    page = kit.browser.get(f"/cases/{second}/arm")
    assert ("ready to film another family" in page.words) is ready


# --- Framing --------------------------------------------------------------------------------------


def test_framing_asks_the_recorder_and_shows_what_it_sees(kit: WebKit, case: str) -> None:
    arm(kit, case)
    here = f"/cases/{case}/visit/frame"
    kit.browser.submit(here, camera="on")
    asked = [r for r in kit.recorder.requests() if isinstance(r, Preview)]
    assert [request.open for request in asked] == [True]
    text, _ = open_note(asked[0].note, [practitioner().card().verifying_key()])
    assert from_json(text, Framing).kit == kit.recorder.signer.verifier.name.removeprefix("kit-")
    frame(kit, case)
    page = kit.browser.get(here)
    assert (
        f"/cases/{case}/visit/picture.jpg" in page.text
        and "Nothing is being recorded" in page.words
    )
    picture = kit.browser.get(f"/cases/{case}/visit/picture.jpg")
    assert picture.response.data == PICTURE
    assert picture.response.headers["Cache-Control"] == "no-store"
    kit.pass_by(1)
    kit.browser.submit(here, camera="off")
    asked = [r for r in kit.recorder.requests() if isinstance(r, Preview)]
    assert [request.open for request in asked] == [True, False]


def _bright(kit: WebKit) -> str:
    told: dict[str, str] = kit.browser.get("/status.json").response.json
    return told["bright"]


def _follow(page: Page) -> str:
    (marker,) = re.findall('data-follow="([^"]+)"', page.text)
    return str(marker)


@pytest.mark.parametrize(
    ("brightness", "words"), [(0.05, "Too dark"), (0.19, "Too dark"), (0.4, "Light is good")]
)
def test_framing_says_whether_it_is_too_dark(
    kit: WebKit, case: str, brightness: float, words: str
) -> None:
    frame(kit, case, brightness=brightness)
    assert words in kit.browser.get(f"/cases/{case}/visit/frame").words
    assert words in _bright(kit)
    kit.recorder.show(state="ready", case=case, brightness=None)
    assert _bright(kit) == ""
    kit.browser.submit("/cases", action="/lock")
    kit.recorder.show(state="preview", case=case, brightness=brightness)
    assert _bright(kit) == "", "a locked page tells nothing"


def test_framing_says_what_the_camera_is_set_to(kit: WebKit, case: str) -> None:
    set_to = FilmedWith(
        camera="imx708_wide", size=(1280, 720), frame_rate=25, encoder="x", bit_rate=5_000_000
    )
    here = f"/cases/{case}/visit/frame"
    for optics, words in (
        ({}, "imx708_wide, 1280 x 720 pixels, 25 pictures a second."),
        ({"seen": 1.0}, "The film shows all that the lens sees from left to right."),
        ({"seen": 0.667}, "The film shows 67 % of what the lens sees from left to right."),
        ({"focus": 0.5}, "In focus at about 2.0 m."),
        ({"focus": 0.0}, "In focus far away."),
    ):
        frame(kit, case, filmed_with=msgspec.structs.replace(set_to, **optics))
        assert words in kit.browser.get(here).words
    frame(kit, case, filmed_with=set_to)
    page = kit.browser.get(here)
    assert "In focus" not in page.words and "the lens sees" not in page.words


def test_a_close_look_is_asked_for_shown_and_gone_with_the_camera(kit: WebKit, case: str) -> None:
    arm(kit, case)
    here, look = f"/cases/{case}/visit/frame", f"/cases/{case}/visit/close-look.jpg"
    frame(kit, case)
    page = kit.browser.get(here)
    assert "close-look.jpg" not in page.text and kit.browser.get(look).status == 404
    kit.browser.post(here, dict(page.form(here)) | {"camera": "closely"})
    (asked,) = [r for r in kit.recorder.requests() if isinstance(r, Preview)]
    assert asked.closely and asked.open and asked.note
    kit.home.close_look.write_bytes(PICTURE)
    before = _follow(page)
    frame(kit, case, looks=1)
    page = kit.browser.get(here)
    assert _follow(page) != before, "the page fetches itself anew"
    assert f"{look}?look=1" in page.text
    found = kit.browser.get(look)
    assert (found.response.data, found.response.headers["Cache-Control"]) == (PICTURE, "no-store")
    assert kit.another_browser().get(look).status == 403
    kit.recorder.show(state="ready", case=case, looks=1)
    assert kit.browser.get(look).status == 404
    assert "close-look.jpg" not in kit.browser.get(here).text


def test_a_kit_that_is_not_armed_for_this_family_opens_no_camera(kit: WebKit, case: str) -> None:
    page = kit.browser.get(f"/cases/{case}/visit/frame")
    assert "not ready to film this family" in page.words
    token = page.form("/lock")["csrf_token"][0]
    kit.browser.post(f"/cases/{case}/visit/frame", {"csrf_token": token, "camera": "on"})
    assert not [r for r in kit.recorder.requests() if isinstance(r, Preview)]


def test_the_picture_is_shown_in_no_other_case_and_to_nobody_else(kit: WebKit, case: str) -> None:
    other = kit.make_case("Another family")
    frame(kit, case)
    picture = f"/cases/{case}/visit/picture.jpg"
    assert kit.browser.get(f"/cases/{other}/visit/picture.jpg").status == 404
    assert kit.another_browser().get(picture).status == 403
    kit.browser.submit("/cases", action="/lock")
    assert kit.browser.get(picture).status == 403


@pytest.mark.parametrize("state", ["idle", "ready", "filming", "stopping"])
def test_no_picture_is_left_to_see_once_the_camera_is_not_framing(
    kit: WebKit, case: str, state: str
) -> None:
    frame(kit, case)
    kit.recorder.show(state=state, case=case)
    assert kit.browser.get(f"/cases/{case}/visit/picture.jpg").status == 404


def test_no_picture_is_shown_before_the_family_has_said_its_word(kit: WebKit, case: str) -> None:
    kit.browser.submit("/cases", action="/lock")
    kit.unlock()
    frame(kit, case)
    assert kit.browser.get(f"/cases/{case}/visit/picture.jpg").status == 404
    assert kit.browser.get(f"/cases/{case}/visit/frame").path == f"/cases/{case}/word"


# --- While it is filmed ---------------------------------------------------------------------------


def test_a_moment_marked_while_filming_waits_on_the_page_of_the_film(
    kit: WebKit, case: str
) -> None:
    name = film(kit, case, 1.25)
    kit.pass_by(0.5)
    kit.recorder.show(boottime=kit.clock.seconds - 0.5)
    page = kit.browser.submit(f"/cases/{case}", f"/cases/{case}/visit/mark")
    assert "Marked at 0:01.75" in page.words
    assert marks_of(kit.open_case(case), name) == (1.75,)
    kit.recorder.show(state="idle", ended="page")
    page = kit.browser.get(f"/cases/{case}/films/{name}")
    assert "Marked while filming" in page.words and 'data-marked="1.75"' in page.text
    form = kit.browser.get(f"/cases/{case}/films/{name}?marked=1.75").form(
        f"/cases/{case}/films/{name}/clips"
    )
    assert (form["start"], form["end"]) == (["0:00.000"], ["0:02.500"])


@pytest.mark.parametrize("text", ["nonsense", "nan", "inf", "1e99999", ""])
def test_a_mark_that_is_none_leaves_the_fields_empty(kit: WebKit, case: str, text: str) -> None:
    name = kit.recorder.write_film(case, kit.recipient(case))
    here = f"/cases/{case}/films/{name}"
    assert kit.browser.get(f"{here}?marked={text}").form(f"{here}/clips")["start"] == [""]


def test_a_mark_in_another_familys_film_is_not_kept(kit: WebKit, case: str) -> None:
    other = kit.make_case("Another family")
    film(kit, other)
    token = kit.browser.get("/cases").form("/lock")["csrf_token"][0]
    kit.browser.post(f"/cases/{case}/visit/mark", {"csrf_token": token})
    for one in (case, other):
        assert not kit.open_case(one).read_all(Marks)


def test_a_film_that_is_taken_back_takes_its_marks_with_it(kit: WebKit, case: str) -> None:
    name = film(kit, case)
    kit.browser.submit(f"/cases/{case}", f"/cases/{case}/visit/mark")
    kit.browser.submit(f"/cases/{case}", f"/cases/{case}/visit/enough")
    opened = kit.open_case(case)
    assert opened.read(Marks, name) and opened.read(Enough, name)
    withdraw_film(opened, name, kit.recorder.status.kit, NOW)
    assert not opened.read(Marks, name) and not opened.read(Enough, name)


def test_the_child_had_enough_stops_disarms_and_is_kept_in_the_case(kit: WebKit, case: str) -> None:
    arm(kit, case)
    name = film(kit, case)
    page = kit.browser.submit(f"/cases/{case}", f"/cases/{case}/visit/enough")
    assert page.path == f"/cases/{case}"
    assert [r for r in kit.recorder.requests() if isinstance(r, Stop)]
    assert kit.recorder.permit() is None
    kept = kit.open_case(case).read(Enough, name)
    assert kept and kept.recording == name
    kit.recorder.show(state="idle", ended="page")
    assert "Stopped because the child had had enough." in kit.browser.get(f"/cases/{case}").words


def test_what_can_be_done_while_filming_is_offered_only_for_the_family_that_is_filmed(
    kit: WebKit, case: str
) -> None:
    other = kit.make_case("Another family")
    film(kit, case)
    assert "Mark this moment" in kit.browser.get(f"/cases/{case}").words
    assert "Mark this moment" not in kit.browser.get(f"/cases/{other}").words


def test_how_loud_it_is_is_told_to_whoever_is_unlocked_and_to_nobody_else(
    kit: WebKit, case: str
) -> None:
    film(kit, case)
    for peak, shown in ((0.0, 100), (-30.0, 50), (-60.0, 0), (-90.3, 0)):
        sound(kit, peak)
        assert kit.browser.get("/status.json").response.json["heard"]["level"] == shown
    assert f'value="{0}"' in kit.browser.get(f"/cases/{case}").text
    assert kit.another_browser().get("/status.json").response.json["heard"] is None
    kit.recorder.show(with_sound=False, sound=None)
    assert "No sound: this film has pictures only" in kit.browser.get(f"/cases/{case}").words


def test_before_the_film_it_is_said_whether_people_can_be_heard(kit: WebKit, case: str) -> None:
    arm(kit, case)
    address = f"/cases/{case}/visit/frame"
    assert 'id="sound"' not in kit.browser.get(address).text
    frame(kit, case)
    assert "No sound: this film has pictures only" in kit.browser.get(address).words
    assert 'id="sound"' not in kit.browser.get(address).text
    kit.recorder.show(with_sound=True, sound=None)
    assert "No sound." in kit.browser.get(address).words
    for loudest, said in (
        (-40.1, "Too quiet."),
        (-40, "Sound is good."),
        (-3, "Sound is good."),
        (-2.9, "Too loud."),
    ):
        # What was said a moment ago counts, not the pause just now.
        sound(kit, -60.0, loudest)
        page = kit.browser.get(address)
        assert f"Sound {said}" in page.words
        assert 'id="sound"' in page.text


def test_the_line_says_how_long_the_last_film_can_still_be_removed(kit: WebKit) -> None:
    kit.recorder.show(state="ready", removable=92.0)
    assert "hold the button down for 5 seconds (1:32 left" in kit.browser.get("/cases").words
    kit.recorder.show(removable=0.0)
    assert "To delete the last film" not in kit.browser.get("/cases").words


def test_locked_nobody_marks_frames_or_ends_with_a_reason(kit: WebKit, case: str) -> None:
    film(kit, case)
    token = kit.browser.get("/cases").form("/lock")["csrf_token"][0]
    kit.browser.submit("/cases", action="/lock")
    for what in ("mark", "enough", "frame", "here"):
        page = kit.browser.post(f"/cases/{case}/visit/{what}", {"csrf_token": token})
        assert page.path == "/unlock" or page.status == 400
    kit.browser.submit("/unlock", passphrase=PASSPHRASE, time=NOW.isoformat())
    assert not kit.open_case(case).read_all(Marks)


def test_the_bar_of_the_sound_shows_the_loudest_that_the_words_speak_of(
    kit: WebKit, case: str
) -> None:
    """Who talks makes pauses: a bar of this instant jumps to nothing beside 'loud enough'."""
    frame(kit, case)
    for now in (-8.0, -90.3, -60.0):
        sound(kit, peak=now, loudest=-8.0)
        page = kit.browser.get(f"/cases/{case}/visit/frame")
        (level,) = re.findall(r'<meter[^>]*value="(\d+)"', page.text)
        assert "Sound is good" in page.words and level == "87"
