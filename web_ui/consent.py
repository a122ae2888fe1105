"""Consent: each person for themselves, each purpose by itself, nothing ticked beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal, cast

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import MultiDict

from appliance.cases import Details
from appliance.consent import PURPOSES, Consent, Person
from appliance.permits import LONGEST_FILM
from web_ui.access import practitioner
from web_ui.cases import open_case
from web_ui.language import _
from web_ui.parts import Parts
from web_ui.times import end_of

WORDING = "2026-11"
"""Version of what `consent.html` says to read out; a changed promise is a new version."""

MINUTES = (3, 5, 10, 20, 45)
CUSTOM = "custom"
SHORTEST_SECONDS = 5
LONGEST_CONSENT = timedelta(days=400)
TEXT_LENGTH = 80
MOST_PEOPLE = 12
_FIRST_ROWS = 2


@dataclass
class Row:
    """One person as written in the form."""

    name: str = ""
    relation: str = ""
    responsibility: bool = False
    agrees: bool = False

    @property
    def empty(self) -> bool:
        return not (self.name or self.relation or self.responsibility or self.agrees)


@dataclass
class Draft:
    """The form as it stands, with what is wrong in it by the name of the field."""

    people: list[Row] = field(default_factory=lambda: [Row() for _number in range(_FIRST_ROWS)])
    purposes: tuple[str, ...] = ()
    limit: str = ""
    limit_seconds: str = ""
    valid_until: str = ""
    language: str = ""
    interpreter: str = ""
    given: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def sent(cls, form: MultiDict[str, str]) -> "Draft":
        """What was filled in, nothing checked yet."""

        def text(name: str) -> str:
            return form.get(name, "").strip()[: 4 * TEXT_LENGTH]

        rows = []
        for number in range(MOST_PEOPLE):
            prefix = f"people-{number}-"
            if any(name.startswith(prefix) for name in form):
                rows.append(
                    Row(
                        text(f"{prefix}name"),
                        text(f"{prefix}relation"),
                        f"{prefix}responsibility" in form,
                        f"{prefix}agrees" in form,
                    )
                )
        return cls(
            people=rows or [Row() for _number in range(_FIRST_ROWS)],
            purposes=tuple(purpose for purpose in PURPOSES if purpose in form.getlist("purposes")),
            limit=text("limit"),
            limit_seconds=text("limit_seconds"),
            valid_until=text("valid_until"),
            language=text("language"),
            interpreter=text("interpreter"),
            given=text("given"),
        )

    @classmethod
    def of(cls, consent: Consent) -> "Draft":
        """Start from a consent on record. What people said is asked anew: nothing is ticked."""
        return cls(
            people=[Row(p.name, p.relation, p.responsibility) for p in consent.people],
            language=consent.language,
            interpreter=consent.interpreter,
        )

    def check(self, now: datetime, custom: bool) -> Consent | None:
        """The consent, or None with `errors` filled in."""
        people = self._people()
        limit = self._limit(custom)
        until = self._valid_until(now)
        if not self.purposes:
            self.errors["purposes"] = _(
                "Tick what was agreed to. Without filming, nothing is filmed."
            )
        if not self.language:
            self.errors["language"] = _("Write the language in which it was talked through.")
        if self.given not in ("signed", "witnessed"):
            self.errors["given"] = _("Say how it was given.")
        for name in ("language", "interpreter"):
            if len(getattr(self, name)) > TEXT_LENGTH:
                self.errors[name] = _("Use at most %(count)s characters.", count=TEXT_LENGTH)
        if self.errors or limit is None or until is None:
            return None
        return Consent(
            people=people,
            purposes=tuple(purpose for purpose in PURPOSES if purpose in self.purposes),
            limit=limit,
            valid_until=until,
            language=self.language,
            interpreter=self.interpreter,
            given=cast(Literal["signed", "witnessed"], self.given),
            wording=WORDING,
            recorded=now,
        )

    def _people(self) -> tuple[Person, ...]:
        people = []
        for number, row in enumerate(self.people):
            if row.empty:
                continue
            if not row.name:
                self.errors[f"people-{number}-name"] = _("Write a name for this person.")
            if not row.relation:
                self.errors[f"people-{number}-relation"] = _(
                    "Write who this person is to the child."
                )
            if max(len(row.name), len(row.relation)) > TEXT_LENGTH:
                self.errors[f"people-{number}-name"] = _(
                    "Use at most %(count)s characters.", count=TEXT_LENGTH
                )
            people.append(
                Person(
                    name=row.name,
                    relation=row.relation,
                    responsibility=row.responsibility,
                    agrees=row.agrees,
                )
            )
        if not people:
            self.errors["people-0-name"] = _("Write down everybody who will be in the room.")
        return tuple(people)

    def _limit(self, custom: bool) -> int | None:
        if self.limit in {str(60 * minutes) for minutes in MINUTES}:
            return int(self.limit)
        if custom and self.limit == CUSTOM:
            longest = int(LONGEST_FILM.total_seconds())
            if self.limit_seconds.isdecimal():
                seconds = int(self.limit_seconds[:6])
                if SHORTEST_SECONDS <= seconds <= longest:
                    return seconds
            self.errors["limit_seconds"] = _(
                "Write whole seconds, from %(least)s to %(most)s.",
                least=SHORTEST_SECONDS,
                most=longest,
            )
            return None
        self.errors["limit"] = _("Choose how long one film may be.")
        return None

    def _valid_until(self, now: datetime) -> datetime | None:
        day = _day(self.valid_until)
        if day is None:
            self.errors["valid_until"] = _("Choose the last day on which this consent holds.")
            return None
        until = end_of(day)
        if until <= now:
            self.errors["valid_until"] = _("That day is over. Choose today or a later day.")
        elif until > now + LONGEST_CONSENT:
            self.errors["valid_until"] = _("Choose a day within the next 13 months.")
        return until


def blueprint(parts: Parts) -> Blueprint:
    pages = Blueprint("consent", __name__, url_prefix="/cases/<id:case>/consent")
    custom = parts.config.camera == "scene"

    def page(case: str, draft: Draft) -> str:
        opened = open_case(case)
        return render_template(
            "consent.html",
            case=opened,
            details=opened.read(Details),
            draft=draft,
            purposes=purposes_in_words(),
            minutes=MINUTES,
            custom=custom,
            room=len(draft.people) < MOST_PEOPLE,
        )

    @pages.get("")
    def show(case: str) -> ResponseReturnValue:
        known = open_case(case).read(Consent)
        return page(case, Draft.of(known) if known else Draft())

    @pages.post("")
    def record(case: str) -> ResponseReturnValue:
        opened = open_case(case)
        draft = Draft.sent(request.form)
        if "add" in request.form:
            draft.people.append(Row())
            return page(case, draft)
        consent = draft.check(practitioner().now(parts.clock), custom)
        if consent is None:
            return page(case, draft), 400
        opened.write(consent)
        parts.note("consent-written", case=case)
        return redirect(url_for("cases.one", case=case), 303)

    return pages


def purposes_in_words() -> Mapping[str, str]:
    """Each purpose as it is asked, in order."""
    return {
        "filming": _("Filming, and looking at the film together"),
        "supervisor": _("The practitioner's supervisor may watch chosen clips"),
        "peers": _("Colleagues in training together may watch chosen clips"),
        "training": _("Chosen clips may be shown at training events"),
        "copies": _("Copies of chosen clips for the family itself"),
        "online-review": _("Looking at the film together over a video call"),
    }


def _day(text: str) -> date | None:
    for form in ("%Y-%m-%d", "%d/%m/%Y"):
        try:
            return datetime.strptime(text, form).date()  # noqa: DTZ007 - a day has no zone
        except ValueError:
            continue
    return None
