"""Passphrases: made from a published word list, and judged where somebody brings their own.

Whoever has the card tries passphrases at home, as many as they can pay for. So words are
drawn at random from EFF's long list (`appliance/words`): 7776 words, 12.9 bits of entropy each. A
passphrase that somebody brings is judged by zxcvbn, which knows common words and passwords,
keyboard walks, dates and repeats. Only what each word is worth counts, never how the words are
strung together: that is how a sentence, a song or the days of the week are recognised.
"""

import functools
import math
import re
import secrets
import unicodedata
from collections.abc import Iterable
from importlib import resources

from appliance.errors import BadInput
from appliance.records.files import lines

MADE_WORDS = 6
REQUIRED_BITS = 60.0
_WORD_BITS = math.log2(7776)
"""The most that a word counts: as much as one that was drawn from the list."""
_STRANGE_BITS = 8.0
"""What a word counts that no list here has: it may be among the first of another language."""
_A_KNOWN_TEXT = 40.0
"""The most that a sentence counts: every text that was ever printed has fewer places to begin."""
_A_ROW = 8.0
_MADE_BEFORE = re.compile("(?:[bdfghjklmnprstvz][aeiou]){2}")
"""A word as they were made before there was a list; six of them were made for a person."""
_JUDGED = 100
"""Letters of a passphrase that are judged; what follows counts nothing."""

# One of these stands in nearly every sentence.
_SENTENCE = frozenset(
    word
    for line in (
        "the of and a in to is was it for on with he as at be by i his her my your our their me",
        "you we they this that who what when where which not no but or from are were have has had",
        "do did will shall may all thy thee thou if so us him she its am an into how let up went",
    )
    for word in line.split()
)
# Words that follow each other: whoever guesses one row guesses its beginning everywhere.
_ROWS = tuple(
    frozenset(row.split())
    for row in (
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy "
        "eighty ninety hundred thousand million",
        "first second third fourth fifth sixth seventh eighth ninth tenth",
        "monday tuesday wednesday thursday friday saturday sunday",
        "january february march april may june july august september october november december "
        "spring summer autumn fall winter",
        "mercury venus earth mars jupiter saturn uranus neptune pluto sun moon",
        "red orange yellow green blue indigo violet purple pink brown black white grey gray",
        "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho "
        "sigma tau upsilon phi chi psi omega",
        "alfa alpha bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima "
        "mike november oscar papa quebec romeo sierra tango uniform victor whiskey xray yankee "
        "zulu",
        "aries taurus gemini cancer leo virgo libra scorpio sagittarius capricorn aquarius pisces",
        "north south east west up down left right",
        "matthew mark luke john acts romans genesis exodus leviticus numbers deuteronomy",
        "england scotland wales ireland britain france germany spain italy portugal",
        "son daughter mother father brother sister grandmother grandfather uncle aunt",
        "eins zwei drei vier funf sechs sieben acht neun zehn",
        "montag dienstag mittwoch donnerstag freitag samstag sonntag",
        "un deux trois quatre cinq six sept huit neuf dix",
        "lundi mardi mercredi jeudi vendredi samedi dimanche",
        "uno dos tres cuatro cinco seis siete ocho nueve diez",
        "lunes martes miercoles jueves viernes sabado domingo",
        "un dau tri pedwar pump chwech saith wyth naw deg",
        "dydd llun mawrth mercher iau gwener sadwrn sul",
    )
)


@functools.cache
def word_list() -> tuple[str, ...]:
    """EFF's long list."""
    text = (resources.files("appliance") / "words" / "eff-long.txt").read_text()
    return tuple(line for line in lines(text) if not line.startswith("#"))


def make_passphrase() -> str:
    """Six random words of the list, such as `gravel cascade tepid`: 77 bits of entropy."""
    while True:
        passphrase = " ".join(secrets.choice(word_list()) for _ in range(MADE_WORDS))
        # Of a few hundred one has a word twice, or words that could be a sentence.
        if passphrase_strength(passphrase) >= REQUIRED_BITS:
            return passphrase


