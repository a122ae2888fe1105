"""Bringing in a film that was made elsewhere, as the practitioner sees it."""

import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.film import EndReason
from appliance.joined import open_recording
from tests import films
from tests.pages import Page, WebKit, practitioner


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        made.unlock()
        yield made


@pytest.fixture(scope="module")
def phone_film() -> bytes:
    """As a telephone makes one: what a player needs first stands at the end."""
    return films.film(60, **films.SOURCES["with B-frames"])


def until(done: Callable[[], bool]) -> None:
    """Wait for what another thread does, without burning time."""
    waiting = threading.Event()
    for _ in range(600):
        if done():
            return
        waiting.wait(0.05)
    raise AssertionError("it never came")


def send(kit: WebKit, case: str, data: bytes, name: str = "family.mp4") -> Page:
    path = f"/cases/{case}/import"
    return kit.browser.submit(path, film=(io.BytesIO(data), name))


def settled(kit: WebKit, case: str) -> Page:
    """The page once nothing is being brought in any more."""
    path = f"/cases/{case}/import"
    until(lambda: "data-job" not in kit.browser.get(path).text)
    return kit.browser.get(path)


def imports(kit: WebKit, case: str) -> list[Path]:
    place = kit.home.case(case) / "imports"
    return sorted(path for path in place.rglob("*") if path.is_file()) if place.exists() else []


def test_a_film_from_a_phone_becomes_a_film_of_the_case(kit: WebKit, phone_film: bytes) -> None:
    case = kit.make_case()
    assert "Bring in a film made elsewhere" in kit.browser.get(f"/cases/{case}").words
    assert send(kit, case, phone_film).path == f"/cases/{case}/import"
    assert "The film is here." in settled(kit, case).words
    listed = kit.browser.get(f"/cases/{case}")
    assert "2 seconds. It was made elsewhere and brought into this case." in listed.words
    (manifest,) = [path for path in imports(kit, case) if path.name == "manifest"]
    film = manifest.parent.name
    page = kit.browser.get(f"/cases/{case}/films/{film}")
    assert page.status == 200
    assert kit.browser.get(f"/cases/{case}/films/{film}/video").status == 200
    opened = open_recording(
        manifest.parent,
        kit.open_case(case).identities,
        [practitioner().signer.verifier],
    )
    assert opened.manifest.started.kind == "imported"
    assert opened.manifest.ended
    assert opened.manifest.ended.why is EndReason.IMPORTED
    assert opened.verify() == []
    opened.close()


def test_the_film_that_came_in_can_be_cut_like_any_other(kit: WebKit, phone_film: bytes) -> None:
    case = kit.make_case()
    send(kit, case, phone_film)
    settled(kit, case)
    (manifest,) = [path for path in imports(kit, case) if path.name == "manifest"]
    path = f"/cases/{case}/films/{manifest.parent.name}"
    kit.browser.submit(path, f"{path}/clips", start="0.5", end="1.5")
    until(lambda: any((kit.home.case(case) / "clips").glob("*.mp4.age")))


def test_nothing_is_taken_before_the_family_agreed(kit: WebKit, phone_film: bytes) -> None:
    case = kit.make_case(people__0__purposes=["supervisor"])
    page = kit.browser.get(f"/cases/{case}/import")
    assert "does not allow filming" in page.words
    assert 'type="file"' not in page.text
    token = kit.browser.get(f"/cases/{case}/goals").form(f"/cases/{case}/goals")["csrf_token"]
    answer = kit.browser.post(
        f"/cases/{case}/import",
        {"csrf_token": token[0], "film": (io.BytesIO(phone_film), "family.mp4")},
    )
    assert answer.status == 403
    assert "does not allow filming" in answer.words
    assert imports(kit, case) == []
