"""Consent: each person for themselves, each purpose by itself, nothing ticked beforehand.

The family's receipt is made from the record each time it is printed, so it shows what holds now.
The kit keeps no other copy of it.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, cast

import segno
from flask import Blueprint, abort, redirect, request, url_for
from flask.typing import ResponseReturnValue
from markupsafe import Markup
from werkzeug.datastructures import MultiDict

from appliance.casework.consent import (
    LONGEST_SIGNATURE,
    PURPOSES,
    Consent,
    Person,
    Purpose,
    checked_strokes,
    consent_of,
)
from appliance.casework.forks import has_two_consents
from appliance.casework.service_settings import OFFERS, Service
from appliance.casework.shares import end_what_is_not_agreed
from appliance.errors import BadInput
from appliance.protocol.permits import LONGEST_FILM, recipient_digest
from appliance.records.files import new_id
from appliance.vault.cases import OpenCase
from web_ui.forms import day_sent, too_long
from web_ui.parts import parts
from web_ui.session.current import case_page, open_case, practitioner
from web_ui.wording.language import _
from web_ui.wording.purposes import purposes_in_words
from web_ui.wording.times import end_of, last_day_before

WORDING = "2026-12b"
"""Version of what `consent.html` says to read out; it changes with every promise."""

CUSTOM = "custom"
SHORTEST_SECONDS = 5
LONGEST_CONSENT = timedelta(days=400)
TEXT_LENGTH = 80
WORRIES_LENGTH = 1000
MOST_PEOPLE = 12
_FIRST_ROWS = 2
_AUTHORITIES = ("", "parent", "local-authority")
_GIVEN = ("drawn", "signed", "witnessed")


@dataclass
class Row:
    """One person as written in the form."""

    name: str = ""
    relation: str = ""
    speaks_as: str = "adult"
    on_behalf_of: str = ""
    authority: str = ""
    purposes: tuple[str, ...] = ()
    signature: str = ""

    @property
    def empty(self) -> bool:
        said = (self.name, self.relation, self.on_behalf_of, self.authority, self.purposes)
        return not any(said) and not self.signature


@dataclass
class Draft:
    """The form as it stands, and its errors by the name of the field."""

    people: list[Row] = field(default_factory=lambda: [Row() for _number in range(_FIRST_ROWS)])
    limit: str = ""
    limit_seconds: str = ""
    valid_until: str = ""
    language: str = ""
    interpreter: str = ""
    worries: str = ""
    choice: bool = False
    given: str = ""
    witness: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def sent(cls, form: MultiDict[str, str]) -> "Draft":
        """The form that was sent, not checked yet."""

        def text(name: str, longest: int = TEXT_LENGTH) -> str:
            return form.get(name, "").strip()[: 4 * longest]

        rows = []
        for number in range(MOST_PEOPLE):
            prefix = f"people-{number}-"
            if any(name.startswith(prefix) for name in form):
                ticked = form.getlist(f"{prefix}purposes")
                rows.append(
                    Row(
                        name=text(f"{prefix}name"),
                        relation=text(f"{prefix}relation"),
                        speaks_as=text(f"{prefix}speaks_as"),
                        on_behalf_of=text(f"{prefix}child"),
                        authority=text(f"{prefix}authority"),
                        purposes=tuple(purpose for purpose in PURPOSES if purpose in ticked),
                        signature=text(f"{prefix}signature", LONGEST_SIGNATURE),
                    )
                )
        return cls(
            people=rows or [Row() for _number in range(_FIRST_ROWS)],
            limit=text("limit"),
            limit_seconds=text("limit_seconds"),
            valid_until=text("valid_until"),
            language=text("language"),
            interpreter=text("interpreter"),
            worries=text("worries", WORRIES_LENGTH),
            choice="choice" in form,
            given=text("given"),
            witness=text("witness"),
        )

    @classmethod
    def of(cls, consent: Consent) -> "Draft":
        """A form that starts from a consent on record; what people agree to is asked again."""
        return cls(
            people=[
                Row(p.name, p.relation, p.speaks_as, p.on_behalf_of, p.authority)
                for p in consent.people
            ],
            language=consent.language,
            interpreter=consent.interpreter,
        )

    def check(self, now: datetime, custom: bool, service: Service) -> Consent | None:
        """The consent, or None with `errors` filled in."""
        people = self._people()
        limit = self._limit(custom, service.film_minutes)
        until = self._valid_until(now)
        if not self.language:
            self.errors["language"] = _("Write the language in which it was talked through.")
        if not self.choice:
            self.errors["choice"] = _(
                "Tick this if everybody chose it themselves. Without that there is no consent."
            )
        if self.given not in _GIVEN:
            self.errors["given"] = _("Say how it was given.")
        if self.given == "witnessed" and not self.witness:
            self.errors["witness"] = _("Write who heard it.")
        lengths = {"language": TEXT_LENGTH, "interpreter": TEXT_LENGTH, "witness": TEXT_LENGTH}
        for name, longest in (lengths | {"worries": WORRIES_LENGTH}).items():
            if problem := too_long(getattr(self, name), longest):
                self.errors[name] = problem
        if self.errors or limit is None or until is None:
            return None
        return Consent(
            record_id=new_id(),
            privacy_notice=WORDING,
            people=people,
            limit=limit,
            valid_until=until,
            retention_period=service.retention_days,
            language=self.language,
            interpreter=self.interpreter,
            worries=self.worries,
            positive_choice=self.choice,
            given=cast(Literal["drawn", "signed", "witnessed"], self.given),
            witness=self.witness if self.given == "witnessed" else "",
            event_time=now,
        )

    def _people(self) -> tuple[Person, ...]:
        people = [
            self._person(f"people-{number}", row)
            for number, row in enumerate(self.people)
            if not row.empty
        ]
        if not people:
            self.errors["people-0-name"] = _("Write down everybody who will be in the room.")
        elif not any(person.purposes for person in people):
            self.errors["people-0-purposes"] = _(
                "Tick what was agreed to. Without filming, nothing is filmed."
            )
        return tuple(people)

    def _person(self, prefix: str, row: Row) -> Person:
        if not row.name:
            self.errors[f"{prefix}-name"] = _("Write a name for this person.")
        if not row.relation:
            self.errors[f"{prefix}-relation"] = _("Write who this person is to the child.")
        if row.speaks_as not in ("adult", "young-person"):
            self.errors[f"{prefix}-speaks_as"] = _("Say whether this is an adult.")
        if row.authority not in _AUTHORITIES:
            self.errors[f"{prefix}-authority"] = _("Choose one of these.")
        elif row.authority and not row.on_behalf_of:
            self.errors[f"{prefix}-child"] = _("Write for which child they answer.")
        elif row.on_behalf_of and not row.authority:
            self.errors[f"{prefix}-authority"] = _("Say by what right they answer for the child.")
        written = {"name": row.name, "relation": row.relation, "child": row.on_behalf_of}
        for name, words in written.items():
            if problem := too_long(words, TEXT_LENGTH):
                self.errors[f"{prefix}-{name}"] = problem
        return Person(
            pii_principal_id=new_id(),
            name=row.name,
            relation=row.relation,
            speaks_as=cast(Literal["adult", "young-person"], row.speaks_as),
            on_behalf_of=row.on_behalf_of,
            authority=cast(Literal["", "parent", "local-authority"], row.authority),
            purposes=cast(tuple[Purpose, ...], row.purposes),
            signature=self._signature(prefix, row),
        )

    def _signature(self, prefix: str, row: Row) -> str:
        if self.given != "drawn":
            return ""
        try:
            return checked_strokes(row.signature)
        except BadInput:
            if row.purposes:
                self.errors[f"{prefix}-signature"] = _(
                    "Let this person sign here, or choose another way in which it was given."
                )
            return ""

    def _limit(self, custom: bool, minutes: tuple[int, ...]) -> int | None:
        if self.limit in {str(60 * one) for one in minutes}:
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
        day = day_sent(self.valid_until)
        if day is None:
            self.errors["valid_until"] = _("Choose the last day on which this consent holds.")
            return None
        until = end_of(day)
        if until <= now:
            self.errors["valid_until"] = _("That day is over. Choose today or a later day.")
        elif until > now + LONGEST_CONSENT:
            self.errors["valid_until"] = _("Choose a day within the next 13 months.")
        return until


pages = Blueprint("consent", __name__, url_prefix="/cases/<id:case>/consent")


def _page(case: str, draft: Draft) -> str:
    opened, service = open_case(case), parts().service
    # Ask for nothing that this service does not do.
    purposes = {
        purpose: words
        for purpose, words in purposes_in_words().items()
        if purpose in service.offers or purpose not in OFFERS
    }
    return case_page(
        "consent.html",
        opened,
        draft=draft,
        purposes=purposes,
        minutes=service.film_minutes,
        roles=service.roles,
        custom=_custom(),
        retention=service.retention_days,
        room=len(draft.people) < MOST_PEOPLE,
        consents=has_two_consents(opened),
    )


@pages.get("")
def show(case: str) -> ResponseReturnValue:
    known = consent_of(open_case(case))
    return _page(case, Draft.of(known) if known else Draft())


@pages.post("")
def record(case: str) -> ResponseReturnValue:
    opened = open_case(case)
    draft = Draft.sent(request.form)
    if "add" in request.form:
        draft.people.append(Row())
        return _page(case, draft)
    consent = draft.check(practitioner().now(parts().clock), _custom(), parts().service)
    if consent is None:
        return _page(case, draft), 400
    # The permit was made from another consent.
    parts().recorder.end_filming(case)
    opened.write(consent)
    end_what_is_not_agreed(opened, consent.event_time)
    # Everybody here has just been asked.
    practitioner().here[case] = consent.record_id
    parts().note("consent-written", case=case, record=consent.record_id)
    return redirect(url_for("cases.one", case=case), 303)


@pages.get("/receipt")
def receipt(case: str) -> ResponseReturnValue:
    opened = open_case(case)
    consent = consent_of(opened)
    if consent is None:
        abort(404)
    return case_page(
        "receipt.html",
        opened,
        consent=consent,
        purposes=purposes_in_words(),
        remove_by=consent.valid_until + timedelta(days=consent.retention_period),
        fingerprint=fingerprint(opened),
        qr=_qr(opened, consent),
    )


def _custom() -> bool:
    """True if a film may have any length: where a scene replaces the camera, for demonstrations."""
    return parts().config.camera == "scene"


def fingerprint(case: OpenCase) -> str:
    """The fingerprint of the case's key, for the family to compare."""
    digits = recipient_digest(case.record.recipient)[:20]
    return " ".join(digits[at : at + 4] for at in range(0, 20, 4))


def _qr(case: OpenCase, consent: Consent) -> Markup:
    """A code on the receipt, for a phone to read: no name and no address is in it."""
    lines = [
        _("Receipt for a consent to filming"),
        _("Case %(id)s", id=case.id),
        _("Fingerprint %(digits)s", digits=fingerprint(case)),
        _("Consent %(id)s", id=consent.record_id),
        _("Holds until the end of %(day)s", day=last_day_before(consent.valid_until)),
        _("To withdraw, tell your practitioner or the service this case. No reason is needed."),
    ]
    code = segno.make("\n".join(lines), error="m", micro=False)
    title = _("The case, its fingerprint and how to withdraw, for a telephone")
    return Markup(code.svg_inline(scale=3, svgclass="app-qr", title=title))  # noqa: S704
