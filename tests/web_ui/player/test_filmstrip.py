"""The filmstrip of a film: made once, sealed, and given up when the page is locked."""

from tests.support.pages import WebKit
from tests.support.watching import place, wait_for
from web_ui.player.filmstrip import read_filmstrip


def test_a_film_is_looked_through_once_and_what_was_seen_is_sealed(own_kit: WebKit) -> None:
    kit = own_kit
    url = f"{place(kit)}/glance.json"
    asked = kit.browser.get(url)
    assert asked.status == 202 and asked.response.json["job"]
    wait_for(lambda: kit.browser.get(url).status == 200)
    told = kit.browser.get(url).response.json
    assert len(told["pictures"]) == len(told["seconds"]) == 12
    assert told["seconds"] == sorted(told["seconds"])
    assert told["loud"] == [], "the film has no sound"
    (sealed,) = kit.home.cases.glob("*/derived/*/glance.age")
    assert sealed.read_bytes().startswith(b"age-encryption.org/v1\n")
    written = sealed.stat().st_mtime_ns
    assert kit.browser.get(url).status == 200 and sealed.stat().st_mtime_ns == written


def test_a_film_that_was_mended_since_is_looked_at_again(own_kit: WebKit) -> None:
    kit = own_kit
    url = f"{place(kit)}/glance.json"
    wait_for(lambda: kit.browser.get(url).status == 200)
    case, film = place(kit).split("/")[2::2]
    assert read_filmstrip(kit.open_case(case), film, "another film") is None
    (sealed,) = kit.home.cases.glob("*/derived/*/glance.age")
    sealed.write_bytes(sealed.read_bytes()[:-1])
    assert kit.browser.get(url).status == 202, "one that is damaged is made again"
    wait_for(lambda: kit.browser.get(url).status == 200)


def test_locking_ends_the_look_through_a_film_and_leaves_nothing(own_kit: WebKit) -> None:
    kit = own_kit
    kit.browser.get(f"{place(kit)}/glance.json")
    holder = kit.parts.session.of(kit.browser.token())
    assert holder
    kit.parts.session.end()
    wait_for(lambda: not holder.work.making())
    derived = list(kit.home.cases.glob("*/derived/*/.*"))
    assert not derived