def passphrase_strength(passphrase: str, known: Iterable[str] = ()) -> float:
    """How many bits a passphrase is worth, by a cautious estimate. `known`: what somebody who finds
    the kit knows already, such as its name."""
    text = _plain(passphrase)
    words = text.split()
    likely = {word for one in known for word in re.split(r"\W+", _plain(one)) if word}
    made = set(word_list())
    if len(words) >= 4 and _SENTENCE.intersection(words):
        most = _A_KNOWN_TEXT
    elif not made.difference(words) or (set(words) <= made and not likely.intersection(words)):
        return _without_rows(set(words), len(set(words)) * _WORD_BITS)
    else:
        most = math.inf
    # Read on over its blanks as well: dates and walks over the keyboard.
    return min(most, _word_by_word(text, likely), _matches("".join(words), likely))


def check_passphrase(passphrase: str, known: Iterable[str] = ()) -> None:
    """Raise BadInput, which says why and what to do, unless a passphrase is worth 60 bits."""
    if passphrase_strength(passphrase, known) < REQUIRED_BITS:
        raise BadInput(
            "Someone could guess that passphrase: %(why)s.",
            "Use the 6 words offered, or 6 unusual words that do not make a sentence.",
            why=_why(passphrase),
        )


def _why(passphrase: str) -> str:
    words = _plain(passphrase).split()
    if len(words) >= 4 and _SENTENCE.intersection(words):
        return "it reads like a sentence, and songs, prayers and sayings are tried first"
    if any(len(row.intersection(words)) > 1 for row in _ROWS):
        return "some of its words follow each other, as numbers or days do"
    if len(words) != len(set(words)):
        return "some of its words come again, and count once"
    return "it is too short, or made of common words, names, dates or rows of keys"


def _plain(text: str) -> str:
    """Without capitals, accents and other ways to write the same letters: a guesser tries those."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(c for c in parts if not unicodedata.combining(c)).split())[:_JUDGED]


def _word_by_word(text: str, likely: set[str]) -> float:
    """What its words, numbers and signs are worth; what comes again counts once."""
    parts = set(re.findall(r"[^\W\d_]+|\d+|[^\w\s]|_", text))
    return _without_rows(parts, sum(_part(part, likely) for part in parts))


def _without_rows(words: set[str], bits: float) -> float:
    """`bits` less what words of one row are worth but the first."""
    for row in _ROWS:
        found = len(row & words)
        if found > 1:
            bits -= found * _WORD_BITS - _A_ROW
    return max(0.0, bits)


def _part(part: str, likely: set[str]) -> float:
    if part in likely:
        return 1.0
    if part in word_list():
        return _WORD_BITS if len(part) > 4 else min(_WORD_BITS, _matches(part, likely))
    if part.isdigit():
        return min(10.0, math.log2(10) * len(set(part)))
    if not part.isalpha():
        return 3.0
    found = _found(part, likely)
    bits = sum(found.values())
    # In no list, or put together of what is: the same word of another language is in another list.
    strange = len(part) >= 4 and (part not in found or bits >= math.log2(10) * len(part) - 1)
    if strange and _MADE_BEFORE.fullmatch(part):
        return math.log2(6400)
    return min(bits, _STRANGE_BITS if strange else _WORD_BITS)


def _matches(text: str, likely: set[str]) -> float:
    """Bits of every part that zxcvbn sees in it, each once, and nothing for how they follow."""
    return sum(_found(text, likely).values())


def _found(text: str, likely: set[str]) -> dict[str, float]:
    if not text:
        return {}
    # Half a second and 15 MiB: an idle page has no need of it.
    from zxcvbn import zxcvbn

    found = zxcvbn(text, user_inputs=sorted(likely), max_length=_JUDGED)["sequence"]
    return {part["token"]: math.log2(part["guesses"]) for part in found}
