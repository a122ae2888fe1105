"""Choosing moments and looking at them together, as a person does it, on a film that is there."""

import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from appliance.clock import SystemClock
from appliance.kit import Kit, free_port, wait_for
from firmware.camera import TICKS
from firmware.cameras.scene import PictureEncoder, sound_frame
from firmware.cameras.testcard import TestCard
from firmware.muxer import Muxer
from tests.browser.conftest import Visitor
from tests.pages import PASSPHRASE, FakeRecorder, WebKit
from web_ui.__main__ import build_parts

SECONDS = 40
RATE = 30


def test_card(seconds: int) -> bytes:
    """A film from the recorder's own encoder: each frame has its number burned in."""
    card = TestCard(640, 360, RATE)
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
    config = msgspec.structs.replace(made.config, port=free_port())
    ended = threading.Event()
    recorder = FakeRecorder(build_parts(config, SystemClock()))
    recorder.signer = made.recorder.signer
    recorder.status = msgspec.structs.replace(
        recorder.status, verifier=str(recorder.signer.verifier), clock="trusted"
    )

    def go_on() -> None:
        while not ended.wait(1):
            recorder.show()

    recorder.show()
    telling = threading.Thread(target=go_on)
    telling.start()
    try:
        with Kit(config, tmp_path / "logs") as running:
            running.start("web")
            running.page()
            yield running
    finally:
        ended.set()
        telling.join()


def unlock(visitor: Visitor) -> None:
    visitor.go("/unlock")
    visitor.page.fill("#passphrase", PASSPHRASE)
    visitor.press("Unlock")
    visitor.page.wait_for_url("**/cases")


def to_film(visitor: Visitor) -> None:
    visitor.follow("R and K")
    visitor.page.locator("#visit .app-cases__link").click()
    video = visitor.page.locator("#player video")
    wait_for("a picture", lambda: video.evaluate("v => v.readyState >= 2") or None, 15)


def test_moments_are_found_worded_and_put_in_order(visitor: Visitor, kit: Kit) -> None:
    page = visitor.page
    unlock(visitor)
    to_film(visitor)
    wait_for("the glance", lambda: list(kit.home.cases.glob("*/derived/*/glance.age")) or None, 30)
    page.wait_for_timeout(1500)
    page.evaluate("document.querySelector('#player video').currentTime = 20")
    page.keyboard.press("t")
    visitor.look("30-moments")
