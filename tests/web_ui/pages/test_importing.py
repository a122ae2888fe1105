"""Bringing in a film that was made elsewhere, as the practitioner sees it."""

import functools
import io
import random
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.casework.closing import withdraw
from appliance.casework.importing import LARGEST
from appliance.film.manifest import EndReason
from appliance.film.recording import differences, open_recording
from appliance.records.files import new_id
from tests.support import films
from tests.support.pages import Page, WebKit, practitioner


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


@functools.cache
def a_long_film() -> bytes:
    """One that takes a while."""
    return films.film(1500, **films.SOURCES["with B-frames"], noisy=True)


def session(kit: WebKit) -> str:
    """The cookie of the session."""
    return kit.browser.cookie(str(kit.app.config["SESSION_COOKIE_NAME"]))


def send(kit: WebKit, case: str, data: bytes, name: str = "family.mp4") -> Page:
    path = f"/cases/{case}/import"
    return kit.browser.submit(path, film=(io.BytesIO(data), name))


def settled(kit: WebKit, case: str) -> Page:
    """The page once nothing is being brought in any more."""
    path = f"/cases/{case}/import"
    until(lambda: "data-job" not in kit.browser.get(path).text)
    return kit.browser.get(path)


def settled_or_failed(kit: WebKit, case: str) -> Page:
    until(lambda: "could not add this film" in kit.browser.get(f"/cases/{case}/import").words)
    return kit.browser.get(f"/cases/{case}/import")


def imports(kit: WebKit, case: str) -> list[Path]:
    place = kit.home.case(case) / "imports"
    return sorted(path for path in place.rglob("*") if path.is_file()) if place.exists() else []


def test_a_film_from_a_phone_becomes_a_film_of_the_case(kit: WebKit, phone_film: bytes) -> None:
    case = kit.make_case()
    assert "Add a film from a phone or video call" in kit.browser.get(f"/cases/{case}").words
    assert send(kit, case, phone_film).path == f"/cases/{case}/import"
    assert "The film is on this kit." in settled(kit, case).words
    listed = kit.browser.get(f"/cases/{case}")
    assert "2 seconds. Added from a phone or video call." in listed.words
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
    assert differences(opened.directory, opened.manifest) == []
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


def test_a_film_taken_back_while_it_comes_in_leaves_nothing(kit: WebKit) -> None:
    case = kit.make_case()
    send(kit, case, a_long_film())
    page = kit.browser.get(f"/cases/{case}/import")
    (action,) = [
        f"/cases/{case}/import/{job}/stop"
        for job in re.findall(r'data-job="([a-z2-7]{16})"', page.text)
    ]
    kit.browser.submit(f"/cases/{case}/import", action)
    until(lambda: not imports(kit, case))
    until(lambda: not any((kit.home.case(case) / "imports").iterdir()))
    assert "data-job" not in kit.browser.get(f"/cases/{case}/import").text


def test_locking_the_page_ends_what_comes_in(kit: WebKit) -> None:
    case = kit.make_case()
    send(kit, case, a_long_film())
    kit.parts.session.end()
    place = kit.home.case(case) / "imports"
    until(lambda: not place.exists() or not any(place.iterdir()))


def test_a_withdrawal_ends_what_comes_in_and_removes_what_is_there(
    kit: WebKit, phone_film: bytes
) -> None:
    case = kit.make_case()
    send(kit, case, phone_film)
    settled(kit, case)
    assert imports(kit, case)
    send(kit, case, a_long_film())
    holder = kit.parts.session.of(kit.browser.token())
    assert holder
    withdraw(kit.home.case(case), holder.keys, holder.vouch.kit, holder.now(kit.clock))
    holder.forget(case)
    until(lambda: not imports(kit, case))
    assert kit.browser.get(f"/cases/{case}/import").status == 410


@pytest.mark.parametrize(
    ("data", "name", "words"),
    [
        (b"", "film.mp4", "That file is empty."),
        (b"", "", "That file is empty."),
        (b"Dear family, " * 500, "../../etc/cron.d/film.mp4", "not a film that the kit can read"),
        (b"\0\0\0\x20ftypisom" + bytes(5000), "C:\\films\\con.mp4", "not a film"),
        (random.Random(2).randbytes(100_000), "x" * 5000 + ".mov", "not a film"),
    ],
    ids=["nothing", "no file", "a path as its name", "a device as its name", "a very long name"],
)
def test_what_is_no_film_is_told_in_words_and_the_page_stays_there(
    data: bytes, name: str, words: str, kit: WebKit
) -> None:
    case = kit.make_case()
    answer = send(kit, case, data, name)
    if answer.status == 200:
        answer = settled_or_failed(kit, case)
    assert words in answer.words
    assert imports(kit, case) == []
    assert not [path for path in kit.root.rglob("*") if "film" in path.name or path.stem == "con"]
    assert kit.browser.get("/cases").status == 200


def test_a_film_that_is_too_large_is_refused_before_any_of_it_is_taken(kit: WebKit) -> None:
    case = kit.make_case()

    class Endless(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            raise AssertionError("it was read")

    answer = kit.browser._client.open(
        f"/cases/{case}/import",
        method="POST",
        base_url="https://localhost:8443",
        content_type="multipart/form-data; boundary=x",
        environ_overrides={"wsgi.input": Endless(), "CONTENT_LENGTH": str(LARGEST + 1)},
    )
    assert answer.status_code == 400
    assert "bigger than 16 GB" in answer.text


def test_what_a_pulled_plug_left_of_an_import_is_gone_at_the_next_start(kit: WebKit) -> None:
    case = kit.make_case()
    half = kit.home.case(case) / "imports" / new_id()
    half.mkdir(parents=True)
    (half / "0000.mp4.age").write_bytes(b"sealed")
    kit.start()
    assert not half.exists()
