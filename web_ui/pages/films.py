"""A film of a case: playing it, and what it looks and sounds like at a glance."""

import base64
from fractions import Fraction
from itertools import chain, pairwise

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from appliance.film import boxes
from web_ui.film_page import film_page
from web_ui.parts import parts
from web_ui.player.filmstrip import read_glance
from web_ui.player.ranges import jpeg, play
from web_ui.session.access import data, practitioner
from web_ui.session.current import again, open_case, opened_film

pages = Blueprint("films", __name__, url_prefix="/cases/<id:case>")


@pages.get("/films/<id:film>")
def show(case: str, film: str) -> ResponseReturnValue:
    return film_page(case, film)


@pages.get("/films/<id:film>/video")
@data
def video(case: str, film: str) -> Response:
    parts().seat.watched()
    return play(again(case, lambda viewing, opened: viewing.film(opened, film)))


@pages.get("/films/<id:film>/poster.jpg")
@data
def poster(case: str, film: str) -> Response:
    """The first picture, shown until the film plays."""
    return jpeg(parts().apart.still(opened_film(case, film), Fraction(0))[0])


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
        opened, film, lambda: holder.viewing.lend(opened, film), parts().apart
    )
    return {"job": job.id, "failed": job.state == "failed"}, 202
