"""Enrolment: the keys of a new kit or of another practitioner, and the press that makes them count.

The page keeps a practitioner's locked key at keys/<name>/ before it asks for the button, so that no
power cut leaves a kit that obeys a key nobody has. The key opens nothing until the recorder has
written `kit/enrolled.json`.
"""

import shutil
import threading
from dataclasses import dataclass
from functools import partial
from typing import Literal, NamedTuple

from appliance.errors import BadFile, BadInput
from appliance.protocol.cards import Card, CardChain, sealing_keys
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.permits import read_ceilings
from appliance.protocol.readmission import has_come
from appliance.protocol.requests import FRESH_SECONDS, Enrol
from appliance.protocol.status import RecorderStatus
from appliance.records.clock import Clock
from appliance.records.files import (
    Fact,
    Home,
    destroy,
    from_json,
    names_in,
    save,
    save_fact,
    sync_directory,
)
from appliance.vault.keys import PrivateKeys, lock, unlock
from web_ui.recorder import Recorder

BRING, MAKE = "bring", "make"
"""A practitioner brings keys, or the kit makes them."""

Progress = Literal["nothing", "ready", "waiting", "refused", "timed-out", "done"]

_CEILINGS = b'{"attune":"ceilings/'
_NEXT_CARD = b'{"attune":"service-card/'
_SECRET_MARKS = (b"AGE-SECRET-KEY-", b"PRIVATE+KEY+", b"age-encryption.org/v1", b"BEGIN AGE")


class SecretBrought(BadInput):
    """A secret key was given where only a public card belongs."""

    code = "secret-brought"


class BroughtService(NamedTuple):
    """What a kit takes in of its service at the set-up."""

    card: Card
    ceilings: str
    """Its signed limits for its kits, '' where the file has none."""
    cards: tuple[str, ...]
    """Its signed cards from the second on, as far as the file has them."""


class NewCard(Fact, frozen=True, kw_only=True, tag="new-card/v1"):
    """Lies beside a practitioner's locked key that was made because they forgot a passphrase. It
    opens no case yet."""

    practitioner: str


@dataclass(frozen=True)
class WaitingCard:
    """A card that waits for the service."""

    name: str
    come: bool
    """The service's answer is here: its owner has only to unlock."""


def keep_new_card(home: Home, card: Card) -> None:
    """Remember that the service is to let this card in again."""
    save_fact(home.keys.of(card.name).new_card, NewCard(practitioner=card.name))


def is_new_card(home: Home, name: str) -> bool:
    """True until the service has let the practitioner of this name in. `name` is from a card."""
    return home.keys.of(name).new_card.exists()


def forget_new_card(home: Home, name: str) -> None:
    """The service has let them in. Safe to call again."""
    home.keys.of(name).new_card.unlink(missing_ok=True)


def waiting_cards(home: Home, enrolled: Enrolled) -> list[WaitingCard]:
    """The cards of this kit that were made because somebody forgot, and are not let in yet."""
    return [
        WaitingCard(card.name, has_come(home, card.name))
        for card in enrolled.practitioners
        if is_new_card(home, card.name)
    ]


