"""The list of principles: each practitioner's own, sealed, and never in the way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pages import WebKit
from tests.support.watching import clip_of, place, with_film


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        yield with_film(made)


def principles_page(kit: WebKit) -> str:
    return f"{place(kit).partition('/films')[0]}/principles"


def test_the_list_of_principles_is_the_practitioners_own_and_lies_sealed(kit: WebKit) -> None:
    url = principles_page(kit)
    assert "Encouraging initiatives" in kit.browser.get(url).text
    kit.browser.submit(url, principles="Naming what is seen\n\n Waiting \nWaiting\n")
    assert '<option value="Waiting"' in kit.browser.get(place(kit)).text
    assert "Encouraging initiatives" not in kit.browser.get(place(kit)).text
    (kept,) = kit.home.keys.glob("*/principles.age")
    assert b"Waiting" not in kept.read_bytes()
    kit.browser.submit(url, principles="")
    assert "Encouraging initiatives" in kit.browser.get(place(kit)).text


def test_a_list_of_principles_that_is_too_long_is_refused(kit: WebKit) -> None:
    url = principles_page(kit)
    long = "\n".join(f"principle {number}" for number in range(31))
    assert kit.browser.submit(url, principles=long).status == 400
    assert not list(kit.home.keys.glob("*/principles.age"))


def test_a_principle_that_left_the_list_stays_with_its_moment(kit: WebKit) -> None:
    url = place(kit)
    kit.browser.submit(url, action=f"{url}/clips", start="0", end="1", principle="Guiding")
    moment = f"{place(kit).partition('/films')[0]}/moments/{clip_of(kit).id}"
    kit.browser.submit(principles_page(kit), principles="Waiting")
    kit.browser.submit(moment, note="still there", principle="Guiding")
    assert clip_of(kit).words.principle == "Guiding"
