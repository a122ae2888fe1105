"""How a service stands: what is heard of its kits, and what somebody should look at.

A kit's recorder signs how far its logs have come, with the kit's own time, and the kit sends that.
Whoever has a kit's way in may put anything there: what this kit did not sign is passed by.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

from appliance.base.desk import Outcome
from appliance.base.ledger import Ledger
from appliance.base.orders import read_or_none
from appliance.base.people import unknown_kits
from appliance.base.roster import load_names
from appliance.errors import BadInput
from appliance.protocol.audits import FRESH, StoreAudit
from appliance.protocol.cards import CardChain, KitCard
from appliance.protocol.orders import HoldNotice
from appliance.records.audit import HEADS_NAME, Heads
from appliance.records.files import ID
from appliance.records.signing import Verifier, open_fact
from appliance.stores.endings import SOON, Ending, soon
from appliance.stores.store import ServiceStore

SILENT = timedelta(days=14)
"""A kit that nobody has heard of for so long may be lost, or may not get through."""
_HEADS = re.compile(rf"kits/(?P<kit>{ID.pattern})/heads/{HEADS_NAME.pattern}")
_ENDS = {
    "credential": (
        "The credential in base's access file",
        "Make a new one. Those of kits may end on the same day: each needs a new access file.",
    ),
    "pin": (
        "The authority that is pinned in base's access file",
        "Put the new one below the old one in `pin`, here and in every kit's access file.",
    ),
    "certificate": (
        "The store's certificate",
        "Renew it at the store. Kits believe the new one if the pinned authority signed it.",
    ),
}
_PASSED_BY = 20
"""So many notes that a kit did not sign hide what it did."""


@dataclass(frozen=True)
class KitSeen:
    """What the store shows of a kit."""

    id: str
    enrolled: bool
    """With the key that it shows here."""
    heard: datetime | None
    """When it last signed how far its logs had come, by its own clock; None if it never did, or is
    not enrolled."""
    rewritten: tuple[str, ...] = ()
    """Its processes whose log no longer holds what it once held."""
    called: str = ""
    """What the service calls it, with its id; '' where that is the id alone."""

    @property
    def name(self) -> str:
        return self.called or self.id


@dataclass(frozen=True)
class Finding:
    """Something that somebody should look at."""

    what: str
    since: datetime | None
    to_do: str
    """'' where `what` says it already."""

    @property
    def sentence(self) -> str:
        since = f"Since {self.since:%d %B %Y}." if self.since else ""
        return " ".join(filter(None, (self.what, since, self.to_do)))


def kits(store: ServiceStore, enrolled: Sequence[KitCard], keys: Path) -> list[KitSeen]:
    """Every kit that was enrolled or has sent here; `keys` is the folder of keys. Raises BadFile,
    SendInterrupted, SendRefused."""
    called = load_names(keys)
    names = [entry.name for entry in store.list("kits/")]
    unknown = unknown_kits(store, names, keys)
    heads = _heads(names, enrolled)
    seen = [_seen(store, card, heads[card.id]) for card in enrolled if card.id not in unknown]
    seen += [KitSeen(kit, enrolled=False, heard=None) for kit in unknown]
    named = [replace(kit, called=called.kit(kit.id)) for kit in seen if kit.id in called.kits]
    seen = [*named, *(kit for kit in seen if kit.id not in called.kits)]
    return sorted(seen, key=lambda kit: kit.id)


def last_heard(store: ServiceStore, enrolled: Sequence[KitCard]) -> list[datetime]:
    """When each kit last signed how far its logs had come. Raises SendInterrupted, SendRefused."""
    heads = _heads([entry.name for entry in store.list("kits/")], enrolled)
    seen = [_seen(store, card, heads[card.id]) for card in enrolled]
    return [kit.heard for kit in seen if kit.heard is not None]


def findings(
    seen: Sequence[KitSeen],
    asked: Mapping[Outcome, str],
    holds: Mapping[str, HoldNotice],
    ledger: Ledger,
    now: datetime,
) -> Iterator[Finding]:
    """What somebody should look at, the weightiest first. `asked` has the orders that are not
    carried out, each with its sentence."""
    for outcome, sentence in asked.items():
        line = ledger.of("waits").get(outcome.order)
        yield Finding(sentence, line.at if line else None, "")
    for kit in seen:
        if kit.rewritten:
            logs = ", ".join(kit.rewritten)
            yield Finding(
                f"Kit {kit.name} found that a log of its own was rewritten: {logs}.",
                kit.heard,
                "Take it out of use, and have somebody look who can: attune verify on its card.",
            )
    for hold in holds.values():
        if hold.until <= now:
            yield Finding(
                f"The hold on case {hold.case} is to be looked at again.",
                hold.until,
                f"Ask whoever placed it. Then: hold {hold.case} --until DAY, or --lift.",
            )
    for kit in seen:
        if not kit.enrolled:
            yield Finding(
                f"Kit {kit.name} is not enrolled with the key that it shows here.",
                None,
                f"If it is yours, and its page shows the key in kits/{kit.name}/card.json: "
                "enrol that card.",
            )
        elif kit.heard is None:
            yield Finding(
                f"Nothing has come from kit {kit.name}.",
                None,
                "Is it new? Otherwise look at its page, under Sending.",
            )
        elif now - kit.heard > SILENT:
            yield Finding(
                f"Kit {kit.name} is silent.",
                kit.heard,
                "Where is it? Its films lie on its memory card alone until it sends. If it is "
                f"lost: roster --kit {kit.id} --lost-since DAY, and take its way in away.",
            )


def not_audited(newest: StoreAudit | None, sent: bool, now: datetime) -> Iterator[Finding]:
    """That nobody has looked through the store for a week, or ever since a kit has `sent`. `newest`
    is the newest audit that the service signed."""
    to_do = "Run it, and once a week from now on: audit --sample 1"
    if newest is None:
        if sent:
            yield Finding("Kits have sent, and the store was never looked through.", None, to_do)
    elif newest.at > now + timedelta(days=1):
        # By a clock that was wrong then, so that it says nothing of how old it is.
        yield Finding(
            f"The last audit of the store says that it began on {newest.at:%d %B %Y}.", None, to_do
        )
    elif now - newest.at > FRESH:
        yield Finding("The store was not looked through for a week.", newest.at, to_do)


def key_ends_soon(service: CardChain, signer: Verifier, now: datetime) -> Iterator[Finding]:
    """That the key which signs here ends within a month."""
    until = service.signing.get(signer)
    if until is not None and until - now < SOON:
        yield Finding(
            f"The service's signing key ends on {until:%d %B %Y}: nothing is signed after that.",
            None,
            "Make the next one, and a card that names it.",
        )


def ends_soon(endings: Sequence[Ending], now: datetime) -> Iterator[Finding]:
    """What of base's own way to the store ends before long."""
    for ending in soon(endings, now):
        what, to_do = _ENDS[ending.what]
        yield Finding(f"{what} ends on {ending.at:%d %B %Y}.", None, to_do)


def _heads(names: Sequence[str], enrolled: Sequence[KitCard]) -> dict[str, list[str]]:
    heads = {card.id: list[str]() for card in enrolled}
    for name in names:
        found = _HEADS.fullmatch(name)
        if found and found["kit"] in heads:
            heads[found["kit"]].append(name)
    return heads


def _seen(store: ServiceStore, card: KitCard, heads: Sequence[str]) -> KitSeen:
    for name in sorted(heads, reverse=True)[:_PASSED_BY]:
        with suppress(BadInput):
            note = read_or_none(store, name) or b""
            told, _ = open_fact(note, [card.verifying_key()], Heads)
            if told.kit == card.id:
                return KitSeen(card.id, True, told.wall, told.broken)
    return KitSeen(card.id, enrolled=True, heard=None)
