"""Moments chosen from films: played, worded, put in order, set aside and brought back."""

from fractions import Fraction

from flask import Blueprint, Response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from appliance.casework import clips
from appliance.errors import BadInput
from web_ui.answers import jpeg
from web_ui.parts import parts
from web_ui.player.ranges import play
from web_ui.session.access import data, local_path
from web_ui.session.current import again, case_page, goals_of, open_case, practitioner
from web_ui.session.principles import keep_principles, principles_of, turns_in_words, words_sent
from web_ui.wording.language import _

pages = Blueprint("moments", __name__, url_prefix="/cases/<id:case>")


@pages.get("/clips/<id:clip>/video")
@data
def video(case: str, clip: str) -> Response:
    parts().session.watched()
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
    """The words for a moment."""
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
        raise BadInput(_("Select one of the options"))
    parts().note("moment-placed", case=case, moment=moment, to=to)
    return redirect(_back(case, moment), 303)


@pages.post("/jobs/<id:job>/give-up")
def give_up(case: str, job: str) -> ResponseReturnValue:
    """Give up making this clip."""
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
