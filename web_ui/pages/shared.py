"""What was shared with whoever is unlocked and lies on this kit, and the viewer for everybody else.

Nothing is said of the family: not its name, not whose case it is.
"""

from collections.abc import Iterator
from contextlib import suppress

from flask import Blueprint, Response, abort, render_template
from flask.typing import ResponseReturnValue

from appliance.age.unsealing import unseal
from appliance.casework.shares import Received
from appliance.errors import BadFile, NoMatch, NotOpened
from appliance.records.files import ID, paths_in, read_plain
from appliance.viewer import NAME, digest, viewer
from web_ui import answers
from web_ui.parts import parts
from web_ui.player.open_films import OpenedClip
from web_ui.player.ranges import play
from web_ui.session.access import data
from web_ui.session.current import practitioner

pages = Blueprint("shared", __name__, url_prefix="/shared")


@pages.get("")
def show() -> ResponseReturnValue:
    found = sorted(_every(), key=lambda one: (one.until, one.share))
    return render_template("shared.html", received=found, digest=digest())


@pages.get("/viewer.html")
def the_viewer() -> ResponseReturnValue:
    return answers.download(viewer(), NAME)


@pages.get("/<id:case>/<id:share>")
def one(case: str, share: str) -> ResponseReturnValue:
    found = _received(case, share)
    parts().note("share-watched", case=case, share=share)
    return render_template("shared-one.html", one=found)


@pages.get("/<id:case>/<id:share>/<name>")
@data
def file(case: str, share: str, name: str) -> Response:
    """A clip, in parts as a player asks for them, or a picture."""
    holder, clock, home = practitioner(), parts().clock, parts().home
    _listed(_received(case, share), name)
    path, keys = home.case(case).shares / share / name, holder.keys.identities
    parts().session.watched()
    if name.endswith(".jpg.age"):
        return answers.jpeg(unseal(read_plain(path), keys))

    def again() -> OpenedClip:
        # Asked for each piece: it ends with its day, and when the page is locked.
        _listed(holder.received(case, share, clock), name)
        return holder.viewing.received(case, path, keys)

    return play(again)


def _received(case: str, share: str) -> Received:
    """What is shared with whoever is unlocked. Answers 404 for anything else."""
    try:
        return practitioner().received(case, share, parts().clock)
    except NoMatch:
        abort(404)


def _listed(found: Received, name: str) -> None:
    """Raises NotOpened for a file that this share does not have."""
    if name not in {file.name for file in found.files}:
        raise NotOpened("There is no such clip in this share.")


def _every() -> Iterator[Received]:
    home = parts().home
    for case in paths_in(home.cases, ID):
        with suppress(BadFile, OSError):
            for share in paths_in(home.case(case.name).shares, ID):
                # Most are for others, and one that is damaged hides no other.
                with suppress(NoMatch, BadFile):
                    yield practitioner().received(case.name, share.name, parts().clock)
