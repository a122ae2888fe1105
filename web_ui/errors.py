"""Errors as pages: what happened, why, and what to do. Never a traceback."""

import logging

from flask import Flask, g, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from appliance.errors import (
    BadInput,
    CaseWithdrawn,
    Incomplete,
    KitError,
    NoMatch,
    NotOpened,
    NotPossible,
    frames,
)
from web_ui.parts import Parts
from web_ui.session.session import Taken, TooSoon
from web_ui.wording.language import _, in_words

_log = logging.getLogger(__name__)

# The first that fits.
_STATUS: tuple[tuple[type[KitError], int], ...] = (
    (TooSoon, 429),
    (Taken, 409),
    (CaseWithdrawn, 410),
    (NoMatch, 404),
    (NotOpened, 403),
    (BadInput, 400),
    (Incomplete, 409),
    (NotPossible, 503),
)


def status_of(error: KitError) -> int:
    """The HTTP status that goes with an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def install(app: Flask, parts: Parts) -> None:
    """Turn every error into a page."""

    @app.errorhandler(KitError)
    def refuse(error: KitError) -> ResponseReturnValue:
        # Only for a practitioner: a stranger could fill the card with refusals.
        if g.get("practitioner"):
            parts.note("refused", code=error.code)
        # A damaged document may break every page of a case: offer the one that takes the case back.
        about = request.view_args or {}
        case = about.get("case", "") if isinstance(error, BadInput | Incomplete) else ""
        return _page(status_of(error), _("That did not work"), *in_words(error), case)

    @app.errorhandler(OSError)
    def refuse_for_the_card(error: OSError) -> ResponseReturnValue:
        return _page(
            503,
            _("The memory card could not save this"),
            _("Nothing has changed: %(why)s.", why=error.strerror or type(error).__name__),
            _("The memory card may be full or worn out. Tell the person who looks after this kit."),
        )

    @app.errorhandler(CSRFError)
    def out_of_date(error: CSRFError) -> ResponseReturnValue:
        return _page(
            400,
            _("This form is out of date"),
            _("The page locked or restarted after you opened this form, so nothing was saved."),
            _("Go back, reload the page and fill in the form again."),
        )

    @app.errorhandler(HTTPException)
    def refuse_request(error: HTTPException) -> ResponseReturnValue:
        code = error.code or 500
        title, sentence, hint = _http_words(code)
        own_words = error.description != type(error).description and error.description
        answer = _page(code, title, own_words or sentence, hint)
        if isinstance(answer, tuple) and error.get_response().headers.get("Allow"):
            return (*answer, {"Allow": error.get_response().headers["Allow"]})
        return answer

    @app.errorhandler(Exception)
    def fail(error: Exception) -> ResponseReturnValue:
        _log.error("%s in %s", frames(error), request.endpoint)
        return _page(
            500,
            _("Sorry, there is a problem with the kit"),
            _("Anything you saved before is safe. Try again."),
            _("If it happens again, tell your service what you were doing."),
        )


def _http_words(code: int) -> tuple[str, str, str]:
    if code == 404:
        return (
            _("Page not found"),
            _("If you typed the address, check it is correct."),
            _("Go back to the list of families."),
        )
    if code == 410:
        return (
            _("The family has withdrawn consent"),
            _("The family has withdrawn consent. Nothing of theirs can be opened any more."),
            _("The family's certificate says what was deleted."),
        )
    if code == 403:
        return (_("Not allowed"), _("The page is locked."), _("Unlock it, then try again."))
    if code == 413:
        return (
            _("This is too big"),
            _("That file is too big."),
            _("Check that you chose the right file."),
        )
    return (
        _("That did not work"),
        _("Something was missing or not recognised."),
        _("Go back, reload the page and try again."),
    )


def _page(status: int, title: str, sentence: str, hint: str, case: str = "") -> ResponseReturnValue:
    # A request may be refused before anybody looks who sent it.
    g.setdefault("practitioner", None)
    g.setdefault("paired", False)
    try:
        case = case if g.practitioner else ""
        page = render_template("error.html", title=title, sentence=sentence, hint=hint, case=case)
        return page, status
    except Exception as error:
        _log.error("%s while showing an error", frames(error))
        return f"{title}\n{sentence}\n{hint}\n", status, {"Content-Type": "text/plain"}
