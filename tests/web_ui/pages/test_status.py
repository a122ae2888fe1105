"""The kit's line on every page, Stop, and the button of the virtual kit."""

import json
import re
import socket
from collections.abc import Iterator
from contextvars import copy_context
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.film.manifest import EndReason
from appliance.protocol.permits import PressRefusal
from appliance.protocol.requests import Stop
from appliance.protocol.status import Pattern, State
from tests.support.pages import NOW, Browser, WebKit
from web_ui.pages import status
from web_ui.session.session import IDLE_SECONDS


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        made.enrol()
        yield made


def told(kit: WebKit) -> dict[str, object]:
    answer: dict[str, object] = kit.browser.get("/status.json").response.json
    return answer


def test_the_line_says_what_the_recorder_says(kit: WebKit) -> None:
    kit.recorder.show(
        state="filming", light="filming", clock="trusted", remaining=125.4, minutes_free=80.9
    )
    page = kit.browser.get("/unlock")
    for words in ("Filming.", "Steady light: filming", "2:05"):
        assert words in page.words
    assert told(kit)["countdown"] == "2:05"


def test_the_line_says_more_only_where_somebody_should_do_something(kit: WebKit) -> None:
    well = {"clock": "trusted", "now": NOW, "minutes_free": 60.0, "lamp_proven": True}
    kit.unlock()
    kit.recorder.show(**well)
    said = told(kit)
    assert not any(said[name] for name in ("clock", "free", "unproven", "failing", "removable"))
    for changes, name, words in (
        ({"minutes_free": 59.0}, "free", "Room for 59 minutes"),
        ({"clock": "doubtful"}, "clock", "Time not confirmed"),
        ({"clock": "wrong"}, "clock", "The time is wrong"),
        ({"other_time": NOW + timedelta(hours=1)}, "clock", "clocks do not match"),
        ({"lamp_proven": False, "state": "ready"}, "unproven", "cannot check it for you"),
        ({"lamp_proven": False, "state": "filming"}, "unproven", "cannot check it for you"),
    ):
        kit.recorder.show(**(well | changes))
        assert words in str(told(kit)[name])
        assert words in kit.browser.get("/unlock").words
        kit.recorder.show(**well, state="idle", other_time=None)


def test_a_status_older_than_three_seconds_is_not_believed(kit: WebKit) -> None:
    kit.recorder.show(state="ready", light="ready")
    kit.clock.advance(3)
    assert told(kit)["answers"] is True
    kit.clock.advance(0.1)
    assert told(kit)["answers"] is False
    page = kit.browser.get("/unlock")
    assert "The page cannot talk to the camera" in page.words
    assert "Slow pulse" not in page.words


def test_a_status_of_another_boot_is_not_believed(kit: WebKit) -> None:
    kit.recorder.show(boot="another")
    assert told(kit)["answers"] is False


def test_a_status_that_cannot_be_read_is_not_believed(kit: WebKit) -> None:
    kit.home.status("recorder").write_text('{"attune": "recorder-status/v1"}')
    assert told(kit)["answers"] is False


@pytest.mark.parametrize("field", ["state", "light", "clock", "ended"])
def test_a_status_with_a_code_that_nobody_knows_is_not_believed(kit: WebKit, field: str) -> None:
    kit.recorder.show(**{field: "unheard-of"})
    assert told(kit)["answers"] is False


@pytest.mark.parametrize("state", State)
def test_every_state_has_its_words(kit: WebKit, state: State) -> None:
    kit.recorder.show(state=state.value)
    assert told(kit)["doing"]


@pytest.mark.parametrize("pattern", Pattern)
def test_every_pattern_of_the_light_has_its_words_and_is_drawn(
    kit: WebKit, pattern: Pattern
) -> None:
    kit.recorder.show(light=pattern.value)
    assert told(kit)["lamp"] != pattern.value
    sheet = kit.browser.get("/assets/light.css").text
    assert f'[data-light="{pattern.value}"]' in sheet


@pytest.mark.parametrize("code", [*PressRefusal, *EndReason])
def test_every_refusal_and_fault_is_said_in_words(
    kit: WebKit, code: PressRefusal | EndReason
) -> None:
    kit.recorder.show(reason=code.value)
    page = kit.browser.get("/unlock")
    assert "The kit gave this code" not in page.words
    if isinstance(code, PressRefusal):
        assert code.sentence in page.words


class Events:
    """What the kit sends to a page that stays open; None where all is the same.

    Each has a context of its own, as each has a thread of its own on a kit.
    """

    def __init__(self, kit: WebKit, browser: Browser | None = None) -> None:
        self._context = copy_context()
        asked = self._context.run((browser or kit.browser).get, "/status.events")
        self._answer = asked.response
        assert self._answer.mimetype == "text/event-stream"
        self._pieces = self._answer.iter_encoded()

    def __iter__(self) -> Iterator[dict[str, object] | None]:
        return self

    def __next__(self) -> dict[str, object] | None:
        piece = self._context.run(next, self._pieces).decode()
        if piece.startswith("retry: "):
            return next(self)
        assert piece.startswith("data: ") and piece.endswith("\n\n")
        value = piece.removeprefix("data: ").strip()
        return None if value == "same" else json.loads(value)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._context.run(self._answer.close)


