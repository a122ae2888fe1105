"""Moments chosen from films: marked, worded, put in order, set aside and brought back."""

import hashlib
import re
from fractions import Fraction

from flask import Blueprint, Response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from appliance.age.recipients import parse_recipient
from appliance.age.sealing import seal
from appliance.casework import clips
from appliance.casework.clips import Clip, Still, Words
from appliance.errors import BadInput
from appliance.records.files import ID, new_id, save
from web_ui.film_page import film_page
from web_ui.parts import parts
from web_ui.player.ranges import jpeg, play
from web_ui.session.access import data, local_path, practitioner
from web_ui.session.current import again, case_page, goals_of, open_case, opened_film
from web_ui.session.principles import keep_principles, principles_of, turns_in_words, words_sent
from web_ui.wording.language import _

LONGEST_CLIP = 300
"""Seconds: a clip is held in memory while it is cut."""
_PLACE = re.compile(r"(?:(?P<minutes>\d{1,4}):)?(?P<seconds>\d{1,6}(?:\.\d{1,9})?)")


pages = Blueprint("moments", __name__, url_prefix="/cases/<id:case>")


@pages.post("/films/<id:film>/clips")
def mark(case: str, film: str) -> ResponseReturnValue:
    """Keep a clip between two marks; `instead` of another one, if that is named."""
    holder, opened, clock = practitioner(), open_case(case), parts().clock
    before = request.form.get("instead", "")
    try:
        span = _span(opened_film(case, film).opened.film.seconds)
        known = opened.read(Clip, before) if ID.fullmatch(before) else None
        words = words_sent(
            opened, known.words if known else Words(), principles_of(parts(), holder)
        )
    except BadInput as error:
        return film_page(case, film, error), 400
    job = holder.work.make_clip(
        opened,
        film,
        span,
        words,
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
        if at >= view.opened.film.seconds:
            raise BadInput(
                _("That moment is not in this film."), _("Write a time before the film's end.")
            )
        shown, appeared = parts().apart.still(view, at)
    except BadInput as error:
        return film_page(case, film, error), 400
    sealed = seal(shown, [parse_recipient(opened.record.recipient)])
    scale = view.opened.film.frames.timescale
    still = Still(
        id=new_id(),
        recording=film,
        at=int(appeared * scale),
        scale=scale,
        size=len(sealed),
        sha256=hashlib.sha256(sealed).hexdigest(),
        made=practitioner().now(parts().clock),
    )
    save(clips.sealed_file(opened, still), sealed)
    opened.write(still, still.id)
    clips.choose(opened, still.id)
    parts().note("still-kept", case=case, recording=film, still=still.id)
    return redirect(url_for("films.show", case=case, film=film, _anchor="clips"), 303)


@pages.get("/clips/<id:clip>/video")
@data
def video(case: str, clip: str) -> Response:
    parts().seat.watched()
    return play(again(case, lambda viewing, opened: viewing.clip(opened, clip)))


@pages.get("/clips/<id:clip>/poster.jpg")
@data
def poster(case: str, clip: str) -> Response:
    """The first picture of a clip, shown until it plays."""
    opened = practitioner().viewing.clip(open_case(case), clip)
    return jpeg(parts().apart.still(opened, Fraction(0))[0])


@pages.get("/stills/<id:still>/picture.jpg")
@data
def kept_picture(case: str, still: str) -> Response:
    return jpeg(practitioner().viewing.kept_picture(open_case(case), still))


@pages.route("/moments/<id:moment>", methods=["GET", "POST"])
def words(case: str, moment: str) -> ResponseReturnValue:
    """What is said of a moment."""
    holder, opened = practitioner(), open_case(case)
    kept = clips.moment(opened, moment)
    listed = principles_of(parts(), holder)
    refused = None
    if request.method == "POST":
        try:
            clips.say(opened, moment, words_sent(opened, kept.words, listed))
            parts().note("moment-worded", case=case, moment=moment)
            return redirect(_back(case, moment), 303)
        except BadInput as error:
            refused = error
    page = case_page(
        "moment.html",
        opened,
        kept=kept,
        goals=goals_of(opened),
        principles=listed.principles,
        turns=turns_in_words(),
        refused=refused,
        sent=request.form if refused else kept.words,
        back=_back(case, moment),
    )
    return page, 400 if refused else 200


@pages.post("/moments/<id:moment>/place")
def place(case: str, moment: str) -> ResponseReturnValue:
    """Move a moment: `to` is up, down, out of the choice, or back into it."""
    opened = open_case(case)
    clips.moment(opened, moment)
    to = request.form.get("to", "")
    if to in ("up", "down"):
        clips.move(opened, moment, -1 if to == "up" else 1)
    elif to == "out":
        clips.take_out(opened, moment)
    elif to == "back":
        clips.choose(opened, moment)
    else:
        raise BadInput(_("That was not one of the answers."))
    parts().note("moment-placed", case=case, moment=moment, to=to)
    return redirect(_back(case, moment), 303)


@pages.post("/jobs/<id:job>/give-up")
def give_up(case: str, job: str) -> ResponseReturnValue:
    """Do not make this clip after all."""
    opened = open_case(case)
    practitioner().work.give_up(case, job)
    clips.take_out(opened, job)
    return redirect(_back(case, job), 303)


@pages.route("/principles", methods=["GET", "POST"])
def principles(case: str) -> ResponseReturnValue:
    """The list that the practitioner chooses from, a principle a line."""
    holder, opened = practitioner(), open_case(case)
    refused = None
    if request.method == "POST":
        try:
            keep_principles(parts(), holder, request.form.get("principles", ""))
            return redirect(_back(case, ""), 303)
        except BadInput as error:
            refused = error
    listed = "\n".join(principles_of(parts(), holder).principles)
    page = case_page(
        "principles.html",
        opened,
        listed=request.form["principles"] if refused else listed,
        refused=refused,
        back=_back(case, ""),
    )
    return page, 400 if refused else 200


def _back(case: str, moment: str) -> str:
    """The page that this form was on, at the moment it was about."""
    wanted = local_path(request.values.get("back", ""))
    there = wanted if wanted.startswith(f"/cases/{case}/") else url_for("cases.one", case=case)
    return f"{there.partition('#')[0]}#moment-{moment}" if moment else there


def _span(length: Fraction) -> tuple[Fraction, Fraction]:
    """The marks that were sent, in seconds. Raises BadInput, in words, for what are no marks."""
    start, end = (_seconds(request.form.get(name, "")) for name in ("start", "end"))
    if not 0 <= start < end or start >= length:
        raise BadInput(
            _("The marks are not in order, or not in this film."),
            _("Set where the moment begins, then where it ends."),
        )
    if end - start > LONGEST_CLIP:
        raise BadInput(
            _("A clip can be at most %(minutes)s minutes long.", minutes=LONGEST_CLIP // 60),
            _("Choose the part in which it happens; a minute is usually plenty."),
        )
    return start, min(end, length)


def _seconds(text: str) -> Fraction:
    """'75.5' or '1:15.5' in seconds. Raises BadInput."""
    found = _PLACE.fullmatch(text.strip().replace(",", "."))
    if not found:
        raise BadInput(
            _("The time could not be read."),
            _("Write minutes and seconds, such as 1:15.5, or seconds, such as 75.5."),
        )
    return 60 * Fraction(found["minutes"] or 0) + Fraction(found["seconds"])
