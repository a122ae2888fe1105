"""What is open to be watched: for whom, how long, and what is said where it is not whole."""

from pathlib import Path

import pytest

from appliance.film.manifest import EndReason
from tests.support.pages import LARGE, WebKit, practitioner
from tests.support.watching import FRAMES, numbers, place, whole, with_film
from web_ui.player.ranges import PIECE


def test_a_film_of_another_case_is_not_there(own_kit: WebKit) -> None:
    kit = own_kit
    film = place(kit).rpartition("/")[2]
    other = kit.make_case("Another family")
    for path in ("", "/video", "/frames.json", "/poster.jpg", "/glance.json"):
        assert kit.browser.get(f"/cases/{other}/films/{film}{path}").status == 404
    assert film not in kit.browser.get(f"/cases/{other}").text


@pytest.mark.parametrize(
    "path", ["films/abcdefghijklmnop/video", "films/../case.json", "clips/abcdefghijklmnop/video"]
)
def test_a_guessed_film_or_clip_is_not_there(kit: WebKit, path: str) -> None:
    case = kit.parts.cases.records()[0].id
    assert kit.browser.get(f"/cases/{case}/{path}").status == 404


def test_a_locked_page_sends_no_part_of_a_film(own_kit: WebKit) -> None:
    kit = own_kit
    for path in ("video", "frames.json", "poster.jpg", "glance.json"):
        assert kit.another_browser().get(f"{place(kit)}/{path}", Range="bytes=0-9").status == 403
    url = f"{place(kit)}/video"
    kit.browser.submit("/cases", action="/lock")
    assert kit.browser.get(url, Range="bytes=0-9").status == 403


def test_locking_cuts_off_a_film_that_is_being_sent(tmp_path: Path) -> None:
    with WebKit(tmp_path) as kit:
        with_film(kit, LARGE)
        size = len(whole(kit))
        assert size > PIECE
        player = kit.app.test_client()
        player.set_cookie("__Host-attune", kit.browser.cookie("__Host-attune"), domain="localhost")
        answer = player.get(f"{place(kit)}/video", base_url="https://localhost", buffered=False)
        kit.parts.session.end()
        assert int(answer.headers["Content-Length"]) == size
        assert len(answer.data) == PIECE, "what was on its way came, and nothing after it"


def test_a_film_that_was_cut_short_says_what_is_missing_and_plays(own_kit: WebKit) -> None:
    kit = own_kit
    case = kit.make_case("Another")
    film = kit.recorder.write_film(case, kit.recipient(case), FRAMES, EndReason.POWER)
    (kit.home.recording(film) / "0001.mp4.age").unlink()
    page = kit.browser.get(f"/cases/{case}/films/{film}")
    assert "Part of this film is missing" in page.words
    assert "From 0:01.0 to 0:02.0" in page.words
    assert "The power was cut" in page.words
    video = kit.browser.get(f"/cases/{case}/films/{film}/video").response.data
    assert numbers(video) == [n for n in range(FRAMES) if not 30 <= n < 60]


def test_a_film_whose_manifest_was_altered_is_refused_in_words(own_kit: WebKit) -> None:
    kit = own_kit
    manifest = kit.home.recordings / place(kit).rpartition("/")[2] / "manifest"
    manifest.write_text(manifest.read_text().replace('"limit":300', '"limit":600'))
    page = kit.browser.get(place(kit))
    assert page.status == 400
    assert "altered" in page.words


def test_another_practitioner_sees_nothing_of_the_films(own_kit: WebKit) -> None:
    kit = own_kit
    url = place(kit)
    kit.browser.submit("/cases", action="/lock")
    (kit.home.kit / "enrolled.json").unlink()
    for old in kit.home.keys.glob("practitioner-*"):
        old.rename(kit.root / old.name)
    kit.enrol(1)
    kit.unlock()
    assert practitioner(1).card().name in {p.name for p in kit.home.keys.iterdir()}
    assert kit.browser.get("/cases").path == "/cases"
    assert kit.browser.get(url).status == 404
    assert kit.browser.get(f"{url}/video", Range="bytes=0-9").status == 404
