"""Whether a case's key is sealed to every key of the service that opens by its newest card: the one
for every day, and the one in escrow.

A sealed file does not say to whom it is sealed, only to how many. So that is counted; and each of
these keys that is here must open it.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache

from appliance.age.unsealing import Identity, unseal
from appliance.base.cases import secret_keys
from appliance.errors import BadInput, Incomplete, NoMatch
from appliance.protocol.cards import CardChain
from appliance.protocol.names import numbered

_STANZA = re.compile(rb"^-> (X25519|mlkem768x25519) ", re.MULTILINE)


@dataclass(frozen=True)
class KeyFile:
    """What can be seen of a case's key file."""

    sealed_to: int
    """So many keys open it; 0 for what is no sealed file."""
    keys: frozenset[str] = frozenset()
    """The secret keys in it, where something here opens it."""
    to_all: bool = False
    """It is sealed to so many as the newest card needs, and every key here opens it that the card
    names."""


def sealed_to_how_many(sealed: bytes) -> int:
    """0 for what is no sealed file."""
    return len(_STANZA.findall(sealed.partition(b"\n---")[0]))


@lru_cache(maxsize=4)
def _sealed_to(service: CardChain) -> dict[str, set[str]]:
    """The keys that each card names which open, by what is called after it (`CardChain.slug`)."""
    cards = [CardChain(service.first, service.notes[:n]) for n in range(1, service.number)]
    return {card.slug: set(map(str, card.sealing_keys())) for card in cards}


def looked_at(
    name: str, sealed: bytes, service: CardChain, identities: Sequence[Identity]
) -> KeyFile:
    """Look at a key file, called `name` within its case."""
    number = numbered(name)
    named = set(map(str, service.sealing_keys()))
    needed, keys, to_all = len(named), set[str](), True
    sealed_by = _sealed_to(service).get(number.home) if number and not number.digest else None
    if sealed_by is None:
        needed += 1  # A kit seals it to whoever works with the family as well.
    else:
        # The service alone opens it, and the name says by which of its cards.
        to_all = named <= sealed_by
    for identity in identities:
        opened = set[str]()
        with suppress(BadInput, Incomplete, NoMatch):
            opened = set(secret_keys(unseal(sealed, [identity]))[0])
        keys |= opened
        ours = str(identity.recipient) in named
        to_all = to_all and (bool(opened) or not ours)
        # A key of before is none of those that the card asks for.
        needed += bool(opened) and not ours
    count = sealed_to_how_many(sealed)
    return KeyFile(count, frozenset(keys), to_all and count >= needed)


def not_to_all(files: Mapping[str, KeyFile]) -> list[str]:
    """The names of the key files that are sealed to too few, but for those whose keys are seen to
    lie in another that is not."""
    safe = {key for file in files.values() if file.to_all for key in file.keys}
    return [
        name
        for name, file in files.items()
        if file.sealed_to and not file.to_all and not (file.keys and file.keys <= safe)
    ]
