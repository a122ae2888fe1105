"""Choosing moments and looking at them together, as a person does it, on a film that is there."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from appliance.selftest.kit import Kit, wait_for
from firmware.cameras.family.scene import FamilyScene
from firmware.cameras.scene import PictureEncoder, sound_frame
from firmware.cameras.testcard import TestCard
from firmware.muxer import Muxer
from tests.browser.conftest import DRAWN, PATIENCE, Visitor, page_of
from tests.browser.test_visit import shows
from tests.support.pages import WebKit

SECONDS = 40
RATE = 30


def test_card(seconds: int) -> bytes:
    """A film from the recorder's own encoder: each frame has its number burned in."""
    card = FamilyScene(640, 360, RATE) if DRAWN else TestCard(640, 360, RATE)
    encoder = PictureEncoder(640, 360, card.rate, 1_000_000)
    film = bytearray()
    muxer, heard = Muxer(film.extend, sound=True), 0
    for take, _ in zip(card.takes(), range(seconds * RATE), strict=False):
        data, key = encoder.encode(take.frame, take.time)
        muxer.picture(data, take.time, take.duration, key)
        muxer.sound(sound_frame(take.sound, heard))
        heard += len(take.sound) // 2
    muxer.close()
    return bytes(film)


test_card.__test__ = False  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def film() -> bytes:
    return test_card(SECONDS)


@pytest.fixture
def kit(tmp_path: Path, film: bytes) -> Iterator[Kit]:
    """A kit with a case and a film, its page a real process; the recorder is only its files."""
    with WebKit(tmp_path) as made:
        made.unlock()
        case = made.make_case("R and K")
        made.recorder.write_film(case, made.recipient(case), stream=film)
    with page_of(made, tmp_path / "logs") as running:
        yield running


def say_the_word(visitor: Visitor) -> None:
    """What the family chose, asked once after each unlock."""
    visitor.page.fill("#word", "lantern")
    visitor.press("Continue")


def to_film(visitor: Visitor) -> None:
    visitor.follow("R and K")
    visitor.use(visitor.page.locator("#visit .app-cases__link"))
    video = visitor.page.locator("#player video")
    wait_for("a picture", lambda: video.evaluate("v => v.readyState >= 2") or None, PATIENCE)


def at(page: Page) -> float:
    return float(page.locator("#player video").evaluate("v => v.currentTime"))


def go_to(page: Page, seconds: float) -> None:
    page.locator("#player video").evaluate(
        "(v, s) => new Promise(done => {"
        " v.addEventListener('seeked', done, { once: true }); v.currentTime = s; })",
        seconds,
    )


def keep(page: Page, note: str, **words: str) -> None:
    """Fill in the form of the moment that is marked and keep it."""
    page.fill("#mark [name=note]", note)
    if words and not page.locator("#mark details[open]").count():
        page.get_by_text("Goal, principle, part and question").click()
    for name, value in words.items():
        field = page.locator(f"#mark [name={name}]")
        if name == "question":
            field.fill(value)
        else:
            field.select_option(label=value)
    page.get_by_role("button", name="Save clip").click()
    page.locator("ol .app-moment", has_text=note).wait_for()


