"""The gate: when a press of the button may start a film.

A permit is a small public order, made from a consent while the page is unlocked and signed by the
practitioner. There is one at a time, at `permits/current`; taking it away disarms the kit. The
recorder believes nothing else the page says: it checks the signature, the kit, the boot, the
times, the ceilings, the films already made and the case's recipient itself, against its own books.
"""

import hashlib
from datetime import datetime, timedelta
from typing import Literal

import msgspec

from appliance.age.recipients import parse_recipient
from appliance.errors import BadInput, BadSignature, Reason
from appliance.protocol.cards import CardChain
from appliance.protocol.enrolment import Enrolled
from appliance.records.clock import Judgement
from appliance.records.files import Fact, Timestamp, checked_id
from appliance.records.signing import open_fact

OrderedFilm = Literal["visit", "review"]
"""What a permit may order: a family together, or the shared review itself."""

LONGEST_FILM = timedelta(minutes=60)
LONGEST_LIFE = timedelta(hours=24)
MOST_FILMS = 20
"""What no permit may ask for more than, whoever signed it; a service may set less."""


class PressRefusal(Reason):
    """Why a press was refused. The light, the page and the log all use these codes."""

    NOT_SET_UP = "not-set-up", "This kit is not set up yet. Open the page to set it up."
    TOO_LATE = (
        "too-late",
        "The kit was busy and missed your press, so it did not start filming. Press "
        "again if everyone is still happy to go on.",
    )
    TOO_SOON = (
        "too-soon",
        "You pressed too soon, so nothing was confirmed. Wait for the light to flash in "
        "a pair, then press once.",
    )
    NO_PERMIT = (
        "no-permit",
        "Nothing is agreed for today yet. Open the family's page and get ready to film.",
    )
    PERMIT_UNREADABLE = (
        "permit-unreadable",
        "The kit lost track of what was agreed for today. Get ready to film again.",
    )
    PERMIT_NOT_SIGNED = (
        "permit-not-signed",
        "The kit could not check what was agreed for today. Unlock the page and get "
        "ready to film again.",
    )
    OTHER_KIT = "other-kit", "You got a different kit ready. Get this one ready to film."
    OTHER_BOOT = (
        "other-boot",
        "The kit was turned off after you got it ready. Unlock the page, check the time "
        "and get ready to film again.",
    )
    ROSTER_OVER = (
        "roster-over",
        "This kit has not heard from your service for too long, so it will not film. "
        "Take it to base and upload, then get ready to film again.",
    )
    KIT_LOST = (
        "kit-lost",
        "Your service has marked this kit as lost, so it will not film. Tell them you "
        "have it. Then take it to base and upload.",
    )
    CLOCK_NOT_TRUSTED = (
        "clock-not-trusted",
        "The kit is not sure of the time. Unlock the page and confirm the time.",
    )
    NOT_YET = (
        "not-yet",
        ("Filming was set up for a later time. Check the time, or get ready again."),
    )
    EXPIRED = (
        "expired",
        "The time agreed for filming is over. Check the consent and get ready to film again.",
    )
    OVER_CEILING = (
        "over-ceiling",
        "That is longer than this kit is allowed to film. Choose a shorter time.",
    )
    OVER_SERVICE_CEILING = (
        "over-service-ceiling",
        "Your service does not allow films that long, that many films, or filming for "
        "that long. Choose less, or ask your service.",
    )
    DISARMED = (
        "disarmed",
        ("The button was turned off. If everyone still agrees, turn it on again."),
    )
    FILMS_USED = (
        "films-used",
        "All the films agreed for today have been made. Get ready to film again if "
        "everyone agrees to another.",
    )
    RECIPIENT_CHANGED = (
        "recipient-changed",
        "The kit does not know this family's new key. If someone left the family's team, "
        "confirm the new key on its page. If no one left, ask your service.",
    )
    WITHDRAWN = "withdrawn", "The family has withdrawn consent. You cannot film them."
    CASE_CLOSED = (
        "case-closed",
        "This family was closed for good, but the record of that is missing from their "
        "files. Do not film. Tell your service.",
    )
    CARD_FULL = (
        "card-full",
        "There is not enough room on the memory card for a film of the agreed length. "
        "Agree a shorter time, or use another kit. Uploading does not make room.",
    )
    LIGHT_BROKEN = (
        "light-broken",
        "The light does not work, so the kit will not film. It needs repair.",
    )
    CAMERA_LOADING = (
        "camera-loading",
        "The camera is starting. Wait a few seconds for the light to pulse slowly, then "
        "press the button.",
    )
    CAMERA_MISSING = (
        "camera-missing",
        "The camera is not working. Check its cable and turn the kit off and on.",
    )
    NO_MICROPHONE = (
        "no-microphone",
        "The family agreed to a film with sound, but this kit has no microphone. Get "
        "ready again for a film without sound, or have a microphone fitted.",
    )
    UNDER_VOLTAGE = (
        "under-voltage",
        "The kit does not have enough power. Use its own charger or a charged battery, "
        "then try again.",
    )
    TOO_HOT = (
        "too-hot",
        "The kit is too hot to film. Move it out of the sun, uncover it and let it cool down.",
    )


