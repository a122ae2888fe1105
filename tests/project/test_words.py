"""What people read is in our own words: one word for one thing (`tools/words.toml`)."""

import pytest

from tools import words


def test_no_word_that_people_read_is_one_that_we_do_not_use() -> None:
    """If this fails: python tools/words.py"""
    assert not list(words.broken())


def test_the_page_and_the_guide_are_looked_at() -> None:
    names = {name for name, _line, _text in words.read_by_people()}
    assert {
        "web_ui/templates/consent-promises.html",
        "web_ui/wording/log_events.py",
        "appliance/protocol/permits.py",
        "web_ui/guide.md",
    } <= names


@pytest.mark.parametrize(
    "said",
    [
        "Arm the kit",
        "Not armed. A press of the button films nothing.",
        "Make the case",
        "Nobody is filmed who was not asked",
        "Somebody new came in",
        "The card did not take it",
        "When you unlock, you vouch that this is right.",
        "It was said who is here",
        "You can take back all of it",
        "Point a telephone at the square",
        "A wink each ten seconds",
        "The line broke off.",
        "Something else than your service's store answered.",
        "It goes with the next sending.",
    ],
)
def test_a_word_that_is_not_ours_would_be_found(said: str) -> None:
    assert any(rule.breaks(said) for rule in words.rules())
