"""One walk in Firefox."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.selftest.kit import Kit, wait_for
from tests.browser.conftest import PASSPHRASE, PATIENCE, page_of
from tests.browser.firefox import FIREFOX, Firefox, firefox_in
from tests.support.pages import WebKit

pytestmark = pytest.mark.skipif(not FIREFOX, reason="no Firefox here: apt-get install firefox-esr")


@pytest.fixture
def firefox(tmp_path: Path) -> Iterator[Firefox]:
    with firefox_in(tmp_path, PATIENCE) as browser:
        yield browser


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[tuple[Kit, str]]:
    """A kit that is set up, with one film of three seconds, and the path of its page."""
    with WebKit(tmp_path / "kit") as made:
        made.unlock()
        case = made.make_case("R and K")
        film = made.recorder.write_film(case, made.recipient(case), frames=90)
        with page_of(made, tmp_path / "logs") as running:
            yield running, f"/cases/{case}/films/{film}"


def test_in_firefox_a_film_plays_seeks_to_the_frame_and_a_moment_is_kept(
    firefox: Firefox, kit: tuple[Kit, str]
) -> None:
    running, film = kit
    address = f"https://localhost:{running.config.port}"
    firefox.go(address + film)
    assert firefox.ask("WebDriver:GetCurrentURL") == f"{address}/unlock"
    firefox.type("#passphrase", PASSPHRASE)
    firefox.click("#unlock button[type=submit]")
    wait_for(
        "the film",
        lambda: firefox.ask("WebDriver:GetCurrentURL") == address + film or None,
        PATIENCE,
    )
    ready = "return document.querySelector('#player video')?.readyState ?? 0"
    wait_for("a picture", lambda: firefox.run(ready) >= 2 or None, PATIENCE)
    length = firefox.run("return document.querySelector('#player video').duration")
    assert abs(length - 3) < 0.1
    seek = """const [at] = arguments, video = document.querySelector('#player video');
    return new Promise(done => {
      video.onseeked = () => done(video.currentTime); video.currentTime = at; });"""
    for at in (2.5, 0.5, 1.0):
        assert abs(firefox.run(seek, at) - at) < 0.05
    play = """const video = document.querySelector('#player video'); video.muted = true;
    return video.play().then(() => true);"""
    assert firefox.run(play)
    now = "return document.querySelector('#player video').currentTime"
    wait_for("it plays", lambda: firefox.run(now) > 1.2 or None, PATIENCE)
    firefox.run("document.querySelector('#player video').pause()")
    for field, seconds in (("start", "0.5"), ("end", "1.5")):
        firefox.run("document.getElementById(arguments[0]).value = ''", field)
        firefox.type(f"#{field}", seconds)
    firefox.click("#mark button[type=submit]")
    kept = "return document.querySelectorAll('.app-moment video').length"
    wait_for("the moment", lambda: firefox.run(kept) or None, PATIENCE)
    told = "return document.getElementById('line-doing').textContent"
    assert "Not filming" in firefox.run(told)
