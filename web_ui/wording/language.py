"""The page's language: every string that a person reads goes through here.

English is what stands in the source; other languages lie in translations/ as gettext catalogues.
"""

from pathlib import Path

import flask_babel
from babel import Locale

from appliance.errors import BadFile, KitError, Reason

CATALOGUES = Path(__file__).resolve().parent.parent / "translations"


def check(language: str) -> None:
    """Raise BadFile if the page has no catalogue of this language."""
    found = {file.parent.parent.name for file in CATALOGUES.glob("*/LC_MESSAGES/messages.mo")}
    if language not in (known := sorted({"en", *found})):
        raise BadFile(
            "The page does not speak %(language)s.",
            "In the settings, `language` may be: %(known)s.",
            language=language,
            known=", ".join(known),
        )


def _(sentence: str, **values: object) -> str:
    """The sentence in the page's language, with `%(name)s` filled in."""
    return str(flask_babel.gettext(sentence, **values))


def N_(sentence: str) -> str:
    """The sentence as it stands, for a table that is made once: `_` says it where it is shown."""
    return sentence


def ngettext(one: str, many: str, count: int, **values: object) -> str:
    """The sentence for this `%(num)s`."""
    return str(flask_babel.ngettext(one, many, count, **values))


def in_words(error: KitError) -> tuple[str, str]:
    """An error's sentence and its hint in the page's language; '' where there is no hint."""
    values = error.values
    # Values are data, except `why`, which may be a sentence of ours, and what has one itself.
    if isinstance(why := values.get("why"), str) and why:
        values = values | {"why": _(why)}
    values = values | {
        name: _(value.sentence) for name, value in values.items() if isinstance(value, Reason)
    }
    sentence, hint = (_(words, **values) if words else "" for words in error.said)
    return sentence, hint


def told(error: KitError) -> str:
    """Both in one line."""
    return " ".join(filter(None, in_words(error)))


def locale() -> Locale:
    """The page's language, for dates and numbers."""
    return flask_babel.get_locale() or Locale("en")
