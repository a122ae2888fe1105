"""A film of a case: its page, playing it, its filmstrip, and the moments that are marked in it."""

import base64
import hashlib
import re
from fractions import Fraction
from itertools import chain, pairwise

from flask import Blueprint, Response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from appliance.age.recipients import parse_recipient
from appliance.age.sealing import seal
from appliance.casework import clips
from appliance.casework.clips import Clip, Still, Words
from appliance.errors import BadInput
from appliance.film import boxes
from appliance.film.recording import OpenedFilm
from appliance.records.files import ID, new_id, save
from web_ui.answers import jpeg
from web_ui.parts import parts
from web_ui.player.filmstrip import read_filmstrip
from web_ui.player.ranges import play
from web_ui.session.access import data
from web_ui.session.current import again, case_page, goals_of, open_case, opened_film, practitioner
from web_ui.session.principles import principles_of, turns_in_words, words_sent
from web_ui.wording.language import _
from web_ui.wording.times import exact

REACH_BACK, REACH_ON = 8, 6
"""Seconds before and after the press of 'that was it' that the moment takes."""
LONGEST_CLIP = 300
"""Seconds: a clip is held in memory while it is cut."""
_PLACE = re.compile(r"(?:(?P<minutes>\d{1,4}):)?(?P<seconds>\d{1,6}(?:\.\d{1,9})?)")


pages = Blueprint("films", __name__, url_prefix="/cases/<id:case>")


@pages.get("/films/<id:film>")
def show(case: str, film: str) -> ResponseReturnValue:
    return _page(case, film)


@pages.get("/films/<id:film>/video")
@data
def video(case: str, film: str) -> Response:
    parts().session.watched()
    return play(again(case, lambda viewing, opened: viewing.film(opened, film).film))


@pages.get("/films/<id:film>/poster.jpg")
@data
def poster(case: str, film: str) -> Response:
    """The first picture, shown until the film plays."""
    return jpeg(parts().apart.still(opened_film(case, film).film, Fraction(0))[0])


@pages.get("/films/<id:film>/frames.json")
@data
def frames(case: str, film: str) -> ResponseReturnValue:
    """When each frame is shown: ticks in a second, the first tick, then pairs of count and
    length."""
    table = opened_film(case, film).film.frames
    edges = pairwise(chain(table.ticks, (table.end_ticks,)))
    steps = boxes.counted(after - shown for shown, after in edges)
    return {"scale": table.timescale, "first": table.ticks[0], "steps": list(steps)}


@pages.get("/films/<id:film>/glance.json")
@data
def filmstrip(case: str, film: str) -> ResponseReturnValue:
    """The filmstrip and how loud the film is when; 202 and the job while it is being made."""
    holder, opened = practitioner(), open_case(case)
    found = read_filmstrip(opened, film, opened_film(case, film).film.etag)
    if found is not None:
        return {
            "seconds": found.seconds,
            "pictures": [base64.b64encode(one).decode() for one in found.pictures],
            "loud": list(found.loud),
        }
    job = holder.work.look_through(
        opened, film, lambda: holder.viewing.lend(opened, film), parts().apart
    )
    return {"job": job.id, "failed": job.state == "failed"}, 202


@pages.post("/films/<id:film>/clips")
def mark(case: str, film: str) -> ResponseReturnValue:
    """Keep a clip between two marks; `instead` of another one, if that is named."""
    holder, opened, clock = practitioner(), open_case(case), parts().clock
    before = request.form.get("instead", "")
    try:
        view = opened_film(case, film)
        span = _span(view.film.seconds)
        known = opened.read(Clip, before) if ID.fullmatch(before) else None
        words = words_sent(
            opened, known.words if known else Words(), principles_of(parts(), holder)
        )
    except BadInput as error:
        return _page(case, film, error), 400
    job = holder.work.make_clip(
        opened,
        film,
        span,
        words,
        _is_of_review(view),
        lambda: holder.viewing.lend(opened, film),
        lambda: holder.now(clock),
        parts().apart,
    )
    clips.choose(opened, job.id, before)
    parts().note("clip-asked", case=case, recording=film, clip=job.id)
    return redirect(url_for("films.show", case=case, film=film, _anchor="clips"), 303)


