"""A visit as a person walks it: set-up, unlock, a case, arming, a press, a film, a kept moment.

Pictures of every page at three widths are kept in build/screenshots.
"""

import time
from datetime import datetime

from playwright.sync_api import Locator

from appliance.selftest.kit import Kit, wait_for
from tests.browser.conftest import DRAWN, PASSPHRASE, PATIENCE, Brought, Visitor
from tests.browser.consenting import NOBODY, PARENT, record, talk_through

FLAG = """canvas => {
  const line = canvas.getContext("2d").getImageData(0, 6 * devicePixelRatio, canvas.width, 1).data;
  const grey = (_, n) => !(n % 4) && line[n] === 33 && line[n + 1] === 43 && line[n + 2] === 50;
  return line.some(grey);
}"""
"""Whether a mark is flown over the filmstrip: its dark grey is nowhere else at that height."""
NUMBER = """video => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const pen = canvas.getContext("2d");
  pen.drawImage(video, 0, 0);
  let number = 0;
  for (let place = 2; place < 26; place++) {
    const x = Math.floor((place + 0.5) * canvas.width / 34);
    number = 2 * number + (pen.getImageData(x, canvas.height / 24, 1, 1).data[0] > 128);
  }
  return number;
}"""
"""The number that the test card (firmware.cameras.testcard) burned into the frame that is seen."""
LOUDNESS = {"Too quiet", "Sound is good", "Too loud"}
PICTURE_NUMBER = NUMBER.replace("videoWidth", "naturalWidth").replace(
    "videoHeight", "naturalHeight"
)


def picture_number(seen: Locator) -> int | None:
    """The number of the frame that is seen while framing; None while none is."""
    ready = "picture => picture.complete && picture.naturalWidth > 0"
    return seen.evaluate(PICTURE_NUMBER) if seen.evaluate(ready) else None


def shows(video: Locator, number: int) -> bool:
    """Whether the frame that is seen is this one."""
    return bool(DRAWN) or video.evaluate(NUMBER) == number


def hold(button: Locator, seconds: float = 0.2) -> None:
    """Press a button on the page like a real one: down, held, let go."""
    button.scroll_into_view_if_needed()
    button.hover()
    button.page.mouse.down()
    time.sleep(seconds)
    button.page.mouse.up()


