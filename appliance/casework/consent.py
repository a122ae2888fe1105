"""What a family agreed to, and how it is taken back.

Consent is several consents: each person speaks for themselves, each purpose stands alone, and none
is assumed. Where ISO/IEC TS 27560 (consent records and receipts) has a name for a field, the field
has that name; `limit`, `valid_until` and what VIG asks for besides have plain ones. The records lie
sealed in the case: what is taken back is a new one, and none is ever changed. Of two that two homes
recorded at once, the more restrictive counts. What ends is ordered in `appliance.protocol.orders`,
readable without a key.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, get_args

import msgspec

from appliance.errors import BadInput
from appliance.film.manifest import FilmKind
from appliance.records.files import Fact, Timestamp, id_of, new_id
from appliance.vault.cases import UNREADABLE, OpenCase

Purpose = Literal[
    "filming", "supervisor", "peers", "training", "copies", "online-review", "filming-review"
]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)

AGREED: Mapping[FilmKind, Purpose] = {
    "visit": "filming",
    "review": "filming-review",
    "imported": "filming",
}
"""What everybody must have agreed to for each kind of film. Whatever makes a film, shows it, hands
it on or ends it asks this one table, through the functions below."""

LONGEST_SIGNATURE = 6000
_POINT = "[0-9]{1,4},[0-9]{1,4}"
_STROKE = f"{_POINT}(?: {_POINT})+"
_STROKES = re.compile(rf"{_STROKE}(?:\|{_STROKE})*")


def checked_strokes(text: str) -> str:
    """`text` if it is a drawn signature: strokes divided by `|`, each two or more points `x,y`.

    A point lies in a field of 1000 by 600 (`drawn_height`). Raises BadInput.
    """
    if len(text) > LONGEST_SIGNATURE or not _STROKES.fullmatch(text):
        raise BadInput("This is not a signature drawn on the page.", "Clear it and sign again.")
    return text


def drawn_height(strokes: str) -> int:
    """Of the field in which a signature was drawn, where it is 1000 wide: older ones are half as
    high."""
    lowest = max((int(point.partition(",")[2]) for point in re.split(r"[ |]", strokes)), default=0)
    return 600 if lowest > 300 else 300


class Person(Fact, frozen=True, kw_only=True, tag="person/v2"):
    """Somebody who will be in the room, and what they say for themselves."""

    pii_principal_id: str
    name: str
    relation: str
    speaks_as: Literal["adult", "young-person"]
    """A child or young person who can decide this speaks for themselves, like an adult."""
    on_behalf_of: str
    """The child for whom they answer too, '' where they answer for themselves alone."""
    authority: Literal["", "parent", "local-authority"]
    """By what right: a parent's responsibility, or an authority's that holds it."""
    purposes: tuple[Purpose, ...]
    """What they agree to, each asked by itself."""
    signature: str = ""
    """Strokes drawn on the screen (`checked_strokes`), '' where it was given in another way."""


class TakenBack(Fact, frozen=True, kw_only=True, tag="taken-back/v1"):
    """One purpose that is not agreed to any more, from this moment on."""

    purpose: Purpose
    event_time: Timestamp


class Consent(Fact, frozen=True, kw_only=True, tag="consent/v2"):
    """One agreement: by whom, for what, how long a film, until when."""

    record_id: str
    privacy_notice: str
    """Version of the words that were read out."""
    people: tuple[Person, ...]
    limit: int
    """Seconds of one film."""
    valid_until: Timestamp
    retention_period: int
    """Days for which films are kept after the case is closed, as the family was shown."""
    language: str
    interpreter: str
    worries: str
    """What worries were talked through, in the family's words; '' where there were none."""
    positive_choice: bool
    """They chose it themselves and freely, and the practitioner saw it."""
    given: Literal["drawn", "signed", "witnessed"]
    """With a signature on the screen, on the paper form, or aloud before a witness."""
    witness: str
    event_time: Timestamp
    taken_back: tuple[TakenBack, ...] = ()
    review_limit: int = 0
    """Seconds of one film of the shared review; 0 where no length of its own was agreed: it may be
    as long as any film then."""
    review_viewers: str = ""
    """Who sees a film of the shared review beside the practitioner, as the family was told."""

    def limit_of(self, kind: FilmKind) -> int:
        """Seconds of one film of this kind."""
        return self.review_limit or self.limit if kind == "review" else self.limit

    @property
    def purposes(self) -> tuple[Purpose, ...]:
        """What everybody in the room agrees to, and nobody has taken back."""
        gone = {taken.purpose for taken in self.taken_back}
        return tuple(
            purpose
            for purpose in PURPOSES
            if purpose not in gone
            and self.people
            and all(purpose in person.purposes for person in self.people)
        )

    @property
    def responsible(self) -> bool:
        """True if somebody with parental responsibility, or an authority's, is among them."""
        return any(person.authority and person.on_behalf_of for person in self.people)

    def without(self, purposes: Iterable[Purpose], at: datetime) -> "Consent":
        """This consent after these purposes were taken back; it is written as a new document."""
        gone = {taken.purpose for taken in self.taken_back}
        new = (TakenBack(purpose=p, event_time=at) for p in PURPOSES if p in set(purposes) - gone)
        return msgspec.structs.replace(self, taken_back=(*self.taken_back, *new))

    def joined(self, other: "Consent") -> "Consent":
        """What this consent and one that another home recorded count as (`vault.cases.Joins`)."""
        return stricter(self, other)