class Permit(Fact, frozen=True, kw_only=True, tag="permit/v1"):
    """What may be filmed, for whom, how long and until when."""

    id: str
    kit: str
    case: str
    recipient: str
    """The case's age recipient: what is filmed is sealed to this and nothing else."""
    consent: str
    """SHA-256 (hex) of the consent this was made from, as it stands in the case."""
    kind: OrderedFilm
    """What `appliance.casework.consent.AGREED` says must be agreed to for it."""
    limit: int
    """Seconds of one film."""
    sound: bool
    """False: the practitioner chose to film without a microphone."""
    films: int
    boot: str
    not_before: Timestamp
    not_after: Timestamp
    people: tuple[str, ...] = ()
    """Verifying keys of the case's other practitioners: they may withdraw what is filmed, too."""

    def left(self, now: datetime | None) -> float:
        """Seconds until what was agreed to ends; none at all while the time is not certain."""
        return max((self.not_after - now).total_seconds(), 0.0) if now is not None else 0.0


class Ceilings(Fact, frozen=True, kw_only=True, tag="ceilings/v1"):
    """What a service lets its kits do at most. Signed with the service's key."""

    limit: int = int(LONGEST_FILM.total_seconds())
    """Seconds of one film."""
    life: int = int(LONGEST_LIFE.total_seconds())
    """Seconds from a permit's beginning to its end."""
    films: int = MOST_FILMS
    """Films under one permit."""
    since: Timestamp
    """When it was signed: an older one never takes the place of a newer."""


def read_ceilings(note: str, service: CardChain) -> Ceilings:
    """What a service has signed. Raises BadFile, BadSignature."""
    return service.word(note, Ceilings)


def ceilings_in_force(enrolled: Enrolled) -> Ceilings:
    """What a kit took in with a press, which stays although the key that signed it has ended.
    Raises BadFile, BadSignature."""
    return open_fact(enrolled.ceilings, enrolled.chain.ever, Ceilings)[0]


class Renewed(Fact, frozen=True, kw_only=True, tag="renewed/v1"):
    """A case has another key since somebody left it: it is filmed to this one from now on. Signed
    by a practitioner, and believed only with a press."""

    kit: str
    case: str
    recipient: str


class Joined(Fact, frozen=True, kw_only=True, tag="joined/v1"):
    """Somebody else works with a family now. Signed by a practitioner of that case."""

    kit: str
    case: str
    verifier: str
    """The verifying key of whoever joins, as a signed note names it."""


class EndedCase(Fact, frozen=True, kw_only=True, tag="ended-case/v1"):
    """A case of which films were removed here as a whole, on a practitioner's word."""

    by: str
    """Their verifying key."""
    at: Timestamp | None
    """None where the kit was not sure of the time."""


