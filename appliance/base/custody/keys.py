"""Which of the service's keys are here, and its cards beside them.

A service of one card has one key that does everything. From its second card on the folder holds
what belongs on this machine: a signing key beside the store; a root, and what opens, elsewhere.

    KEYS/cards/0001     the service's first card
    KEYS/cards/0002     the next, signed; and so on
"""

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from pathlib import Path

from appliance.age.unsealing import Identity
from appliance.base.orders import put_note, read_or_none
from appliance.errors import BadInput, NoMatch
from appliance.protocol.cards import Card, CardChain
from appliance.protocol.enrolment import LARGEST_CARD
from appliance.protocol.objects import SERVICE_CARDS, service_card_object
from appliance.records.clock import Clock
from appliance.records.files import load_fact, paths_in, read_text, save, save_new, to_json
from appliance.records.signing import Signer
from appliance.stores.store import ServiceStore
from appliance.vault.keys import HalfKeys, PrivateKeys

_CARD = re.compile("[0-9]{4}")


class ServiceKeys(PrivateKeys):
    """What of a service's keys is here, by its newest card."""

    def __init__(
        self, service: CardChain, found: Sequence[PrivateKeys | HalfKeys], clock: Clock
    ) -> None:
        self._service = service
        self._clock = clock
        self._signers = [one.signer for one in found if one.signer is not None]
        self._identities = [one.identity for one in found if one.identity is not None]
        self.seen: set[int] = set()
        """Numbers of cards of which the store was seen to have each byte."""

    @property
    def chain(self) -> CardChain:
        return self._service

    @property
    def signer(self) -> Signer:  # type: ignore[override]
        """Raises NoMatch where none is here that signs today."""
        now = self._clock.read().wall
        for signer in self._signers:
            if self._signs(signer, now):
                return signer
        if any(signer.verifier in self._service.signing for signer in self._signers):
            raise NoMatch(
                "The signing key here has ended.",
                "Make another, and a card that names it: docs/service-keys.md.",
            )
        raise NoMatch(
            "No key here signs for this service.",
            "Put a signing key into the folder that its newest card names.",
        )

    @property
    def root(self) -> Signer:
        """What signs the next card. Raises NoMatch."""
        for signer in self._signers:
            if signer.verifier in self._service.roots:
                return signer
        raise NoMatch(
            "No root of this service is here: only that signs its next card.",
            "Do this where the root's key file is, with its folder as KEYS.",
        )

    @property
    def identity(self) -> Identity:  # type: ignore[override]
        """Raises NoMatch."""
        if self._identities:
            return self._identities[0]
        raise NoMatch(
            "What opens is not here: this folder only signs.",
            "Carry it to where the opening key is: the verbs ask and answer.",
        )

    @property
    def identities(self) -> list[Identity]:
        return self._identities

    def card(self) -> Card:
        return self._service.first

    def follow(self, note: str) -> None:
        """Go by the next card. Raises BadFile, BadSignature."""
        self._service = self._service.followed_by(note)

    def _signs(self, signer: Signer, now: datetime) -> bool:
        until = self._service.signing.get(signer.verifier, now)
        return signer.verifier in self._service.signing and (until is None or now < until)


def cards_beside(folder: Path) -> CardChain | None:
    """The service's cards beside its keys; None for a service of one card that has written down
    none. Raises BadFile, BadSignature."""
    first = load_fact(folder / "cards" / "0001", Card)
    if first is None:
        return None
    numbers = [path for path in paths_in(folder / "cards", _CARD) if path.name != "0001"]
    return CardChain(first, [read_text(path, LARGEST_CARD) for path in numbers])


def held(folder: Path, found: Sequence[PrivateKeys | HalfKeys], clock: Clock) -> list[PrivateKeys]:
    """The services whose keys these are. Raises BadInput, BadFile, BadSignature."""
    service = cards_beside(folder)
    if service is not None:
        return [ServiceKeys(service, found, clock)]
    whole = [one for one in found if isinstance(one, PrivateKeys)]
    if not whole:
        raise BadInput(
            f"{folder} has keys of a service, and not its cards.",
            "Copy cards/ from where the service's root is.",
        )
    return whole


def keep_card(folder: Path, service: CardChain) -> Path:
    """Write the newest card beside the keys, and those before it; returns where it lies."""
    directory = folder / "cards"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (directory / "0001").exists():
        save_new(directory / "0001", to_json(service.first) + b"\n")
    for number, note in enumerate(service.notes, start=2):
        if not (directory / f"{number:04}").exists():
            save(directory / f"{number:04}", note.encode())
    return directory / f"{service.number:04}"


def put_cards(store: ServiceStore, folder: Path, keys: PrivateKeys) -> list[str]:
    """See that the store has every card, and take up one that it has and this folder has not: that
    may be a copy from before. Returns what was put there, in words. Raises SendFailed."""
    if not isinstance(keys, ServiceKeys):
        return []
    there = {entry.name: entry.size for entry in store.list(SERVICE_CARDS)}
    while note := _card_at(store, there, keys.chain.number + 1):
        try:
            keys.follow(note.decode(errors="replace"))
        except BadInput:
            break
        keep_card(folder, keys.chain)
    put = []
    # Every one of them: a kit that has heard of none follows from the first on.
    for number, text in enumerate(keys.chain.notes, start=2):
        note, where = text.encode(), service_card_object(number)
        if number in keys.seen and there.get(where) == len(note):
            continue
        if _card_at(store, there, number) != note:
            put_note(store, where, note)
            put.append(f"{number:04}")
        keys.seen.add(number)
    return put


def check_first(store: ServiceStore, keys: PrivateKeys) -> None:
    """See that keys without cards are no copy from before the second card. Raises SendFailed,
    BadInput."""
    if isinstance(keys, ServiceKeys):
        return
    there = {entry.name: entry.size for entry in store.list(SERVICE_CARDS)}
    note = _card_at(store, there, 2)
    if not note:
        return
    try:
        keys.chain.followed_by(note.decode(errors="replace"))
    except BadInput:
        return  # Whoever has a kit's way in may have put it there.
    raise BadInput(
        "The store has a newer card of this service than this folder of keys.",
        "It may be a copy from before: copy cards/ and the signing key from a newer one, or from "
        "where the root is.",
    )


def _card_at(store: ServiceStore, there: Collection[str], number: int) -> bytes | None:
    """What the store has as this card; None for nothing, of which the listing `there` is enough."""
    where = service_card_object(number)
    return read_or_none(store, where) if where in there else None
