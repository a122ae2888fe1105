"""Help: the guide on the kit, readable by anybody who reaches it, locked or not, and offline."""

from types import MappingProxyType

from flask import Blueprint, Response, abort, render_template, request
from flask.typing import ResponseReturnValue

from appliance.protocol.status import Pattern
from web_ui.session.access import anyone, data
from web_ui.wording import guide, light
from web_ui.wording.language import _
from web_ui.wording.status_line import lamp_in_words

LIGHT, REFUSED = "light", "refused"
PART_OF = MappingProxyType(
    {
        "setup": "set-up",
        "unlock": "visit",
        "forgotten": "forgotten",
        "cases": "visit",
        "consent": "visit",
        "arming": "visit",
        "visit": "visit",
        "films": "moments",
        "importing": "import",
        "moments": "moments",
        "review": "review",
        "service": "set-up",
        "course": "review",
        "forks": "two-kits",
        "copies": "copies",
        "shares": "copies",
        "shared": "copies",
        "team": "set-up",
        "withdraw": "withdraw",
        "log": "base",
        "sending": "base",
        "status": LIGHT,
        "this_kit": "off",
        "this_kit.label": LIGHT,
        "correcting": REFUSED,
        "resetting": "off",
        "help": LIGHT,
        "virtual": LIGHT,
    }
)
"""The part that helps with each page: of one address before that of all its module's."""

pages = Blueprint("help", __name__)


def part_here() -> str:
    """The part that helps with the page that was asked for. What is no page was refused."""
    endpoint, module = request.endpoint or "", request.blueprint or ""
    return PART_OF.get(endpoint) or PART_OF.get(module, REFUSED)


@pages.get("/help")
@anyone
def show() -> ResponseReturnValue:
    titles = {name: _(part.title) for name, part in guide.parts().items()}
    return render_template("help.html", titles=titles)


@pages.get("/help/<part>")
@anyone
def read(part: str) -> ResponseReturnValue:
    known = guide.parts()
    if part not in known:
        abort(404)
    found = known[part]
    lamps = [(one, lamp_in_words(one), light.picture(one)) for one in Pattern]
    return render_template(
        "help-part.html",
        heading=_(found.title),
        # The light's own table is drawn, not read.
        words=found.html(_, tables=part != LIGHT),
        lamps=lamps if part == LIGHT else (),
    )


@pages.get("/assets/light.css")
@anyone
@data
def style() -> ResponseReturnValue:
    """The light's patterns in motion."""
    answer = Response(light.css(), mimetype="text/css")
    answer.headers["Cache-Control"] = "no-cache"
    answer.add_etag()
    return answer.make_conditional(request)
