"""The page's language: every string that a person reads goes through here.

English is what stands in the source; other languages lie in translations/ as gettext catalogues.
"""

import flask_babel
from babel import Locale


def _(sentence: str, **values: object) -> str:
    """The sentence in the page's language, with `%(name)s` filled in."""
    return str(flask_babel.gettext(sentence, **values))


def ngettext(one: str, many: str, count: int, **values: object) -> str:
    """The sentence for this `%(num)s`."""
    return str(flask_babel.ngettext(one, many, count, **values))


def locale() -> Locale:
    """The page's language, for dates and numbers."""
    return flask_babel.get_locale() or Locale("en")
