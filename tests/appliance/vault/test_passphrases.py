"""Passphrases: what is made, and what is refused, because whoever has the card tries it first."""

import math

import pytest

from appliance.age.scrypt import ScryptRecipient
from appliance.age.sealing import seal
from appliance.errors import BadInput
from appliance.vault.keys import PrivateKeys, lock, unlock
from appliance.vault.passphrases import (
    REQUIRED_BITS,
    check_passphrase,
    make_passphrase,
    passphrase_strength,
    word_list,
)

KEYS = PrivateKeys.generate("practitioner")
GOOD = "lantern orchard velvet thimble cascade juniper"


def test_the_words_are_the_published_list_of_7776_different_ones() -> None:
    words = word_list()
    assert len(words) == len(set(words)) == 7776
    assert (words[0], words[-1]) == ("abacus", "zoom")
    assert all(word.isascii() and word == word.lower() and " " not in word for word in words)


def test_made_passphrases_are_six_words_of_the_list_each_by_chance() -> None:
    made = {make_passphrase() for _ in range(200)}
    assert len(made) == 200
    drawn = [word for passphrase in made for word in passphrase.split(" ")]
    assert len(drawn) == 1200 and set(drawn) <= set(word_list())
    assert len(set(drawn)) > 1000, "no few of them come again and again"
    for passphrase in made:
        check_passphrase(passphrase)
    # What the documents say of them.
    assert 6 * math.log2(7776) > 77


# As found: what a cautious estimate took for 60 to 84 bits.
AS_FOUND = [
    "one two three four five six seven",
    "Monday Tuesday Wednesday Thursday Friday",
    "our father who art in heaven hallowed",
    "qwerty asdfgh zxcvbn poiuyt lkjhgf",
]
ROWS = [
    "monday tuesday wednesday thursday friday saturday sunday",
    "january february march april may june july august",
    "mercury venus earth mars jupiter saturn uranus",
    "red orange yellow green blue indigo violet",
    "alpha bravo charlie delta echo foxtrot golf",
    "montag dienstag mittwoch donnerstag freitag samstag sonntag",
    "lundi mardi mercredi jeudi vendredi samedi dimanche",
    "один два три четыре пять шесть семь",
]
SENTENCES = [
    "our father who art in heaven hallowed be thy name thy kingdom come thy will be done",
    "twinkle twinkle little star how i wonder what you are",
    "the quick brown fox jumps over the lazy dog",
    "row row row your boat gently down the stream",
    "to be or not to be that is the question",
]
WALKS = [
    "1qaz 2wsx 3edc 4rfv 5tgb 6yhn 7ujm 8ik",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.",
    "qwertyuiopasdfghjklzxcvbnm1234567890",
    "abcdef ghijkl mnopqr stuvwx yz1234",
]
DATES = [
    "21 11 2026 14 05 1999 03 07 1985",
    "21.11.2026-14.05.1999-03.07.1985",
    "2026-11-21 2026-11-21",
]
COMMON = [
    "thomas james robert john william michael",
    "p4ssw0rd l3tm31n m0nk3y dr4g0n qw3rty",
    "correct horse battery staple",
    "dog cat horse cow pig sheep",
    "password",
    "",
]
AGAIN = ["lantern " * 20, "a" * 99, "!" * 40, "love love love love love love love"]
WRITTEN_OTHERWISE = [
    "mónday tüesday wednesdáy thúrsday fríday",
    "ＭＯＮＤＡＹ ＴＵＥＳＤＡＹ ＷＥＤＮＥＳＤＡＹ ＴＨＵＲＳＤＡＹ ＦＲＩＤＡＹ",
    "MONDAY\tTUESDAY\u2003WEDNESDAY THURSDAY FRIDAY",
]


@pytest.mark.parametrize(
    "weak",
    [*AS_FOUND, *ROWS, *SENTENCES, *WALKS, *DATES, *COMMON, *AGAIN, *WRITTEN_OTHERWISE],
)
def test_a_passphrase_that_is_tried_first_is_refused_with_what_to_do(weak: str) -> None:
    assert passphrase_strength(weak) < REQUIRED_BITS
    with pytest.raises(BadInput) as caught:
        lock(KEYS, weak, work=1)
    assert "could guess that passphrase" in caught.value.sentence
    assert "6 words" in caught.value.hint


@pytest.mark.parametrize(
    ("weak", "why"),
    [
        ("our father who art in heaven hallowed", "reads like a sentence"),
        ("one two three four five six seven", "follow each other"),
        ("lantern orchard lantern orchard", "come again"),
        ("password", "too short"),
    ],
)
def test_a_refusal_says_why(weak: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        check_passphrase(weak)


@pytest.mark.parametrize(
    "strong",
    [
        GOOD,
        GOOD.upper(),
        "saddle monsoon gravel bishop turnip easel",
        "harbour thistle caravan ember walnut prairie",
        "violin gravel ostrich tepid marzipan",
        "k7#Rw2!pZ9_vQ4xL8&dT3",
    ],
)
def test_a_strong_passphrase_is_accepted(strong: str) -> None:
    check_passphrase(strong)


def test_what_stands_on_the_kit_or_its_label_counts_nothing() -> None:
    known = ['ssid = "attune-kite"', "lantern-orchard.local", "velvet thimble"]
    assert passphrase_strength(GOOD, known) < REQUIRED_BITS
    with pytest.raises(BadInput):
        check_passphrase("lantern orchard velvet thimble cascade", known)
    check_passphrase(GOOD, ["attune-kite"])


def test_a_very_long_passphrase_is_judged_in_no_time_and_by_its_beginning() -> None:
    assert passphrase_strength("a " * 100_000) < REQUIRED_BITS
    check_passphrase(GOOD + " " + "further words " * 1000)


@pytest.mark.parametrize(
    "before", ["lobe kadu fime zora pika neto", "lobe kadu vano resi jutu hapo"]
)
def test_words_of_the_kind_that_were_made_before_are_as_good_as_they_were(before: str) -> None:
    """Six words of two syllables, made up: most are in no list, and nobody has to choose anew."""
    assert unlock(lock(KEYS, before, work=1), before).card() == KEYS.card()
    with pytest.raises(BadInput):
        check_passphrase("mama papa lala dada nana baba")


def test_keys_under_words_that_would_be_refused_now_still_open() -> None:
    before = "one two three four five six seven"
    sealed = seal(KEYS.text().encode(), [ScryptRecipient(before, 1)])
    assert unlock(sealed, before).card() == KEYS.card()
