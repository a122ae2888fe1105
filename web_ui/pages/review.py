"""The shared review: the chosen moments on a screen for the family, and what they take from it.

The family's screen has no name, no note and no link to anything else. The practitioner's notes are
in a window of their own; the two windows talk to each other inside the browser.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from appliance.casework import clips
from appliance.casework.clips import Clip, shelf
from appliance.casework.consent import Consent, allows, consent_of, may_be_made
from appliance.casework.reviews import GoOn, Rating, Review, reviews_of
from appliance.records.files import ID, new_id
from appliance.vault.cases import Goal
from web_ui.forms import too_long
from web_ui.parts import parts
from web_ui.session.current import (
    ask_for_word,
    case_page,
    goals_of,
    open_case,
    practitioner,
    ratings_sent,
)
from web_ui.session.principles import turns_in_words
from web_ui.wording.language import _
from web_ui.wording.times import in_words, length

TEXT_LENGTH = 2000


@dataclass
class Closing:
    """The closing form as it was sent, and its errors by the name of the field."""

    strengths: str = ""
    next: str = ""
    ratings: tuple[Rating, ...] = ()
    go_on: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @classmethod
    def sent(cls, goals: tuple[Goal, ...], scale: range) -> "Closing":
        """What was filled in, checked."""
        closing = cls(
            strengths=request.form.get("strengths", "").strip(),
            next=request.form.get("next", "").strip(),
            ratings=tuple(ratings_sent(goals, scale)),
            go_on=request.form.get("go_on", ""),
        )
        for name in ("strengths", "next"):
            if problem := too_long(getattr(closing, name), TEXT_LENGTH):
                closing.errors[name] = problem
        if not closing.strengths and not closing.next:
            closing.errors["strengths"] = _("Enter what went well, or what you will try next")
        if closing.go_on not in going_on_in_words():
            closing.errors["go_on"] = _("Select what happens next")
        return closing


pages = Blueprint("review", __name__, url_prefix="/cases/<id:case>/review")


@pages.get("")
def prepare(case: str) -> ResponseReturnValue:
    """What is chosen, in order, before the family looks at it."""
    opened, now = open_case(case), practitioner().now(parts().clock)
    stands, agreed = shelf(opened), consent_of(opened)
    return case_page(
        "review.html",
        opened,
        shelf=stands.for_family(),
        goals=goals_of(opened),
        turns=turns_in_words(),
        jobs=[job for job in practitioner().work.jobs(case) if not job.of_review],
        many=sum(isinstance(one, Clip) for one in stands.chosen) > parts().service.clips,
        held=reviews_of(opened),
        online=_online(agreed, now),
        may_film=may_be_made(agreed, now, "review"),
        usual=length(60 * parts().service.review_minutes),
    )


@pages.get("/show")
def show(case: str) -> ResponseReturnValue:
    """The family's screen: the moments, one after the other, and nothing else."""
    parts().session.watched()
    opened = open_case(case)
    if first := ask_for_word(case):
        return first
    return render_template("review-show.html", case=opened, chosen=shelf(opened).chosen)


@pages.get("/notes")
def notes(case: str) -> ResponseReturnValue:
    """The practitioner's own window: their notes, and control of the family's screen."""
    opened = open_case(case)
    if first := ask_for_word(case):
        return first
    return case_page(
        "review-notes.html",
        opened,
        chosen=shelf(opened).chosen,
        goals=goals_of(opened),
        turns=turns_in_words(),
        online=_online(consent_of(opened), practitioner().now(parts().clock)),
    )


@pages.route("/close", methods=["GET", "POST"])
def close(case: str) -> ResponseReturnValue:
    """What was seen, what comes next, how near the goals are, whether to go on."""
    opened = open_case(case)
    goals, scale = goals_of(opened), parts().service.ratings
    closing = Closing.sent(goals, scale) if request.method == "POST" else Closing()
    # Named when the form is opened, so that a form sent twice is one review.
    name = request.form.get("review", "")
    if request.method == "GET" or closing.errors or not ID.fullmatch(name):
        page = render_template(
            "review-close.html",
            case=opened,
            closing=closing,
            review=new_id(),
            goals=goals,
            rated={rating.goal: rating.value for rating in closing.ratings},
            scale=scale,
            shown=shelf(opened).chosen,
            going_on=going_on_in_words(),
        )
        return page, 400 if closing.errors else 200
    review = opened.read(Review, name)
    shown = review.shown if review else tuple(kept.id for kept in shelf(opened).chosen)
    opened.write(
        Review(
            id=name,
            held=practitioner().now(parts().clock),
            shown=shown,
            strengths=closing.strengths,
            next=closing.next,
            ratings=closing.ratings,
            go_on=cast(GoOn, closing.go_on),
        ),
        name,
    )
    clips.begin_anew(opened)
    parts().note("review-closed", case=case, review=name)
    return redirect(url_for("review.record", case=case, review=name), 303)


@pages.get("/<id:review>")
def record(case: str, review: str) -> ResponseReturnValue:
    """A review as words for the written record."""
    opened = open_case(case)
    found = opened.read(Review, review)
    if found is None:
        abort(404)
    return render_template(
        "review-words.html", case=opened, words=in_plain_words(found, parts().service.ratings)
    )


def going_on_in_words() -> Mapping[GoOn, str]:
    """Each answer to 'shall we go on?'."""
    return {
        "yes": _("Another film and another review"),
        "not-now": _("Stop for now, perhaps more later"),
        "no": _("This was the last one"),
    }


def in_plain_words(review: Review, scale: range) -> str:
    """A review as text to copy. It has no names but those that somebody wrote into it."""
    said = [
        _("Shared review of %(when)s", when=in_words(review.held)),
        _("Clips watched: %(count)s", count=len(review.shown)),
    ]
    if review.strengths:
        said += ["", _("What went well:"), review.strengths]
    if review.next:
        said += ["", _("What we will try next:"), review.next]
    if review.ratings:
        said += ["", _("Goals, from %(low)s to %(high)s:", low=scale[0], high=scale[-1])]
        said += [f"- {rating.text}: {rating.value}" for rating in review.ratings]
    said += ["", _("What happens next: %(answer)s", answer=going_on_in_words()[review.go_on])]
    return "\n".join(said) + "\n"


def _online(consent: Consent | None, now: datetime) -> str:
    """Whether the family may be shown it over a video call: agreed, not-agreed or not-offered."""
    if "online-review" not in parts().service.offers:
        return "not-offered"
    return "agreed" if allows(consent, "online-review", now) else "not-agreed"
