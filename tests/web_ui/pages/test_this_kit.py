"""The page about the kit itself: what it is, its label, and switching it off."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from appliance.protocol.requests import CorrectTime
from appliance.records.clock import Correction
from appliance.records.files import from_json
from appliance.records.signing import open_note
from tests.support.pages import NOW, WebKit, practitioner
from web_ui.pages.this_kit import _joining
from web_ui.system.tls import ensure_certificate, fingerprint, next_turn
from web_ui.wording.times import in_words


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        made.enrol()
        made.home.keys.mkdir(exist_ok=True)
        ensure_certificate(made.home.keys, ())
        made.recorder.show(camera="imx708_wide", clock="trusted", lamp_proven=True)
        yield made


def test_the_page_says_what_the_kit_is_and_how_to_know_it(kit: WebKit) -> None:
    kit.unlock()
    page = kit.browser.get("/kit")
    for words in ("imx708_wide", "The kit checks that it works", kit.recorder.status.kit):
        assert words in page.words
    assert fingerprint(kit.home.keys / "tls.crt") in page.words


def test_what_is_well_stands_here_and_on_no_other_page(kit: WebKit) -> None:
    kit.unlock()
    kit.recorder.show(clock="trusted", now=NOW, minutes_free=1689.9)
    for words in ("Room for 28 hours", "Time confirmed", "Nothing uploaded since"):
        assert words in kit.browser.get("/kit").words
        assert words not in kit.browser.get("/cases").words


def test_a_wrong_time_is_put_right_from_the_page_and_by_the_button(kit: WebKit) -> None:
    kit.unlock()
    kit.recorder.carry_out()
    kit.recorder.show(now=NOW + timedelta(days=300))
    page = kit.browser.get("/kit/time")
    assert (
        "The time you gave when you unlocked makes it 21 November 2026 at 14:05 now." in page.words
    )
    assert "The kit thinks it is 17 September 2027 at" in page.words
    page = kit.browser.submit("/kit/time")
    assert "Press the button on the kit within 60 seconds" in page.words
    (request,) = [one for one in kit.recorder.requests() if isinstance(one, CorrectTime)]
    text, _ = open_note(request.note, [practitioner().signer.verifier])
    said = from_json(text, Correction)
    assert (said.kit, said.time) == (kit.recorder.status.kit, NOW)
    for answer, words in (
        ("timed-out", "The button was not pressed in time. Nothing has changed."),
        ("refused", "The kit did not accept the button press. Nothing has changed."),
        ("done", "Your time and the kit's time are the same: 21 November 2026 at 14:05."),
    ):
        kit.recorder.show(answers={request.id: answer})
        assert words in kit.browser.get(f"/kit/time?asked={request.id}").words
    kit.recorder.show(now=NOW)
    assert "You do not need to correct anything." in kit.browser.get("/kit/time").words


def test_whoever_asks_for_another_time_disarms_the_kit(kit: WebKit) -> None:
    kit.unlock()
    kit.recorder.carry_out()
    case = kit.make_case()
    kit.browser.submit(f"/cases/{case}/goals", not_yet="y")
    kit.browser.submit(f"/cases/{case}/arm")
    assert kit.recorder.permit() is not None
    kit.recorder.show(now=NOW + timedelta(days=300))
    kit.browser.submit("/kit/time")
    assert kit.recorder.permit() is None


def test_a_silent_recorder_is_not_asked_for_another_time(kit: WebKit) -> None:
    kit.unlock()
    before = len(kit.recorder.requests())
    kit.clock.advance(60)
    assert "The page cannot talk to the camera." in kit.browser.get("/kit/time").words
    token = kit.browser.get("/kit").form("/kit/off")["csrf_token"][0]
    kit.browser.post("/kit/time", {"csrf_token": token})
    assert len(kit.recorder.requests()) == before


def test_a_page_that_is_locked_shows_no_key_of_the_network(kit: WebKit) -> None:
    for path in ("/kit", "/kit/label"):
        assert kit.browser.get(path).path == "/unlock"


def test_the_label_has_what_the_first_start_wrote_down(kit: WebKit, tmp_path: Path) -> None:
    kit.unlock()
    Path(kit.config.label).write_text(
        'name = "kit-7k3p"\nssid = "kit-7k3p"\nkey = "abcd2345"\naddress = "https://10.55.0.1/"\n'
    )
    page = kit.browser.get("/kit/label")
    now = kit.home.keys / "tls.crt"
    when, following = next_turn(now) or (NOW, "")
    assert f"changes on {in_words(when)}" in page.words
    assert fingerprint(now) in page.words and following in page.words
    for words in ("kit-7k3p", "abcd2345", "https://10.55.0.1/"):
        assert words in page.words
    assert page.text.count("app-qr") == 2


def test_a_kit_without_a_network_of_its_own_has_a_label_too(kit: WebKit) -> None:
    kit.unlock()
    page = kit.browser.get("/kit/label")
    assert page.text.count("app-qr") == 1
    assert "Join its network" not in page.words


def test_signs_that_mean_something_to_a_telephone_are_told_apart() -> None:
    assert _joining("a;b", 'c"d:e\\') == 'WIFI:T:WPA;S:a\\;b;P:c\\"d\\:e\\\\;;'


def test_everybody_may_have_the_authority_and_nothing_else(kit: WebKit) -> None:
    answer = kit.browser.get("/kit/authority.crt")
    assert answer.status == 200
    found = x509.load_pem_x509_certificate(answer.response.data)
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert kit.browser.get("/kit/tls.key").path == "/unlock"


def test_the_kit_is_switched_off_only_by_somebody_who_means_it(kit: WebKit) -> None:
    kit.unlock()
    assert kit.browser.submit("/kit", "/kit/off").status == 400
    assert kit.switched_off == 0
    assert kit.browser.submit("/kit", "/kit/off", confirm="y").path == "/kit/going"
    assert kit.switched_off == 1


@pytest.mark.parametrize("state", ["preview", "filming", "stopping", "removing"])
def test_a_kit_whose_camera_is_in_use_is_not_switched_off(kit: WebKit, state: str) -> None:
    kit.unlock()
    kit.recorder.show(state=state)
    assert kit.browser.submit("/kit", "/kit/off", confirm="y").status == 409
    assert kit.switched_off == 0