def test_a_visit_from_a_new_kit_to_a_kept_moment(
    visitor: Visitor, kit: Kit, brought: Brought
) -> None:
    page = visitor.page
    button = page.locator("#virtual-button button")

    visitor.go("/")
    assert visitor.path == "/setup"
    page.set_input_files("#service_card_file", brought.service_card)
    page.set_input_files("#practitioner_key_file", brought.key_file)
    page.fill("#passphrase", "not these words")
    visitor.press("Continue")
    visitor.sees("There is a problem")
    visitor.look("01-set-up-refused")
    page.set_input_files("#service_card_file", brought.service_card)
    page.set_input_files("#practitioner_key_file", brought.key_file)
    page.fill("#passphrase", PASSPHRASE)
    visitor.press("Continue")
    visitor.sees("Press the button on the kit within 60 seconds")
    page.wait_for_selector("#lamp[data-light=presence]")
    visitor.look("02-press")
    kit.recorder_shows("presence asked for", lambda s: s.state == "presence")
    hold(button)

    page.wait_for_url("**/unlock")
    assert page.input_value("#time").startswith(datetime.now().astimezone().date().isoformat())
    visitor.look("03-unlock")
    page.fill("#passphrase", "not these words")
    visitor.press("Unlock")
    visitor.sees("That passphrase does not open this kit")
    time.sleep(1.1)
    page.fill("#passphrase", PASSPHRASE)
    visitor.press("Unlock")
    page.wait_for_url("**/cases")
    visitor.sees_no_doubt_of_time()
    visitor.look("04-no-cases")

    hold(button)
    visitor.sees("Nothing is agreed for today yet")
    assert not list(kit.home.recordings.glob("*")), "a press without leave began a film"
    visitor.look("05-refused")

    visitor.press("Add a family")
    page.get_by_label("What you call this family").fill("R and K")
    page.get_by_label("A word the family chooses").fill("lantern")
    visitor.look("06-new-case")
    visitor.press("Add this family")
    case = visitor.path.removesuffix("/goals")
    page.get_by_label("A goal").fill("To notice when she starts something herself")
    visitor.look("07-goals")
    visitor.press("Save")
    visitor.sees("Read this out first")
    visitor.go(case)
    visitor.look("08-case-to-do")
    visitor.follow("Consent")
    talk_through(visitor, look=lambda step: visitor.look(f"09-consent-{step}"))
    visitor.press("Record consent")
    visitor.sees("Select how they gave consent")
    visitor.look("10-consent-refused")
    record(visitor)
    visitor.sees("Alex (mother): agrees")
    visitor.look("11-arm")
    visitor.press("Turn the button on")
    visitor.sees("Press the button once to start filming")
    page.wait_for_selector("#lamp[data-light=ready]")
    visitor.look("12-armed")

    visitor.follow("Check the picture")
    visitor.press("Turn the camera on")
    page.wait_for_selector("#lamp[data-light=preview]")
    seen = page.locator("#seen")
    if not DRAWN:
        wait_for("a live picture", lambda: picture_number(seen), PATIENCE)
        first = picture_number(seen)
        wait_for("another one", lambda: picture_number(seen) != first or None, PATIENCE)
    level = page.get_by_role("meter", name="Sound")
    wait_for("how loud it is", lambda: level.evaluate("level => level.value") or None, PATIENCE)
    assert page.locator("#heard").inner_text().split(":")[0].split(".")[0] in LOUDNESS
    assert page.locator("#bright").inner_text() == "Light is good."
    visitor.press("Check that it is sharp")
    close = page.locator("#close-look")
    width = "picture => picture.decode().then(() => picture.naturalWidth)"
    assert close.evaluate(width) == kit.config.width
    assert not list(kit.home.recordings.glob("*")), "framing keeps nothing"
    visitor.look("12-framing")
    visitor.press("Turn the camera off")
    page.get_by_role("button", name="Turn the camera on").wait_for()
    visitor.follow("Back to the family")

    hold(button)
    page.wait_for_selector(".app-line--filming")
    visitor.sees("Filming. Press the button to stop.")
    page.route("**/mark", lambda asked: asked.abort())
    visitor.press("Mark this moment")
    visitor.sees("Lost connection")
    page.unroute("**/mark")
    kit.recorder_shows("three seconds of film", lambda s: s.frames_out > 90, PATIENCE)
    visitor.press("Mark this moment")
    visitor.sees("Marked at 0:0")
    assert not page.get_by_text("Lost connection").count()
    sound = page.locator("#sound")
    wait_for("its sound", lambda: sound.evaluate("level => level.value") or None, PATIENCE)
    visitor.look("13-filming")
    visitor.press("The child has had enough")
    # The film comes onto the page by itself.
    page.get_by_text("Stopped because the child had had enough.").wait_for()
    visitor.sees("Not filming.")
    visitor.look("14-filmed")

    visitor.use(page.locator("#visit .app-cases__link"))
    video = page.locator("#player video")
    wait_for("a picture", lambda: video.evaluate("v => v.readyState >= 2") or None, PATIENCE)
    length = video.evaluate("video => video.duration")
    assert length > 3
    for seconds in (0.5, 2.0, 1.0):
        video.evaluate(
            "(video, s) => new Promise(done => {"
            " video.onseeked = done; video.currentTime = s + 1e-3; })",
            seconds,
        )
        assert shows(video, int(seconds * 25))
    for key, number in ((".", 26), (".", 27), (",", 26)):
        with page.expect_event("console", lambda m: m.text == "seeked"):
            video.evaluate("video => { video.onseeked = () => console.log('seeked'); }")
            page.keyboard.press(key)
        assert shows(video, number)

    visitor.sees("Marked while filming")
    flag = page.locator("#glance")
    wait_for("the mark on the timeline", lambda: flag.evaluate(FLAG) or None, PATIENCE)
    visitor.use(page.locator(".app-marked a"))
    assert page.input_value("#start") == "0:00.000"
    assert float(page.input_value("#end").removeprefix("0:")) > 3
    wait_for("a picture", lambda: video.evaluate("v => v.readyState >= 2") or None, PATIENCE)
    video.evaluate(
        "video => new Promise(done => { video.onseeked = done; video.currentTime = 1.04 + 1e-3; })"
    )
    page.keyboard.press("i")
    assert page.input_value("#start") == "0:01.040"
    page.keyboard.press("t")
    assert page.input_value("#start") == "0:00.000"
    page.fill("#start", "1")
    page.fill("#end", "2.5")
    page.get_by_label("What you saw").fill("She turns to him")
    visitor.look("15-film")
    visitor.press("Save clip")
    clip = page.locator(".app-moment video")
    clip.wait_for()
    visitor.sees("She turns to him")
    assert page.input_value("#start") == page.input_value("#end") == "", "or it is kept once more"
    clip.evaluate("video => { video.muted = true; return video.play(); }")
    wait_for("the end of the clip", lambda: clip.evaluate("v => v.ended") or None, PATIENCE)
    assert abs(clip.evaluate("video => video.duration") - 1.5) < 0.05
    visitor.look("16-clip")

    visitor.follow("Back to the family")
    visitor.follow("Withdraw consent: one use, one film or everything")
    visitor.look("17-withdraw")
    page.get_by_label("The family wants this").check()
    visitor.press("Withdraw everything now")
    visitor.sees("Certificate of withdrawal")
    visitor.look("18-certificate")
    visitor.go(case)
    visitor.sees("Certificate of withdrawal")
    assert not visitor.complaints


