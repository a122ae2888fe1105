"""The page put together: its parts, and its pages as one Flask application."""

import importlib.util
import mimetypes
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask, Response, abort, g, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import Babel
from flask_wtf import CSRFProtect
from jinja2 import ChainableUndefined, ChoiceLoader, FileSystemLoader, PackageLoader
from werkzeug.routing import BaseConverter
from werkzeug.security import safe_join

from appliance.casework.consent import drawn_height
from appliance.casework.importing import clear_unfinished
from appliance.casework.withdrawal import finish_everything
from appliance.config import Config
from appliance.records.audit import Log
from appliance.records.clock import Clock
from appliance.vault.cases import Cases
from web_ui import errors, forms
from web_ui.pages import (
    arming,
    cases,
    clock,
    consent,
    copies,
    course,
    factory_reset,
    films,
    forgotten_passphrase,
    forks,
    help,
    importing,
    log,
    moments,
    review,
    sending,
    service,
    setup,
    shared,
    shares,
    status,
    team,
    this_kit,
    unlock,
    visit,
    withdrawal,
)
from web_ui.parts import Parts, parts
from web_ui.recorder import Recorder
from web_ui.session import access
from web_ui.session.current import contact, name_of
from web_ui.session.enrolment import Enrolment
from web_ui.session.session import Session
from web_ui.system.power import power_off
from web_ui.system.usb_sticks import Sticks, Udisks
from web_ui.wording import times
from web_ui.wording.language import CATALOGUES, locale, told
from web_ui.wording.status_line import ended_in_words

HERE = Path(__file__).parent
PAGES = (
    setup,
    unlock,
    forgotten_passphrase,
    cases,
    consent,
    arming,
    visit,
    films,
    importing,
    moments,
    review,
    service,
    course,
    forks,
    copies,
    shares,
    shared,
    team,
    withdrawal,
    log,
    sending,
    status,
    this_kit,
    clock,
    factory_reset,
    help,
)
LARGEST_FORM = 256 * 1024
"""Bytes of a request; the largest form carries a key file."""


class _Id(BaseConverter):
    """An id in a URL; anything else is not found."""

    regex = "[a-z2-7]{16}"


def build_parts(
    config: Config,
    clock: Clock,
    sticks: Sticks | None = None,
    power_off: Callable[[], None] = power_off,
    start_anew: Callable[[], None] | None = None,
) -> Parts:
    """The parts of the page for these settings. Finishes what a power cut left undone."""
    home = config.places
    log = Log(home.log("web"), clock)
    recorder = Recorder(home, clock, log)
    cases = Cases(home, lambda: recorder.now(recorder.status()) or clock.read().wall)
    for case in finish_everything(home):
        # The page starts all the same; the certificate of this case says that it is not finished.
        log.write("withdrawal-unfinished", case=case)
    clear_unfinished(home)
    return Parts(
        home=home,
        config=config,
        clock=clock,
        log=log,
        recorder=recorder,
        session=Session(clock),
        enrolment=Enrolment(home, clock, recorder),
        cases=cases,
        sticks=sticks or Sticks(Udisks()),
        power_off=power_off,
        start_anew=start_anew,
    )


def create_app(parts: Parts, language: str = "en", translations: Path = CATALOGUES) -> Flask:
    """The page of one kit, in a language whose catalogue is in `translations`."""
    app = Flask(__name__, static_folder=None)
    app.config.update(
        SECRET_KEY=secrets.token_bytes(32),
        SESSION_COOKIE_NAME="__Host-attune",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Strict",
        MAX_CONTENT_LENGTH=LARGEST_FORM,
        MAX_FORM_MEMORY_SIZE=LARGEST_FORM,
        # A token lasts as long as its session, which ends with the process; `access` checks where
        # a form comes from.
        WTF_CSRF_TIME_LIMIT=None,
        WTF_CSRF_SSL_STRICT=False,
        PREFERRED_URL_SCHEME="https",
    )
    _use_templates(app)
    app.url_map.converters["id"] = _Id
    Babel(app, default_locale=language, default_translation_directories=str(translations))
    app.extensions["attune"] = parts
    access.install(app, parts)
    importing.install(app)
    CSRFProtect(app)
    forms.install(app)
    errors.install(app, parts)
    app.add_url_rule("/", view_func=home)
    app.add_url_rule("/assets/<path:name>", view_func=assets)
    for page in PAGES:
        app.register_blueprint(page.pages)
    virtual = has_virtual_kit(parts)
    if virtual:
        from web_ui.pages import virtual as virtual_kit

        app.register_blueprint(virtual_kit.pages)

    @app.before_request
    def remember() -> None:
        # The kit may change while a page is made of it. Such a page is out of date as it arrives,
        # and its marker has to say so: it is older than whatever the view looks at.
        if not access.is_for_scripts(app):
            g.follow = status.marker(parts.recorder.status())

    @app.context_processor
    def common() -> dict[str, Any]:
        line = status.line(parts.recorder.status())
        return {
            "line": line,
            "virtual": virtual,
            "language": locale(),
            "this_page": access.this_page,
            "help_part": help.part_here(),
            "contact": contact,
        }

    return app


def _use_templates(app: Flask) -> None:
    app.jinja_options = {
        # The macros of the design system are .jinja files, which Flask would not escape.
        "autoescape": True,
        "undefined": ChainableUndefined,
        "loader": ChoiceLoader(
            [FileSystemLoader(HERE / "templates"), PackageLoader("nhsuk_frontend_jinja")]
        ),
        "trim_blocks": True,
        "lstrip_blocks": True,
    }
    app.jinja_env.filters.update(
        day_in_words=times.day_in_words,
        drawn_height=drawn_height,
        called=name_of,
        ended=ended_in_words,
        exact=times.exact,
        lasting=times.length,
        listed=times.day_and_time,
        last_day=times.last_day_before,
        stamp=times.stamp,
        told=told,
        until_words=times.until_words,
        when=times.in_words,
    )


def has_virtual_kit(parts: Parts) -> bool:
    """True where a scene replaces the camera; never in the package of a real kit."""
    there = importlib.util.find_spec("web_ui.pages.virtual") is not None
    return parts.config.camera == "scene" and there


@access.anyone
def home() -> ResponseReturnValue:
    return redirect(url_for("setup.show" if parts().enrolled is None else "cases.show"), 303)


@access.anyone
@access.data
def assets(name: str) -> ResponseReturnValue:
    found = safe_join(str(HERE / "static"), name)
    if found is None or not Path(found).is_file():
        abort(404)
    packed = Path(f"{found}.gz")
    smaller = request.accept_encodings["gzip"] > 0 and packed.is_file()
    # Small, so read whole: a slow browser holds no thread.
    data = (packed if smaller else Path(found)).read_bytes()
    answer = Response(data, mimetype=mimetypes.guess_type(name)[0])
    if smaller:
        answer.headers["Content-Encoding"] = "gzip"
    answer.vary.add("Accept-Encoding")
    answer.headers["Cache-Control"] = "no-cache"
    answer.add_etag()
    return answer.make_conditional(request)
