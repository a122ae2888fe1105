"""What the page's forms have in common: WTForms fields, checked here, drawn by `forms.html`."""

from collections.abc import Callable
from typing import Any

from flask import request
from flask_wtf import FlaskForm
from wtforms import Field
from wtforms.validators import ValidationError

from web_ui.language import _

Validator = Callable[[Any, Field], None]


class Form(FlaskForm):  # type: ignore[misc]
    """A form of the page. CSRF is checked for every POST before a form is looked at."""

    class Meta(FlaskForm.Meta):  # type: ignore[misc]
        csrf = False


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