def test_a_page_that_lost_the_kit_says_so_and_finds_it_again(visitor: Visitor, kit: Kit) -> None:
    doing = visitor.page.locator("#line-doing")
    visitor.go("/setup")
    visitor.sees("Not filming.")
    kit.pull_the_plug("web")
    doing.filter(
        has_text="You have lost connection to the kit. Check your Wi-Fi is on the kit's network."
    ).wait_for()
    assert visitor.page.locator("#lamp").get_attribute("data-light") == ""
    kit.start("web")
    kit.page()
    doing.filter(has_text="Not filming.").wait_for()
    visitor.page.wait_for_selector("#lamp[data-light=off]")


def test_the_same_visit_with_javascript_off(
    plain_visitor: Visitor, kit: Kit, brought: Brought
) -> None:
    visitor, page = plain_visitor, plain_visitor.page
    visitor.go("/setup")
    page.set_input_files("#service_card_file", brought.service_card)
    page.set_input_files("#practitioner_key_file", brought.key_file)
    page.fill("#passphrase", PASSPHRASE)
    visitor.press("Continue")
    visitor.sees("Press the button on the kit within 60 seconds")
    kit.recorder_shows("presence asked for", lambda s: s.state == "presence")
    page.locator("#virtual-button button").click()
    page.wait_for_url("**/unlock")
    page.fill("#passphrase", PASSPHRASE)
    visitor.press("Unlock")
    kit.recorder_shows("a trusted clock", lambda s: s.clock == "trusted")
    visitor.press("Add a family")
    page.fill("#label", "R and K")
    page.fill("#check_word", "lantern")
    visitor.press("Add this family")
    case = visitor.path.removesuffix("/goals")
    page.get_by_label("No goals yet").check()
    visitor.press("Save")
    talk_through(visitor, (("Alex", "mother", PARENT), ("Sam", "uncle", NOBODY)))
    record(visitor)
    visitor.press("Turn the button on")
    kit.recorder_shows("ready", lambda s: s.state == "ready")
    page.locator("#virtual-button button").click()
    kit.recorder_shows("a second of film", lambda s: s.state == "filming" and s.frames_out > 25)
    visitor.go(case)
    visitor.sees("Filming. Press the button to stop.")
    visitor.look("20-plain-filming")
    visitor.press("Stop filming")
    kit.recorder_shows("the end of the film", lambda s: s.ended == "page")
    visitor.go(case)
    visitor.sees("Stopped from this page.")
    visitor.use(page.locator("#visit .app-cases__link"))
    page.fill("#start", "0.2")
    page.fill("#end", "0.7")
    film = visitor.path
    visitor.press("Save clip")
    wait_for("the clip", lambda: list(kit.home.cases.glob("*/documents/clip-*")) or None, PATIENCE)
    visitor.go(film)
    visitor.sees("0:00.20 - 0:00.70")
    visitor.look("21-plain-clip")
    visitor.press("Lock")
    visitor.sees("to decide when consent runs out")
    assert not visitor.complaints