def stricter(one: Consent, other: Consent) -> Consent:
    """The more restrictive of two consents that did not know of each other: it allows what both
    allow, and takes back what either took back.

    Everybody who was asked in either is among the people; who was in both agrees to what they said
    yes to twice. The shorter film, the shorter keeping, the earlier end; as old as the older, so
    that whatever waits for a newer consent waits on. Words are those of the newer.
    """
    older, newer = sorted((one, other), key=lambda consent: (consent.event_time, consent.record_id))
    everyone = () if not (older.people and newer.people) else _everyone(older.people, newer.people)
    if not (older.responsible and newer.responsible):
        everyone = tuple(msgspec.structs.replace(person, authority="") for person in everyone)
    first: dict[Purpose, TakenBack] = {}
    for taken in sorted((*one.taken_back, *other.taken_back), key=lambda taken: taken.event_time):
        first.setdefault(taken.purpose, taken)
    ids = sorted({one.record_id, other.record_id})
    own = one.review_limit or other.review_limit
    return msgspec.structs.replace(
        newer,
        record_id=ids[0] if len(ids) == 1 else id_of(*ids),
        people=everyone,
        limit=min(one.limit, other.limit),
        review_limit=min(one.limit_of("review"), other.limit_of("review")) if own else 0,
        valid_until=min(one.valid_until, other.valid_until),
        retention_period=min(one.retention_period, other.retention_period),
        worries=newer.worries or older.worries,
        positive_choice=one.positive_choice and other.positive_choice,
        event_time=older.event_time,
        taken_back=tuple(first[purpose] for purpose in PURPOSES if purpose in first),
    )


def _everyone(older: Sequence[Person], newer: Sequence[Person]) -> tuple[Person, ...]:
    left, both = list(older), []
    for person in newer:
        then = next((one for one in left if _same(one, person)), None)
        if then is not None:
            left.remove(then)
            said = tuple(purpose for purpose in person.purposes if purpose in then.purposes)
            right = person.authority if then.authority and then.on_behalf_of else ""
            both.append(msgspec.structs.replace(person, purposes=said, authority=right))
        else:
            both.append(person)
    return (*both, *left)


def _same(one: Person, other: Person) -> bool:
    """Each consent gives its people ids of its own, so that a name has to do."""
    named = one.name.casefold() == other.name.casefold()
    return one.pii_principal_id == other.pii_principal_id or named


def consent_of(case: OpenCase) -> Consent | None:
    """The consent in force. None where there is none, or one that cannot be read: it allows nothing
    then, and is talked through and recorded again."""
    try:
        return case.read(Consent)
    except UNREADABLE:
        return None


def nothing_agreed(at: datetime) -> Consent:
    """What is written where something is taken back and the consent in force cannot be read: that
    nothing is agreed to any more, in case it can be read again one day."""
    return Consent(
        record_id=new_id(),
        privacy_notice="",
        people=(),
        limit=0,
        valid_until=at,
        retention_period=0,
        language="",
        interpreter="",
        worries="",
        positive_choice=False,
        given="witnessed",
        witness="",
        event_time=at,
    ).without(PURPOSES, at)


def allows(consent: Consent | None, purpose: Purpose, now: datetime) -> bool:
    """True if everybody agreed to `purpose`, someone responsible among them, and it still holds."""
    return (
        consent is not None
        and consent.positive_choice
        and purpose in consent.purposes
        and now < consent.valid_until
        and consent.responsible
    )


def ends_with(kind: FilmKind) -> frozenset[Purpose]:
    """What ends a film of this kind, and what follows from it, once one of these is taken back.

    Filming is among them whatever was filmed: who takes it back means no camera at all.
    """
    return frozenset({"filming", AGREED[kind]})


def taken_back(consent: Consent, kind: FilmKind) -> bool:
    """True if what films of this kind are made and kept for was taken back."""
    return any(taken.purpose in ends_with(kind) for taken in consent.taken_back)


def may_be_made(consent: Consent | None, now: datetime, kind: FilmKind) -> bool:
    """True if a film of this kind may be made now, or brought in."""
    if consent is None or taken_back(consent, kind):
        return False
    return allows(consent, AGREED[kind], now)


def may_be_watched(consent: Consent | None, now: datetime, kind: FilmKind = "visit") -> bool:
    """True while films of this kind may be looked at with the family, and used as it agrees.

    Whoever is in the room today may refuse to be filmed and closes no earlier film by it; taking
    filming back does, and so does the end of the consent.
    """
    return consent is not None and now < consent.valid_until and not taken_back(consent, kind)


class Newcomer(Fact, frozen=True, kw_only=True, tag="newcomer/v1"):
    """Somebody came in who had not been asked, while this film was made or just after.

    Nothing of it is copied before a consent that was recorded later, with them in it, allows it.
    """

    recording: str
    event_time: Timestamp


class Enough(Fact, frozen=True, kw_only=True, tag="enough/v1"):
    """The child had enough: an ordinary reason to end this film, and nobody's fault."""

    recording: str
    event_time: Timestamp


class Hold(Fact, frozen=True, kw_only=True, tag="hold/v1"):
    """Why nothing of a case may be removed yet. It postpones removal and nothing else."""

    role: str
    """Who decided it, by their office: a named role of the service."""
    reason: str
    review: Timestamp
    """When somebody must look again whether it is still needed."""
    at: Timestamp

    def joined(self, other: "Hold") -> "Hold":
        """The longer of two that two homes placed (`vault.cases.Joins`)."""
        return max(self, other, key=lambda hold: (hold.review, hold.at))