class Books(Fact, frozen=True, kw_only=True, tag="books/v1"):
    """What the recorder remembers, whatever the page may say later."""

    films: dict[str, int] = msgspec.field(default_factory=dict)
    """Films started under each permit."""
    disarmed: tuple[str, ...] = ()
    """Permits that were taken away: they never count again."""
    recipients: dict[str, str] = msgspec.field(default_factory=dict)
    """Each case's recipient as first seen (SHA-256, hex)."""
    people: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    """Each case's practitioners as this kit knows them, by their verifying keys: whoever filmed
    under an order of their own, and whoever these let in. Nobody else's word removes its films."""
    closed: frozenset[str] = frozenset()
    """Cases that were withdrawn as a whole, by an order that was believed: never filmed again."""
    ended: dict[str, EndedCase] = msgspec.field(default_factory=dict)
    """Those of them that practitioners ended last."""


def recipient_digest(recipient: str) -> str:
    """SHA-256 (hex) of a recipient's text."""
    return hashlib.sha256(recipient.encode()).hexdigest()


def judge(
    note: str | None,
    *,
    kit: str,
    enrolled: Enrolled | None,
    books: Books,
    boot: str,
    clock: Judgement,
) -> Permit | PressRefusal:
    """Answer a press: the permit in force, or why there is none. Anything in doubt is a refusal.

    `note` is the text of `permits/current` or None. The signature comes before every other
    question, so that an altered permit never gets a more helpful answer than "not signed".
    """
    if enrolled is None:
        return PressRefusal.NOT_SET_UP
    permit = _signed(note, enrolled)
    if isinstance(permit, PressRefusal):
        return permit
    if permit.kit != kit:
        return PressRefusal.OTHER_KIT
    if permit.boot != boot:
        return PressRefusal.OTHER_BOOT
    if permit.id in books.disarmed:
        return PressRefusal.DISARMED
    if (
        not 0 < permit.limit <= LONGEST_FILM.total_seconds()
        or not 0 < permit.films <= MOST_FILMS
        or permit.not_after - permit.not_before > LONGEST_LIFE
    ):
        return PressRefusal.OVER_CEILING
    if enrolled.ceilings and not _within(permit, enrolled):
        return PressRefusal.OVER_SERVICE_CEILING
    if (untimely := _untimely(permit, clock)) is not None:
        return untimely
    if books.films.get(permit.id, 0) >= permit.films:
        return PressRefusal.FILMS_USED
    if parse_recipient(permit.recipient).kind != enrolled.service.sealing_key().kind:
        # A page that was taken over could have a film sealed to a weaker key than all the others.
        return PressRefusal.RECIPIENT_CHANGED
    known = books.recipients.get(permit.case)
    if known is not None and known != recipient_digest(permit.recipient):
        return PressRefusal.RECIPIENT_CHANGED
    return permit


def _signed(note: str | None, enrolled: Enrolled) -> Permit | PressRefusal:
    if note is None:
        return PressRefusal.NO_PERMIT
    try:
        keys = [card.verifying_key() for card in enrolled.practitioners]
        permit, _ = open_fact(note, keys, Permit)
        parse_recipient(permit.recipient)
        # Both go into the books, the log and the film: anything but an id could fill these up.
        checked_id(permit.id)
        checked_id(permit.case)
    except BadSignature:
        return PressRefusal.PERMIT_NOT_SIGNED
    except BadInput:
        return PressRefusal.PERMIT_UNREADABLE
    return permit


def _untimely(permit: Permit, clock: Judgement) -> PressRefusal | None:
    if clock.now is None:
        return PressRefusal.CLOCK_NOT_TRUSTED
    if clock.now < permit.not_before:
        return PressRefusal.NOT_YET
    return PressRefusal.EXPIRED if clock.now >= permit.not_after else None


def _within(permit: Permit, enrolled: Enrolled) -> bool:
    """True if the service allows this much. A note that cannot be believed allows nothing."""
    try:
        ceilings = ceilings_in_force(enrolled)
    except BadInput:
        return False
    return (
        permit.limit <= ceilings.limit
        and permit.films <= ceilings.films
        and (permit.not_after - permit.not_before).total_seconds() <= ceilings.life
    )
