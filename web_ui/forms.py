"""What the page's forms share. WTForms checks the fields; `forms.html` draws them."""

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
"""Characters that no page can show: HTML has no NUL; the other marks undecodable bytes."""

Validator = Callable[[Any, Field], None]


class Form(FlaskForm):  # type: ignore[misc]
    """A form of the page. Every POST has passed the CSRF check before."""

    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        csrf = False


class _Parser(FormDataParser):
    """Marks bytes that are not UTF-8 as Werkzeug does in multipart forms; in other forms it would
    silently replace them."""

    def _parse_urlencoded(self, stream: IO[bytes], *_about: Any) -> Any:
        sent = stream.read().decode(errors="replace")
        return (
            stream,
            self.cls(parse_qsl(sent, keep_blank_values=True, errors="replace")),
            self.cls(),
        )


class Request(flask.Request):
    """A request whose forms `_Parser` reads."""

    form_data_parser_class = _Parser


def install(app: Flask) -> None:
    """Keep every text with all its letters, or refuse it."""

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
    """A filter: text without the white space around it."""
    return (value or "").strip()


def page_asked() -> int:
    """The page of a long list that is asked for, from 1; 1 if it is not a number."""
    number = request.args.get("page", "1")
    return max(int(number), 1) if number.isdecimal() and len(number) < 5 else 1