def test_moments_are_found_worded_and_put_in_order(visitor: Visitor, kit: Kit) -> None:
    page = visitor.page
    visitor.unlock()
    to_film(visitor)
    page.locator("#glance-making").wait_for(state="hidden")
    go_to(page, 20.01)
    page.keyboard.press("t")
    assert (page.input_value("#start"), page.input_value("#end")) == ("0:12.000", "0:26.000")
    page.keyboard.press("]")
    assert page.locator("#player-place").inner_text().endswith("frame 779")
    visitor.look("30-moment-marked")

    # A nudge by frame, from the fields' own buttons and on the handles.
    page.get_by_role("button", name="+1: Start, one frame later").click()
    assert page.input_value("#start") == "0:12.033"
    page.locator("#handle-in").press("ArrowLeft")
    assert page.input_value("#start") == "0:12.000"
    page.locator("#handle-out").press("Shift+ArrowLeft")
    assert page.input_value("#end") == "0:25.000"
    box = page.locator("#handle-in").bounding_box()
    assert box
    page.mouse.move(box["x"] + 12, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 40)
    page.mouse.up()
    assert 13.5 < float(page.input_value("#start").removeprefix("0:")) < 14.5

    page.keyboard.press("?")
    visitor.sees("Play backwards")
    visitor.look("31-keys")
    visitor.press("Close")
    keep(
        page,
        "She turns to him",
        goal="To notice when she starts something",
        principle="Receiving initiatives",
        turn="Reception: the adult notices, and shows it",
        question="What did you see just before?",
    )
    assert at(page) > 1, "what played kept its place"
    assert page.input_value("#start") == "" and page.input_value("#mark [name=note]") == ""
    page.fill("#start", "5")
    page.fill("#end", "7.5")
    keep(page, "He waits for her")
    go_to(page, 30.0)
    page.get_by_role("button", name="Save still").click()
    page.get_by_role("heading", name="Still 3").wait_for()
    page.get_by_role("button", name="Still 3: move earlier").click()
    page.get_by_role("heading", name="Still 2").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == (
        "Still 2: move earlier"
    )
    page.get_by_role("button", name="Clip 1: remove from review").click()
    page.get_by_text("Set aside (1)").click()
    # What is put in anew meanwhile closes nothing that somebody opened.
    page.get_by_role("button", name="Clip 2: move earlier").click()
    page.get_by_role("button", name="Still 2: move earlier").click()
    page.get_by_role("heading", name="Clip 2").wait_for()
    visitor.look("32-moments-kept")
    page.get_by_role("button", name="Put back the clip at").click()
    page.get_by_role("heading", name="Clip 3").wait_for()

    visitor.use(page.get_by_role("link", name="Notes and tags for Clip 2"))
    visitor.look("33-words")
    visitor.follow("Change the list of principles")
    page.fill("#principles", "Being attentive\nNaming what is seen")
    visitor.look("34-principles")
    visitor.press("Save")
    page.locator("[name=principle]").select_option(label="Naming what is seen")
    visitor.press("Save")
    page.locator(".app-moment__tags", has_text="Naming what is seen").wait_for()
    visitor.use(page.get_by_role("link", name="Trim Clip 2"))
    assert page.input_value("#start") == "0:05.000"
    page.fill("#end", "8")
    visitor.press("Save changes to this clip")
    page.locator(".app-moment", has_text="0:05.00 - 0:08.00").wait_for()
    there = page.locator("ol .app-moment h3").all_inner_texts()
    assert [one.split()[0] for one in there] == ["Still", "Clip", "Clip"]
    assert "He waits for her" in page.locator("ol .app-moment").nth(1).inner_text()


def test_a_family_looks_at_the_moments_and_nothing_else(visitor: Visitor, kit: Kit) -> None:
    page = visitor.page
    visitor.unlock()
    to_film(visitor)
    for start, note in ((3, "secret thought"), (10, "another thought")):
        page.fill("#start", str(start))
        page.fill("#end", str(start + 2))
        keep(page, note, question="What came first?")
    go_to(page, 20.0)
    page.get_by_role("button", name="Save still").click()
    page.get_by_role("heading", name="Still 3").wait_for()
    visitor.follow("Go to the shared review")
    visitor.look("35-review")
    visitor.press("Start the review on a second screen")
    say_the_word(visitor)
    visitor.sees("The family's window is closed.")
    with page.context.expect_page() as opened:
        visitor.press("Open the family's window")
    family = visitor.with_another(opened.value)
    screen = family.page
    screen.get_by_role("button", name="Start").click()
    visitor.sees("The family can see 1 of 3.")
    wait_for(
        "the clip",
        lambda: screen.locator("video").first.evaluate("v => !v.paused") or None,
        PATIENCE,
    )
    for hidden in ("secret thought", "What came first?", "R and K", "lantern", "To notice"):
        assert hidden not in screen.content()
        assert hidden not in screen.title()
    assert screen.get_by_role("link").all_inner_texts() == ["Finish"]
    page.get_by_role("button", name="Next").click()
    screen.get_by_text("2 of 3").wait_for()
    page.get_by_role("button", name="Slow").click()
    wait_for(
        "slow motion",
        lambda: screen.locator("video").nth(1).evaluate("v => v.playbackRate == 0.5") or None,
        PATIENCE,
    )
    visitor.look("36-notes")
    family.look("37-family")
    page.get_by_role("button", name="Show number 3 to the family").click()
    screen.get_by_text("3 of 3").wait_for()
    family.look("38-family-picture")
    screen.keyboard.press("ArrowLeft")
    visitor.sees("The family can see 2 of 3.")
    screen.close()
    visitor.sees("The family's window is closed.")

    visitor.press("Finish the review")
    page.wait_for_url("**/review/close")
    visitor.press("Finish the review")
    visitor.sees("There is a problem")
    visitor.look("39-closing-refused")
    page.fill("#strengths", "She waits and he turns to her.")
    page.fill("#next", "Bath time.")
    page.get_by_label("To notice when she starts something").select_option("6")
    page.get_by_label("Another film and another review").check()
    visitor.press("Finish the review")
    visitor.sees("Words for the record")
    words = page.input_value("#words")
    assert "She waits and he turns to her." in words
    assert "- To notice when she starts something: 6" in words
    visitor.look("40-words-for-the-record")
    visitor.press("Back to the family")
    visitor.follow("Clips and shared review")
    visitor.sees("You have not chosen any clips yet")
    page.get_by_text("Set aside (3)").wait_for()


