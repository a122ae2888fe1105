"""What is asked for a consent, step by step, and every rule of what may be recorded.

One question stands on a page. A step is done when nothing that belongs to it is wrong, so where
somebody goes on after an answer, a reload or a dead battery is always the same place: the first
step that is not done.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal, cast

import msgspec

from appliance.casework.consent import (
    AGREED,
    LONGEST_SIGNATURE,
    Consent,
    Person,
    Purpose,
    checked_strokes,
)
from appliance.casework.consent_draft import Asked, ConsentDraft
from appliance.casework.service_settings import Service
from appliance.errors import BadInput
from appliance.protocol.permits import LONGEST_FILM
from appliance.records.files import new_id
from web_ui.forms import too_long
from web_ui.wording.language import _
from web_ui.wording.times import end_of

WORDING = "2026-12c"
"""Version of what `consent-promises.html` says to read out; it changes with every promise."""

CUSTOM = "custom"
SHORTEST_SECONDS = 5
LONGEST_CONSENT = timedelta(days=400)
TEXT_LENGTH = 80
WORRIES_LENGTH = 1000
MOST_PEOPLE = 12
GIVEN = ("drawn", "signed", "witnessed")

FIELDS: Mapping[str, tuple[str, ...]] = {
    "promises": ("read_out",),
    "who": ("met", "name", "relation", "speaks_as", "answers_for", "on_behalf_of"),
    "agree": (),
    "practical": ("limit", "limit_seconds", "valid_until", "language", "interpreter", "worries"),
    "check": ("people", "given", "witness", "choice"),
    "sign": ("signature",),
}
"""The steps, and what belongs to each; to `agree`, the purpose that it asks for."""


@dataclass(frozen=True)
class Step:
    """One page."""

    name: str
    person: str = ""
    purpose: str = ""

    @property
    def fields(self) -> tuple[str, ...]:
        return (self.purpose,) if self.purpose else FIELDS[self.name]


def steps(draft: ConsentDraft, purposes: Sequence[Purpose]) -> Iterator[Step]:
    """Every step of a consent for these purposes, in order."""
    yield Step("promises")
    for person in draft.people:
        yield Step("who", person.id)
        for purpose in purposes:
            yield Step("agree", person.id, purpose)
    yield Step("practical")
    yield Step("check")
    if draft.given == "drawn":
        yield from (Step("sign", person.id) for person in draft.people if agrees(person))


def was_read_out(draft: ConsentDraft, service: Service) -> bool:
    """True if what was read out is what holds now."""
    told = (draft.read_out, draft.read_days, draft.read_minutes)
    return told == (WORDING, service.retention_days, service.review_minutes)


def agrees(person: Asked) -> bool:
    """True if they said yes to anything: then they sign."""
    return any(person.said.values())


def statement(draft: ConsentDraft, person: Asked) -> Sequence[object]:
    """What this person signs. A signature is for this, and for nothing that is changed later."""
    said = sorted(person.said.items())
    until = (draft.day, draft.month, draft.year)
    answers = (person.answers_for, person.on_behalf_of, said)
    return (person.name, *answers, draft.limit, draft.limit_seconds, until)


def settled(before: ConsentDraft, after: ConsentDraft) -> ConsentDraft:
    """`after` without the signatures and the word of everybody's choice that were given for
    something else."""
    people = []
    for person in after.people:
        then = before.person(person.id)
        if then and statement(before, then) != statement(after, person):
            person = msgspec.structs.replace(person, signature="")
        people.append(person)
    after = msgspec.structs.replace(after, people=tuple(people))
    signed = (msgspec.structs.replace(one, signature="") for one in before.people)
    same = [msgspec.structs.replace(one, signature="") for one in after.people] == list(signed)
    if same and msgspec.structs.replace(after, people=before.people) == before:
        return after
    return msgspec.structs.replace(after, choice=False)


def last_day(draft: ConsentDraft) -> date | None:
    """The day that was written; None if it is none."""
    parts = (draft.year, draft.month, draft.day)
    with suppress(ValueError):
        if all(part.isascii() and part.isdecimal() for part in parts):
            return date(*(int(part) for part in parts))
    return None


def usual_last_day(service: Service, today: date) -> date:
    """The last day that is filled in: of as many cycles as are usual at this service, each with as
    long again for the next film as there is for the review, and at most 13 months."""
    usual = timedelta(days=2 * service.review_within_days * service.cycles_most)
    return today + min(usual, LONGEST_CONSENT - timedelta(days=1))


@dataclass
class Checked:
    """What is wrong with a draft, each with its sentence, and the consent if nothing is."""

    draft: ConsentDraft
    now: datetime
    custom: bool
    """A film may have any length: where a scene replaces the camera, for demonstrations."""
    service: Service
    purposes: Sequence[Purpose]
    """What is asked for."""
    errors: dict[tuple[str, str], str] = field(default_factory=dict)
    """By the id of the person, '' where it is nobody's, and the name of the field."""
    consent: Consent | None = None

    def __post_init__(self) -> None:
        draft, wrong = self.draft, self._wrong
        if not was_read_out(draft, self.service):
            wrong("read_out", _("Read this out first."))
        people = tuple(map(self._person, draft.people))
        if not people:
            wrong("people", _("Enter everyone who will be in the room"))
        elif not any(person.purposes for person in people):
            wrong("people", _("No one agrees to anything, so there is no consent to record."))
        limit, until = self._limit(), self._valid_until()
        if not draft.language:
            wrong("language", _("Enter the language you talked in"))
        if not draft.choice:
            wrong(
                "choice",
                _("Confirm that everyone chose this freely"),
            )
        if draft.given not in GIVEN:
            wrong("given", _("Select how they gave consent"))
        if draft.given == "witnessed" and not draft.witness:
            wrong("witness", _("Enter who was listening"))
        lengths = {"language": TEXT_LENGTH, "interpreter": TEXT_LENGTH, "witness": TEXT_LENGTH}
        for name, longest in (lengths | {"worries": WORRIES_LENGTH}).items():
            if problem := too_long(getattr(draft, name), longest):
                wrong(name, problem)
        if not self.errors and limit is not None and until is not None:
            self.consent = self._consent(people, limit, until)

    def of(self, step: Step) -> dict[str, str]:
        """What is wrong in this step, by the name of the field."""
        return {
            name: sentence
            for (person, name), sentence in self.errors.items()
            if person == step.person and name in step.fields
        }

    @property
    def next(self) -> Step:
        """Where to go on: the first step that is not done. Look whether there is a consent first;
        the answer is `check` then."""
        order = steps(self.draft, self.purposes)
        return next((step for step in order if self.of(step)), Step("check"))

    def _consent(self, people: tuple[Person, ...], limit: int, until: datetime) -> Consent:
        draft = self.draft
        review = any(AGREED["review"] in person.purposes for person in people)
        return Consent(
            record_id=draft.id,
            privacy_notice=draft.read_out,
            people=people,
            limit=limit,
            valid_until=until,
            retention_period=draft.read_days,
            language=draft.language,
            interpreter=draft.interpreter,
            worries=draft.worries,
            positive_choice=draft.choice,
            given=cast(Literal["drawn", "signed", "witnessed"], draft.given),
            witness=draft.witness if draft.given == "witnessed" else "",
            event_time=self.now,
            review_limit=60 * draft.read_minutes if review else 0,
            review_viewers=draft.read_supervisor if review else "",
        )

    def _wrong(self, name: str, sentence: str, person: str = "") -> None:
        self.errors.setdefault((person, name), sentence)

    def _person(self, asked: Asked) -> Person:
        def wrong(name: str, sentence: str) -> None:
            self._wrong(name, sentence, asked.id)

        written = {
            "name": asked.name,
            "relation": asked.relation,
            "on_behalf_of": asked.on_behalf_of,
        }
        for name, words in written.items():
            if problem := too_long(words, TEXT_LENGTH):
                wrong(name, problem)
        if not asked.met:
            wrong("met", _("Ask this person too, or take them out."))
        if not asked.name:
            wrong("name", _("Enter this person's name"))
        if not asked.relation:
            wrong("relation", _("Enter their relationship to the child"))
        if asked.speaks_as not in ("adult", "young-person"):
            wrong("speaks_as", _("Select if this person is an adult"))
        answers = asked.answers_for in ("parent", "local-authority")
        if not answers and asked.answers_for != "nobody":
            wrong("answers_for", _("Select if they are giving consent for a child"))
        elif answers and not asked.on_behalf_of:
            wrong("on_behalf_of", _("Enter the name of the child"))
        for purpose in self.purposes:
            if purpose not in asked.said:
                wrong(purpose, _("Choose Yes or No."))
        return Person(
            pii_principal_id=new_id(),
            name=asked.name,
            relation=asked.relation,
            speaks_as=cast(Literal["adult", "young-person"], asked.speaks_as),
            on_behalf_of=asked.on_behalf_of if answers else "",
            authority=cast(
                Literal["", "parent", "local-authority"], asked.answers_for if answers else ""
            ),
            purposes=tuple(one for one in self.purposes if asked.said.get(one)),
            signature=self._signature(asked),
        )

    def _signature(self, asked: Asked) -> str:
        if self.draft.given != "drawn":
            return ""
        try:
            return checked_strokes(asked.signature)
        except BadInput:
            if agrees(asked):
                self._wrong(
                    "signature",
                    _("Ask this person to sign here, or choose another way to give consent"),
                    asked.id,
                )
            return ""

    def _limit(self) -> int | None:
        sent = self.draft.limit
        if sent in {str(60 * one) for one in self.service.film_minutes}:
            return int(sent)
        if self.custom and sent == CUSTOM:
            longest, written = int(LONGEST_FILM.total_seconds()), self.draft.limit_seconds
            if written.isdecimal() and SHORTEST_SECONDS <= int(written[:6]) <= longest:
                return int(written[:6])
            sentence = _(
                "Enter whole seconds, from %(least)s to %(most)s",
                least=SHORTEST_SECONDS,
                most=longest,
            )
            self._wrong("limit_seconds", sentence)
            return None
        self._wrong("limit", _("Select how long one film can be"))
        return None

    def _valid_until(self) -> datetime | None:
        day = last_day(self.draft)
        try:
            until = end_of(day) if day else None
        except OverflowError:
            until = None
        if until is None:
            self._wrong("valid_until", _("Enter the day this consent ends"))
        elif until <= self.now:
            self._wrong("valid_until", _("The day this consent ends must be today or later"))
        elif until > self.now + LONGEST_CONSENT:
            self._wrong(
                "valid_until", _("The day this consent ends must be within the next 13 months")
            )
        return until


def longest_sent(name: str) -> int:
    """Characters of a field beyond which nobody reads on; what is kept is far shorter."""
    lengths = {"worries": WORRIES_LENGTH, "signature": LONGEST_SIGNATURE}
    return 4 * lengths.get(name, TEXT_LENGTH)