class Enrolment:
    """The enrolment under way, if there is one. Any thread."""

    def __init__(self, home: Home, clock: Clock, recorder: Recorder) -> None:
        self._home = home
        self._clock = clock
        self._recorder = recorder
        self._lock = threading.Lock()
        self.turn = threading.Lock()
        """Held while somebody brings keys."""
        self._cards: tuple[Card, Card] | None = None
        self._ceilings = ""
        self._next_cards: tuple[str, ...] = ()
        self._request = ""
        self._asked = 0.0

    def bring(
        self,
        service: Card,
        keys: PrivateKeys,
        sealed: bytes,
        ceilings: str = "",
        forgotten: bool = False,
        cards: tuple[str, ...] = (),
    ) -> None:
        """Keep the practitioner's locked key and remember both cards; the button is not asked yet.

        `ceilings`: the service's signed limits for its kits, '' for none. `forgotten`: this card
        replaces one whose passphrase its owner forgot. `cards`: the service's after its first.

        Raises BadInput if practitioner and service cannot seal to each other.
        """
        practitioner = keys.card()
        if practitioner.role != "practitioner":
            raise SecretBrought(
                "That is the service's own key file. It must never come near a kit.",
                "Delete that file from here. Add the practitioner's key file, and the "
                "service's ID file, whose name ends in .pub.",
            )
        sealing_keys(service.sealing_key(), practitioner)
        with self._lock:
            self._forget_earlier()
            directory = self._home.keys.of(practitioner.name)
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            save(directory.identity, sealed, mode=0o600)
            save_fact(directory.card, practitioner)
            if forgotten:
                keep_new_card(self._home, practitioner)
            sync_directory(self._home.keys)
            self._cards = (service, practitioner)
            self._ceilings, self._next_cards = ceilings, cards
            self._request = ""

    def bring_ceilings(self, service: BroughtService, practitioner: Card) -> None:
        """Remember new limits that the service has signed; the button is not asked yet."""
        with self._lock:
            self._forget_earlier()
            self._cards, self._request = (service.card, practitioner), ""
            self._ceilings, self._next_cards = service.ceilings, service.cards

    def ask(self) -> None:
        """Ask the recorder for a press of the button. Raises BadFile if nothing was brought."""
        with self._lock:
            if self._cards is None:
                raise BadFile(
                    "No files have been added to this kit yet.", "Start setting up again."
                )
            service, practitioner = self._cards
            self._asked = self._clock.read().boottime
            self._request = self._recorder.ask(
                partial(
                    Enrol,
                    service=service,
                    practitioner=practitioner,
                    ceilings=self._ceilings,
                    cards=self._next_cards,
                )
            )

    def progress(self, status: RecorderStatus | None) -> Progress:
        """How far the enrolment is."""
        with self._lock:
            if self._cards is None:
                return "nothing"
            if not self._request:
                return "ready"
            answer = status.answers.get(self._request) if status else None
            if answer in ("refused", "timed-out", "done"):
                return answer
            if self._clock.read().boottime - self._asked > FRESH_SECONDS + 5:
                return "timed-out"
            return "waiting"

    def _forget_earlier(self) -> None:
        """Remove keys that were brought earlier and never enrolled."""
        enrolled = self._recorder.enrolled
        ours = {card.name for card in enrolled.practitioners} if enrolled else set()
        for name in names_in(self._home.keys):
            directory = self._home.keys.of(name)
            if directory.is_dir() and name not in ours:
                destroy(directory.identity)
                shutil.rmtree(directory)


def read_service_card(data: bytes) -> BroughtService:
    """The service's public card, and what stands beneath it: the cards that followed it, and the
    signed limits for its kits.

    Raises SecretBrought for anything with a secret in it, BadFile.
    """
    if any(mark in data for mark in _SECRET_MARKS):
        raise SecretBrought(
            "That is a secret key file. Only the service's ID file belongs here. We did "
            "not keep it.",
            "Delete that file from here and add the one whose name ends in .pub.",
        )
    try:
        above, found, note = data.strip().partition(_CEILINGS)
        text, *following = above.split(_NEXT_CARD)
        card = from_json(text.strip(), Card)
    except BadFile as error:
        raise BadFile("That is not your service's ID file.", "Its name ends in .pub.") from error
    if card.role != "service":
        raise BadFile(
            "That is a practitioner's ID file, not the service's.",
            "Ask your service for its own ID file. It is usually called service.key.pub.",
        )
    cards = tuple(_note(_NEXT_CARD + one) for one in following)
    signed = _note(found + note) if found else ""
    try:
        chain = CardChain(card, cards)
        if signed:
            read_ceilings(signed, chain)
    except BadInput as error:
        raise BadFile(
            "The end of the service's ID file is not signed by it, or was changed.",
            "Ask your service for the file again.",
        ) from error
    return BroughtService(card, signed, cards)


def _note(text: bytes) -> str:
    return text.strip().decode(errors="replace") + "\n"


def read_practitioner_key(data: bytes, passphrase: str) -> PrivateKeys:
    """The practitioner's keys out of the locked file.

    Raises WrongPassphrase, SecretBrought, BadFile.
    """
    if any(mark in data for mark in (b"AGE-SECRET-KEY-", b"PRIVATE+KEY+")):
        raise SecretBrought(
            "That key file is not locked with a passphrase. We did not keep it.",
            "Make one that is locked: attune keygen --role practitioner. Then delete the "
            "unlocked one.",
        )
    return unlock(data, passphrase)


def practitioner_keys(
    service: Card, words: str, brought: bytes = b"", passphrase: str = ""
) -> tuple[PrivateKeys, bytes]:
    """A practitioner's keys, and the same as they are kept: new ones of the service's kind under
    `words`, or, without words, those that were brought. Raises as `read_practitioner_key`."""
    if not words:
        return read_practitioner_key(brought, passphrase), brought
    keys = PrivateKeys.generate("practitioner", service.sealing_key().kind == "x25519")
    return keys, lock(keys, words)
