"""What two kits wrote of one case without knowing of each other: one tap keeps one."""

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from appliance.casework.forks import forks, has_two_consents, keep
from appliance.errors import BadFile, NoMatch
from appliance.vault.cases import OpenCase, Team, stem_of
from web_ui.parts import parts
from web_ui.session.current import case_page, open_case, practitioner
from web_ui.session.forks import shown_forks
from web_ui.wording.language import _

pages = Blueprint("forks", __name__, url_prefix="/cases/<id:case>/forks")


@pages.get("")
def show(case: str) -> ResponseReturnValue:
    return _page(open_case(case), "")


@pages.post("")
def choose(case: str) -> ResponseReturnValue:
    """Keep one of both."""
    opened = open_case(case)
    name, item, digest = (request.form.get(field, "") for field in ("name", "item", "keep"))
    try:
        keep(opened, name, item, digest)
    except (NoMatch, BadFile):
        return _page(opened, _("Someone has already chosen. Check the page again.")), 400
    if name == stem_of(Team):
        # The permit is for the key of those who worked here until now.
        parts().recorder.disarm(case)
    practitioner().forget(case)
    parts().note("fork-settled", case=case)
    there = "forks.show" if forks(open_case(case)) else "cases.one"
    return redirect(url_for(there, case=case), 303)


def _page(opened: OpenCase, error: str) -> str:
    return case_page(
        "forks.html",
        opened,
        forks=shown_forks(opened),
        consents=has_two_consents(opened),
        error=error,
    )
