"""Who is unlocked in this browser, and which case and film the request is about."""

from collections.abc import Callable
from contextlib import suppress

from flask import abort, g, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from appliance.casework.clips import Kept, shelf
from appliance.casework.reviews import Rating
from appliance.casework.service_settings import Service
from appliance.errors import BadFile, CaseWithdrawn, NoMatch
from appliance.film.recording import OpenedFilm
from appliance.protocol.enrolment import Enrolled
from appliance.vault.cases import UNREADABLE, Details, Goal, Goals, OpenCase
from web_ui.parts import parts
from web_ui.player.open_films import Playable, Viewing
from web_ui.session.access import this_page
from web_ui.session.unlocked import Practitioner
from web_ui.wording.language import _
from web_ui.wording.people import named, names_in, roster_here


def practitioner() -> Practitioner:
    """Who is unlocked in this browser. Only for views that are not open to others."""
    found: Practitioner | None = g.practitioner
    if found is None:
        abort(403)
    return found


def open_case(name: str) -> OpenCase:
    """The case of whoever is unlocked. Answers 404 for another practitioner's or none, 410 for a
    withdrawn one."""
    holder = practitioner()
    if not holder.knows(name):
        abort(404)
    try:
        return holder.case(name)
    except CaseWithdrawn:
        abort(410)
    except NoMatch:
        abort(404)


def open_to_take_back(name: str) -> OpenCase:
    """As `open_case`, but also for a damaged record: the family may still take the case back."""
    try:
        return open_case(name)
    except BadFile:
        return practitioner().case_to_close(name)


def enrolled_here() -> Enrolled:
    """Whom this kit obeys. Answers 404 while it is new."""
    enrolled = parts().enrolled
    if enrolled is None:
        abort(404)
    return enrolled


def name_of(card: str) -> str:
    """What a page calls whoever has the card of this name."""
    if "names" not in g:
        enrolled = parts().enrolled
        g.names = names_in(roster_here(parts().home, enrolled.chain) if enrolled else None)
    return named(card, g.names)


def contact() -> Service:
    """How to reach the service; nothing is said where its settings were damaged."""
    try:
        return parts().service
    except BadFile:
        return Service()


def details_of(case: OpenCase) -> Details:
    """The practitioner's name for a case; its id where that cannot be read, and then no check word
    that anybody could say."""
    with suppress(*UNREADABLE):
        found = case.read(Details)
        if found is not None:
            return found
    return Details(label=_("Family %(id)s", id=case.id[:4]), check_word="")


def goals_of(case: OpenCase) -> tuple[Goal, ...]:
    return (case.read(Goals) or Goals(goals=())).goals


def ratings_sent(goals: tuple[Goal, ...], scale: range) -> list[Rating]:
    """The ratings that were chosen in a form; a goal that was left out is not rated."""
    points = {str(value): value for value in scale}
    sent = ((goal, request.form.get(f"goal-{goal.id}", "")) for goal in goals)
    return [Rating(goal.id, goal.text, points[value]) for goal, value in sent if value in points]


def moments_sent(case: OpenCase) -> list[Kept]:
    """The moments that were ticked in a form; none if one of them is not there any more."""
    wanted = set(request.form.getlist("moments"))
    kept = [one for one in shelf(case).every if one.id in wanted]
    return kept if len(kept) == len(wanted) else []


def case_page(template: str, case: OpenCase, **told: object) -> str:
    """A page of a case, which says what the practitioner calls it."""
    return render_template(template, case=case, details=details_of(case), **told)


def ask_for_word(case: str) -> ResponseReturnValue | None:
    """Where to go first, unless the family of this case has said its word since the unlock."""
    if case in practitioner().word_said:
        return None
    return redirect(url_for("cases.word", case=case, then=this_page()), 303)


def what_is_wrong_with_word(case: OpenCase, said: str) -> str:
    """Compare what the family says with its word, in words what is wrong; '' if it is right, and
    then it is remembered until the page is locked or another family says its own."""
    word = details_of(case).check_word
    if word and _as_said(said) == _as_said(word):
        practitioner().word_said = {case.id}
        parts().note("word-said", case=case.id)
        return ""
    parts().note("word-wrong", case=case.id)
    return _("That is not this family's word. Check you have opened the right family.")


def _as_said(word: str) -> str:
    return " ".join(word.split()).casefold()


def opened_film(case: str, film: str) -> OpenedFilm:
    """A film of a case of whoever is unlocked."""
    return practitioner().viewing.film(open_case(case), film)


def again(case: str, pick: Callable[[Viewing, OpenCase], Playable]) -> Callable[[], Playable]:
    """What opens a film or clip, once more for each piece that is sent."""
    holder = practitioner()
    open_case(case)
    return lambda: pick(holder.viewing, holder.case(case))