@pages.post("/films/<id:film>/stills")
def keep_picture(case: str, film: str) -> ResponseReturnValue:
    """Keep the picture that is seen at one moment."""
    opened = open_case(case)
    try:
        view = opened_film(case, film)
        at = _seconds(request.form.get("at", ""))
        if at >= view.film.seconds:
            raise BadInput(
                _("That time is not in this film."), _("Enter a time before the end of the film.")
            )
        shown, appeared = parts().apart.still(view.film, at)
    except BadInput as error:
        return _page(case, film, error), 400
    sealed = seal(shown, [parse_recipient(opened.record.recipient)])
    scale = view.film.frames.timescale
    still = Still(
        id=new_id(),
        recording=film,
        at=int(appeared * scale),
        scale=scale,
        size=len(sealed),
        sha256=hashlib.sha256(sealed).hexdigest(),
        made=practitioner().now(parts().clock),
        of_review=_is_of_review(view),
    )
    save(clips.sealed_file(opened, still), sealed)
    opened.write(still, still.id)
    clips.choose(opened, still.id)
    parts().note("still-kept", case=case, recording=film, still=still.id)
    return redirect(url_for("films.show", case=case, film=film, _anchor="clips"), 303)


def _page(case: str, film: str, refused: BadInput | None = None) -> str:
    """The page of a film, and why a form sent to it was `refused`."""
    holder, opened, view = practitioner(), open_case(case), opened_film(case, film)
    stands, of_review = clips.shelf(opened), _is_of_review(view)
    marked = [at for at in clips.marks_of(opened, film) if at < view.film.seconds]
    asked = request.values.get("instead", "")
    instead = next((one for one in stands.chosen if one.id == asked), None)
    return case_page(
        "film.html",
        opened,
        film=view,
        id=film,
        goals=goals_of(opened),
        principles=principles_of(parts(), holder).principles,
        turns=turns_in_words(),
        shelf=stands.of_review(film) if of_review else stands.for_family(),
        of_review=of_review,
        many=sum(isinstance(one, Clip) for one in stands.chosen) > parts().service.clips,
        long_clip=parts().service.clip_seconds,
        jobs=[job for job in holder.work.jobs(case) if job.of_review is of_review],
        instead=instead if isinstance(instead, Clip) and instead.recording == film else None,
        reach=(REACH_BACK, REACH_ON),
        marked=marked,
        refused=refused,
        sent=request.form or _marks_sent(view.film.seconds),
    )


def _is_of_review(view: OpenedFilm) -> bool:
    return view.manifest.started.kind == "review"


def _marks_sent(length: Fraction) -> dict[str, str]:
    """The form's fields for a moment that was marked while filming."""
    try:
        at = Fraction(float(request.args.get("marked", "")))
    except (ValueError, OverflowError):
        return {}
    return {
        "start": exact(max(Fraction(0), at - REACH_BACK)),
        "end": exact(max(Fraction(0), min(length, at + REACH_ON))),
    }


def _span(length: Fraction) -> tuple[Fraction, Fraction]:
    """The marks that were sent, in seconds. Raises BadInput, in words, for what are no marks."""
    start, end = (_seconds(request.form.get(name, "")) for name in ("start", "end"))
    if not 0 <= start < end or start >= length:
        raise BadInput(
            _("The start must be before the end, and both must be in the film."),
            _("Set the start, then the end."),
        )
    if end - start > LONGEST_CLIP:
        raise BadInput(
            _("A clip can be up to %(minutes)s minutes long.", minutes=LONGEST_CLIP // 60),
            _("Choose the part where it happens. A minute is usually plenty."),
        )
    return start, min(end, length)


def _seconds(text: str) -> Fraction:
    """'75.5' or '1:15.5' in seconds. Raises BadInput."""
    found = _PLACE.fullmatch(text.strip().replace(",", "."))
    if not found:
        raise BadInput(
            _("Enter a time."),
            _("Enter a time in minutes and seconds, like 1:15.5"),
        )
    return 60 * Fraction(found["minutes"] or 0) + Fraction(found["seconds"])