def test_the_player_obeys_its_keys_unless_they_are_switched_off(visitor: Visitor, kit: Kit) -> None:
    page = visitor.page
    visitor.unlock()
    to_film(visitor)
    video = page.locator("#player video")
    video.evaluate("v => { v.muted = true; }")
    go_to(page, 10.0)
    page.keyboard.press("l")
    wait_for("it plays", lambda: at(page) > 10.5 or None, PATIENCE)
    page.keyboard.press("l")
    assert video.evaluate("v => v.playbackRate") == 1.5
    page.keyboard.press("k")
    assert video.evaluate("v => v.paused")
    wait_for("the frame that is seen", lambda: video.evaluate("v => !v.seeking") or None, PATIENCE)
    seen = page.locator("#player-place").inner_text().rpartition(" ")[2]
    assert shows(video, int(seen))
    page.keyboard.press("j")
    wait_for("it plays backwards", lambda: at(page) < 10.3 or None, PATIENCE)
    page.keyboard.press("k")
    page.select_option("#speed", "0.25")
    page.locator("#speed").blur()
    page.fill("#start", "0:02")
    page.fill("#end", "0:02.2")
    page.locator("h1").click()
    page.select_option("#speed", "2")
    page.get_by_role("button", name="Play this clip").click()
    wait_for("end of the clip", lambda: video.evaluate("v => v.paused") or None, PATIENCE)
    wait_for("its last frame", lambda: video.evaluate("v => !v.seeking") or None, PATIENCE)
    assert shows(video, 65)
    page.get_by_role("button", name="Loop").click()
    page.get_by_role("button", name="Play this clip").click()
    page.wait_for_timeout(1200)
    assert not video.evaluate("v => v.paused")
    assert 1.9 < at(page) < 2.4
    page.keyboard.press("k")
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.keyboard.press("+")
    assert page.locator("#shows").inner_text() == "0:00 to 0:05"
    visitor.look("41-closer")

    page.keyboard.press("?")
    page.locator("#letters").uncheck()
    visitor.press("Close")
    before = page.input_value("#start")
    page.keyboard.press("i")
    assert page.input_value("#start") == before


def test_moments_are_marked_by_touch_on_a_phone(chromium: Browser, kit: Kit) -> None:
    context = chromium.new_context(
        ignore_https_errors=True,
        has_touch=True,
        is_mobile=True,
        viewport={"width": 390, "height": 844},
    )
    address = f"https://localhost:{kit.config.port}"
    visitor = Visitor(context, address, "", scripts=True)
    page = visitor.page
    visitor.unlock()
    to_film(visitor)
    go_to(page, 20.0)
    page.get_by_role("button", name="Mark this moment").tap()
    handle = page.locator("#handle-out")
    box = handle.bounding_box()
    assert box
    touch(page, box["x"] + 12, box["y"] + 50, by=-40)
    assert 18 < float(page.input_value("#end").removeprefix("0:")) < 23
    for button in page.locator("#player button, #mark button").all():
        size = button.bounding_box()
        if size:
            assert min(size["width"], size["height"]) >= 24
    page.get_by_role("button", name="Save clip").tap()
    page.locator("ol .app-moment").wait_for()
    context.close()


def touch(page: Page, x: float, y: float, by: float) -> None:
    """Put a finger down, draw it across by so many points, and lift it."""
    debugger = page.context.new_cdp_session(page)
    moves = [x + by * part / 8 for part in range(9)]
    for number, place in enumerate(moves):
        kind = "touchStart" if number == 0 else "touchMove"
        points = [{"x": place, "y": y}]
        debugger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    debugger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    debugger.detach()


def test_moments_and_a_review_with_javascript_off(plain_visitor: Visitor, kit: Kit) -> None:
    visitor, page = plain_visitor, plain_visitor.page
    visitor.unlock()
    visitor.follow("R and K")
    visitor.use(page.locator("#visit .app-cases__link"))
    film = visitor.path
    page.fill("#start", "0:03")
    page.fill("#end", "0:04.5")
    page.fill("#mark [name=note]", "She turns to him")
    visitor.press("Save clip")
    page.fill("#at", "0:07.5")
    visitor.press("Save still")
    wait_for("the clip", lambda: list(kit.home.cases.glob("*/documents/clip-*")) or None, PATIENCE)
    visitor.go(film)
    page.get_by_role("button", name="Still 2: move earlier").click()
    page.get_by_role("heading", name="Still 1").wait_for()
    visitor.use(page.get_by_role("link", name="Notes and tags for Clip 2"))
    page.fill("[name=question]", "What came first?")
    visitor.press("Save")
    visitor.sees("What came first?")
    visitor.look("42-plain-moments")
    visitor.follow("Go to the shared review")
    visitor.press("Start the review on this screen")
    say_the_word(visitor)
    assert page.locator("video, img").count() == 2
    assert page.locator("video").get_attribute("controls") is not None
    visitor.look("43-plain-review")
    visitor.follow("Finish")
    page.fill("#strengths", "She waits.")
    page.get_by_label("Stop for now, perhaps more later").check()
    visitor.press("Finish the review")
    visitor.sees("Words for the record")
    assert "She waits." in page.locator("#words").input_value()
