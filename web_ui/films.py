"""A film of a case: playing it, and what it looks and sounds like at a glance."""

import base64
from collections.abc import Callable
from fractions import Fraction
from itertools import chain, pairwise

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue

from appliance.casework.clips import Clip, marks_of, shelf
from appliance.errors import BadInput
from appliance.film import boxes
from appliance.vault.cases import Goals, OpenCase
from web_ui.access import data, practitioner
from web_ui.cases import details_of, open_case
from web_ui.glances import read_glance
from web_ui.parts import Parts
from web_ui.ranges import play
from web_ui.times import exact
from web_ui.viewing import OpenedView, Readable, Viewing
from web_ui.words import principles_of, turns_in_words

REACH_BACK, REACH_ON = 8, 6
"""Seconds that 'that was it' takes from before and after the moment it is pressed."""


def blueprint(parts: Parts) -> Blueprint:
    pages = Blueprint("films", __name__, url_prefix="/cases/<id:case>")

    @pages.get("/films/<id:film>")
    def show(case: str, film: str) -> ResponseReturnValue:
        return film_page(parts, case, film)

    @pages.get("/films/<id:film>/video")
    @data
    def video(case: str, film: str) -> Response:
        parts.seat.watched()
        return play(again(case, lambda viewing, opened: viewing.film(opened, film)))

    @pages.get("/films/<id:film>/poster.jpg")
    @data
    def poster(case: str, film: str) -> Response:
        """The first picture, shown until the film plays."""
        return jpeg(parts.apart.still(opened_film(case, film), Fraction(0))[0])

    @pages.get("/films/<id:film>/frames.json")
    @data
    def frames(case: str, film: str) -> ResponseReturnValue:
        """When each frame is shown: ticks a second, the first, then (how many, how long) pairs."""
        table = opened_film(case, film).opened.film.frames
        edges = pairwise(chain(table.ticks, (table.end_ticks,)))
        steps = boxes.counted(after - shown for shown, after in edges)
        return {"scale": table.timescale, "first": table.ticks[0], "steps": list(steps)}

    @pages.get("/films/<id:film>/glance.json")
    @data
    def glance(case: str, film: str) -> ResponseReturnValue:
        """The filmstrip and how loud it is when; 202 and the job while that is being made."""
        holder, opened = practitioner(), open_case(case)
        found = read_glance(opened, film, opened_film(case, film).etag)
        if found is not None:
            return {
                "seconds": found.seconds,
                "pictures": [base64.b64encode(one).decode() for one in found.pictures],
                "loud": list(found.loud),
            }
        job = holder.work.look_through(
            opened, film, lambda: holder.viewing.lend(opened, film), parts.apart
        )
        return {"job": job.id, "failed": job.state == "failed"}, 202

    return pages


def film_page(parts: Parts, case: str, film: str, refused: BadInput | None = None) -> str:
    """The page of a film; with what was `refused` of a form that was sent to it."""
    holder, opened, view = practitioner(), open_case(case), opened_film(case, film)
    stands = shelf(opened)
    marked = [at for at in marks_of(opened, film) if at < view.opened.film.seconds]
    asked = request.values.get("instead", "")
    instead = next((one for one in stands.chosen if one.id == asked), None)
    return render_template(
        "film.html",
        case=opened,
        details=details_of(opened),
        film=view.opened,
        id=film,
        goals=(opened.read(Goals) or Goals(goals=())).goals,
        principles=principles_of(parts, holder).principles,
        turns=turns_in_words(),
        shelf=stands,
        many=sum(isinstance(one, Clip) for one in stands.chosen) > parts.service.clips,
        long_clip=parts.service.clip_seconds,
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


def opened_film(case: str, film: str) -> OpenedView:
    """A film of a case of whoever is unlocked."""
    return practitioner().viewing.film(open_case(case), film)


def again(case: str, pick: Callable[[Viewing, OpenCase], Readable]) -> Callable[[], Readable]:
    """What opens a film or clip now and, for each piece that is sent, once more."""
    holder = practitioner()
    open_case(case)
    return lambda: pick(holder.viewing, holder.case(case))


def jpeg(picture: bytes) -> Response:
    return Response(picture, mimetype="image/jpeg")
