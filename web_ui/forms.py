"""What the page's forms share. WTForms checks the fields; `forms.html` draws them."""

from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime
from typing import IO, Any
from urllib.parse import parse_qsl

import flask
from flask import Flask, request
from flask_wtf import FlaskForm
from werkzeug.formparser import FormDataParser
from wtforms import Field, StringField
from wtforms.validators import ValidationError

from appliance.errors import BadInput
from web_ui.wording.language import _

_NOT_KEPT = frozenset("\0\N{REPLACEMENT CHARACTER}")
"""Characters that no page can show: HTML has no NUL; the other marks undecodable bytes."""


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
                _("One of the letters you entered cannot be saved, so nothing was saved."),
                _("Go back, type that text instead of pasting it, and save again."),
            )


def text_field(needed: Callable[[], str] | None = None, most: int | None = None) -> StringField:
    """A field for text of at most so many characters, without the white space around it. `needed`
    says what to do where it is empty; without that, it may be."""

    def check(_form: Form, field: Field) -> None:
        if needed and not field.data:
            raise ValidationError(needed())
        if most and (problem := too_long(field.data, most)):
            raise ValidationError(problem)

    return StringField(filters=[lambda sent: (sent or "").strip()], validators=[check])


def too_long(text: str, most: int) -> str:
    """What to do about a text of more than so many characters; '' if it is shorter."""
    return _("Use %(count)s characters or fewer", count=most) if len(text) > most else ""


def day_sent(text: str) -> date | None:
    """The day that was chosen, or written as in Britain; None if it is none."""
    for form in ("%Y-%m-%d", "%d/%m/%Y"):
        with suppress(ValueError):
            return datetime.strptime(text, form).date()  # noqa: DTZ007 - a day has no zone
    return None


def page_asked() -> int:
    """The page of a long list that is asked for, from 1; 1 if it is not a number."""
    number = request.args.get("page", "1")
    return max(int(number), 1) if number.isdecimal() and len(number) < 5 else 1
