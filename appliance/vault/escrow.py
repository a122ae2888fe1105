"""A key that opens, on paper: three shares of words, of which any two give it back (SLIP-39).

Whoever finds one share has learnt nothing. The words are those of SLIP-39, which other people's
tools read; what is shared is the key's 32 bytes, and two bytes of zero after those of an X25519
key, so that it comes back as what it was.
"""

from collections.abc import Sequence
from difflib import get_close_matches

from shamir_mnemonic import MnemonicError, Share, combine_mnemonics, generate_mnemonics
from shamir_mnemonic.constants import CUSTOMIZATION_STRING_EXTENDABLE
from shamir_mnemonic.rs1024 import create_checksum
from shamir_mnemonic.wordlist import WORD_INDEX_MAP, WORDLIST

from appliance.age.bech32 import from_bech32, to_bech32
from appliance.age.identities import parse_identity
from appliance.age.unsealing import Identity
from appliance.errors import BadInput

NEEDED, SHARES = 2, 3

_PREFIX = {"hybrid": "age-secret-key-pq-", "x25519": "age-secret-key-"}
_X25519_MARK = bytes(2)
_CHECKSUM = 3
"""Words at the end of a share that say whether the others were typed rightly."""


class WrongShare(BadInput):
    """A share that was typed wrongly, or belongs to another key."""

    code = "wrong-share"


def split(identity: Identity) -> list[list[str]]:
    """The words of each share."""
    secret = from_bech32(identity.secret_text())[1]
    if identity.recipient.kind == "x25519":
        secret += _X25519_MARK
    (shares,) = generate_mnemonics(1, [(NEEDED, SHARES)], secret)
    return [share.split() for share in shares]


def join(shares: Sequence[str]) -> Identity:
    """The key of two shares or more, each as it was typed. Raises WrongShare, which names the share
    and, where it can be told, the word."""
    typed = [_checked(number, share) for number, share in enumerate(shares, start=1)]
    for number, words in enumerate(typed[1:], start=2):
        if Share.from_mnemonic(words).group_parameters() != (
            Share.from_mnemonic(typed[0]).group_parameters()
        ):
            raise WrongShare(
                "Share %(number)s belongs to another key than share 1.",
                "Look at what is printed above the words of each.",
                number=number,
            )
        if words in typed[: number - 1]:
            raise WrongShare("Share %(number)s was given twice.", number=number)
    if len(typed) < NEEDED:
        raise WrongShare("One share says nothing.", "Any two of the three are needed.")
    try:
        secret = combine_mnemonics(typed[:NEEDED])
    except MnemonicError as error:
        raise WrongShare("These shares do not make a key.") from error
    kind = "x25519" if len(secret) > 32 else "hybrid"
    return parse_identity(to_bech32(_PREFIX[kind], secret[:32]).upper())


def _checked(number: int, share: str) -> str:
    """A share's words, each known and all of them together as they were printed."""
    words = [word for word in share.lower().split() if not word.strip(".").isdigit()]
    for place, word in enumerate(words, start=1):
        if word not in WORD_INDEX_MAP:
            like = get_close_matches(word, WORDLIST, 1)
            raise WrongShare(
                "Share %(number)s: word %(place)s, '%(word)s', is none of the list.",
                "Is it '%(like)s'?" if like else "Look at the paper.",
                number=number,
                place=place,
                word=word,
                like=like[0] if like else "",
            )
    indices = [WORD_INDEX_MAP[word] for word in words]
    if len(words) > _CHECKSUM and any(_wrong := _syndrome(indices)):
        place, right = _where(indices, _wrong)
        if not place:
            raise WrongShare(
                "Share %(number)s was not typed as it is printed: several words are others, "
                "missing, or in another order.",
                "It has %(many)s words. Compare them with the paper.",
                number=number,
                many=len(words),
            )
        raise WrongShare(
            "Share %(number)s: word %(place)s, '%(word)s', is not the one that is printed.",
            "It should be '%(right)s', if the others are right.",
            number=number,
            place=place,
            word=words[place - 1],
            right=WORDLIST[right],
        )
    try:
        Share.from_mnemonic(" ".join(words))
    except MnemonicError as error:
        raise WrongShare(
            "Share %(number)s has %(many)s words: some are missing, or too many.",
            number=number,
            many=len(words),
        ) from error
    return " ".join(words)


def _syndrome(indices: Sequence[int]) -> tuple[int, ...]:
    """All zero where the checksum is right. It is linear: what one wrong word adds to it is the
    same wherever it stands in."""
    right = create_checksum(indices[:-_CHECKSUM], CUSTOMIZATION_STRING_EXTENDABLE)
    return tuple(a ^ b for a, b in zip(right, indices[-_CHECKSUM:], strict=True))


def _where(indices: Sequence[int], wrong: tuple[int, ...]) -> tuple[int, int]:
    """Place (from 1) and index of the one word that would put it right; (0, 0) if none would."""
    for place in range(len(indices)):
        bits = []
        for bit in range(10):
            other = [*indices]
            other[place] ^= 1 << bit
            bits.append(tuple(a ^ b for a, b in zip(_syndrome(other), wrong, strict=True)))
        for change in range(1, len(WORDLIST)):
            total = (0, 0, 0)
            for bit in range(10):
                if change >> bit & 1:
                    total = tuple(a ^ b for a, b in zip(total, bits[bit], strict=True))  # type: ignore[assignment]
            if total == wrong:
                return place + 1, indices[place] ^ change
    return 0, 0