def test_a_page_that_stays_open_is_told_of_every_change(kit: WebKit) -> None:
    kit.unlock()
    stream = Events(kit)
    assert next(stream) == told(kit)
    kit.recorder.show(state="filming", remaining=12.0)
    now = next(stream)
    assert now == told(kit) and now["countdown"] == "0:12"
    # What is not the recorder's to say is seen within a second.
    kit.parts.session.end()
    kit.clock.advance(1)
    now = next(stream)
    assert now and now["locked"] is True
    kit.clock.advance(2.1)
    now = next(stream)
    assert now and now["answers"] is False, "the recorder has been silent for more than 3 s"
    kit.clock.advance(2)
    assert next(stream) is None, "a page hears from the kit although nothing has changed"
    kit.clock.advance(60)
    assert list(stream) == [], "whether or not anybody is there"


def test_a_page_that_stays_open_does_not_keep_the_kit_unlocked(kit: WebKit) -> None:
    kit.unlock()
    stream = Events(kit)
    assert (next(stream) or {})["locked"] is False
    kit.pass_by(IDLE_SECONDS - 1)
    assert [one["locked"] for one in stream if one] == [], "it ended and was asked for again"
    stream = Events(kit)
    assert (next(stream) or {})["locked"] is False
    kit.clock.advance(1)
    assert (next(stream) or {})["locked"] is True
    assert not kit.parts.session.unlocked
    stream.close()


def test_where_too_many_pages_are_open_each_asks_again_and_strangers_always_do(kit: WebKit) -> None:
    kit.unlock()
    stranger = Events(kit, kit.another_browser())
    assert len(list(stranger)) == 1
    open_pages = [Events(kit) for _ in range(status.STREAMS)]
    for page in open_pages:
        assert next(page)
    assert len(list(Events(kit))) == 1
    open_pages.pop().close()
    page = Events(kit)
    assert next(page)
    kit.recorder.show(state="filming")
    assert (next(page) or {})["filming"] is True
    for one in (*open_pages, page):
        one.close()


def test_the_line_says_nothing_of_a_family_to_who_is_not_unlocked(kit: WebKit) -> None:
    kit.unlock()
    case = kit.make_case("The name of the family")
    kit.recorder.show(state="filming", case=case)
    page = kit.another_browser().get("/status.json")
    assert "The name" not in page.text and case not in page.text


def test_a_browser_that_unlocked_before_can_stop_a_film_while_the_page_is_locked(
    kit: WebKit,
) -> None:
    kit.unlock()
    kit.browser.submit("/cases", action="/lock")
    kit.start_again_with_cookies()
    kit.recorder.show(state="filming")
    page = kit.browser.get("/unlock")
    assert "Stop filming" in page.words
    kit.browser.post("/stop", dict(page.form("/stop")))
    assert [r for r in kit.recorder.requests() if isinstance(r, Stop)]


def test_a_strange_browser_is_not_offered_to_stop(kit: WebKit) -> None:
    kit.recorder.show(state="filming")
    page = kit.browser.get("/unlock")
    assert "Stop filming" not in page.words
    token = page.form("/unlock")["csrf_token"][0]
    assert kit.browser.post("/stop", {"csrf_token": token}).path == "/unlock"
    assert not kit.recorder.requests()


@pytest.mark.parametrize("back", ["https://evil.example/", "//evil.example", "/\\evil", "evil"])
def test_after_stopping_nobody_is_sent_elsewhere(kit: WebKit, back: str) -> None:
    kit.unlock()
    kit.recorder.show(state="filming")
    form = dict(kit.browser.get("/cases").form("/stop")) | {"back": [back]}
    assert kit.browser.post("/stop", form).path == "/cases"


def test_the_virtual_button_goes_down_and_up(kit: WebKit) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as button:
        button.bind(str(kit.home.run / "recorder" / "virtual-button"))
        button.settimeout(5)
        form = kit.browser.get("/unlock").form("/virtual/button")
        for edge in ("down", "up"):
            assert kit.browser.post("/virtual/button", dict(form) | {"edge": edge}).status == 204
            assert button.recv(16) == edge.encode()
        kit.browser.post("/virtual/button", dict(form) | {"edge": "press"})
        assert (button.recv(16), button.recv(16)) == (b"down", b"up")
        assert kit.browser.post("/virtual/button", dict(form) | {"edge": "sideways"}).status == 400


def test_a_virtual_button_without_a_recorder_says_so(kit: WebKit) -> None:
    form = kit.browser.get("/unlock").form("/virtual/button")
    page = kit.browser.post("/virtual/button", dict(form) | {"edge": "down"})
    assert page.status == 503 and "does not answer" in page.words


@pytest.mark.parametrize("path", ["/cases", "/cases/%s", "/cases/%s/visit/frame"])
def test_a_page_that_the_kit_overtook_while_it_was_made_is_known_to_be_out_of_date(
    kit: WebKit, path: str
) -> None:
    # The view had seen that the camera is off, the marker that it is on: the page with the button
    # "Turn the camera on" then stayed as it was, until something else changed.
    kit.unlock()
    where = path.replace("%s", kit.make_case())
    before = kit.browser.get(where).text

    def goes_on() -> dict[str, object]:
        kit.recorder.show(state="preview", light="preview")
        return {}

    kit.app.template_context_processors[None].insert(0, goes_on)
    overtaken = kit.browser.get(where).text
    follow = re.compile('data-follow="([^"]+)"')
    assert follow.findall(overtaken) == follow.findall(before)
    assert follow.findall(kit.browser.get(where).text) == [str(told(kit)["follow"])]
