"""The page of a film; also shown again with what was refused of a moment's form."""

from fractions import Fraction

from flask import request

from appliance.casework.clips import Clip, marks_of, shelf
from appliance.errors import BadInput
from web_ui.parts import parts
from web_ui.session.access import practitioner
from web_ui.session.current import case_page, goals_of, open_case, opened_film
from web_ui.session.principles import principles_of, turns_in_words
from web_ui.wording.times import exact

REACH_BACK, REACH_ON = 8, 6
"""Seconds that 'that was it' takes from before and after the moment it is pressed."""


def film_page(case: str, film: str, refused: BadInput | None = None) -> str:
    """The page of a film; with what was `refused` of a form that was sent to it."""
    holder, opened, view = practitioner(), open_case(case), opened_film(case, film)
    stands = shelf(opened)
    marked = [at for at in marks_of(opened, film) if at < view.opened.film.seconds]
    asked = request.values.get("instead", "")
    instead = next((one for one in stands.chosen if one.id == asked), None)
    return case_page(
        "film.html",
        opened,
        film=view.opened,
        id=film,
        goals=goals_of(opened),
        principles=principles_of(parts(), holder).principles,
        turns=turns_in_words(),
        shelf=stands,
        many=sum(isinstance(one, Clip) for one in stands.chosen) > parts().service.clips,
        long_clip=parts().service.clip_seconds,
        jobs=holder.work.jobs(case),
        instead=instead if isinstance(instead, Clip) and instead.recording == film else None,
        reach=(REACH_BACK, REACH_ON),
        marked=marked,
        refused=refused,
        sent=request.form or _marks_sent(view.opened.film.seconds),
    )


def _marks_sent(length: Fraction) -> dict[str, str]:
    """Where a moment begins and ends that was marked while filming, for the fields of the form."""
    try:
        at = Fraction(float(request.args.get("marked", "")))
    except (ValueError, OverflowError):
        return {}
    return {
        "start": exact(max(Fraction(0), at - REACH_BACK)),
        "end": exact(max(Fraction(0), min(length, at + REACH_ON))),
    }
