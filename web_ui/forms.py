"""What the page's forms have in common: WTForms fields, checked here, drawn by `forms.html`."""

from collections.abc import Callable
from typing import IO, Any
from urllib.parse import parse_qsl

import flask
from flask import Flask, request
from flask_wtf import FlaskForm
from werkzeug.formparser import FormDataParser
from wtforms import Field
from wtforms.validators import ValidationError

from appliance.errors import BadInput
from web_ui.wording.language import _

_NOT_KEPT = frozenset("\0\N{REPLACEMENT CHARACTER}")
"""What no page can show: HTML has no NUL, and the other stands for what did not arrive."""

Validator = Callable[[Any, Field], None]


class Form(FlaskForm):  # type: ignore[misc]
    """A form of the page. CSRF is checked for every POST before a form is looked at."""

    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        csrf = False


class _Parser(FormDataParser):
    """Marks bytes that are no text, half a surrogate for instance, as those of a multipart form are
    marked: Werkzeug would put other letters in their place, and nobody would hear of it."""

    def _parse_urlencoded(self, stream: IO[bytes], *_about: Any) -> Any:
        sent = stream.read().decode(errors="replace")
        return (
            stream,
            self.cls(parse_qsl(sent, keep_blank_values=True, errors="replace")),
            self.cls(),
        )


class Request(flask.Request):
    """What a browser sent, with its forms read by `_Parser`."""

    form_data_parser_class = _Parser


def install(app: Flask) -> None:
    """Every form: a text is kept with all its letters, or refused."""

    @app.before_request
    def refuse_what_cannot_be_kept() -> None:
        if any(_NOT_KEPT.intersection(text) for _name, text in request.form.items(multi=True)):
            raise BadInput(
                _("A letter of what was written cannot be kept, so nothing was."),
                _("Go back, write that text again instead of pasting it, then send it."),
            )


def needed(sentence: Callable[[], str]) -> Validator:
    """Refuse an empty field, with a sentence that says what to do."""

    def check(form: Form, field: Field) -> None:
        if not field.data or (isinstance(field.data, str) and not field.data.strip()):
            raise ValidationError(sentence())

    return check


def at_most(characters: int) -> Validator:
    """Refuse more than that many characters."""

    def check(form: Form, field: Field) -> None:
        if field.data and len(field.data) > characters:
            raise ValidationError(_("Use at most %(count)s characters.", count=characters))

    return check


def stripped(value: str | None) -> str:
    """A filter: text without the blanks around it."""
    return (value or "").strip()


def page_asked() -> int:
    """Which page of a long list is asked for, from 1: 1 for what is no number."""
    number = request.args.get("page", "1")
    return max(int(number), 1) if number.isdecimal() and len(number) < 5 else 1
