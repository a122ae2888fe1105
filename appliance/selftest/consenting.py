"""A consent as it is talked through on the page: every step of it, for whoever walks a visit.

What is said is one mapping, with names such as `people-0-name`, `people-0-purposes`, `limit` or
`valid_until` (YYYY-MM-DD); what is not named stays as the page has it. Whatever is refused ends the
walk, and the refusal is what it returns.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeVar

Said = Mapping[str, str | Sequence[str]]


class Shown(Protocol):
    """What a page answered."""

    @property
    def status(self) -> int: ...

    @property
    def text(self) -> str: ...


_S = TypeVar("_S", bound=Shown)
Get = Callable[[str], _S]
"""Shows the page at a path."""
Send = Callable[[str, Said, str], _S]
"""Fills in the form of the page at a path and sends it to the action that comes last."""

_WHO = re.compile(r'/consent/([a-z2-7]{16})/who"')
_ASKED = re.compile(r'/consent/[a-z2-7]{16}/agree/([a-z-]+)"')
_PRACTICAL = ("limit", "limit_seconds", "language", "interpreter", "worries")
_PERSON = re.compile(r"(people-\d+)-")


def consent(case: str, said: Said, get: Get[_S], send: Send[_S]) -> _S:
    """Walk through every step, and record. Returns the last answer."""
    answers = _answers(f"/cases/{case}/consent", said, get, send)
    shown = next(answers)
    while shown.status < 400 and (after := next(answers, None)):
        shown = after
    return shown


def _answers(url: str, said: Said, get: Get[_S], send: Send[_S]) -> Iterator[_S]:
    """What each step answers."""
    check = f"{url}/check"

    def step(path: str, **fields: str) -> _S:
        return send(f"{url}/{path}", fields, f"{url}/{path}")

    yield step("promises")
    wanted = sorted({match[1] for name in said if (match := _PERSON.match(name))})
    here = _people(get(check))
    while len(here) < len(wanted):
        yield send(check, {}, f"{url}/add")
        here = _people(get(check))
    for person in here[max(len(wanted), 1) :]:
        yield send(check, {}, f"{url}/{person}/take-out")
    asked = sorted(set(_ASKED.findall(get(check).text)))
    for prefix, person in zip(wanted, here, strict=False):
        yield step(f"{person}/who", **_of_person(said, prefix))
        yes = said.get(f"{prefix}-purposes", ())
        for purpose in asked:
            yield step(f"{person}/agree/{purpose}", answer="yes" if purpose in yes else "no")
    practical = {name: _text(said, name) for name in _PRACTICAL if name in said}
    if "valid_until" in said:
        day = [*_text(said, "valid_until").split("-"), "", ""]
        practical |= {f"valid_until-{n}": day[at] for at, n in enumerate(("year", "month", "day"))}
    yield step("practical", **practical)
    last = {name: _text(said, name) for name in ("given", "witness", "choice") if name in said}
    yield send(check, last, check)
    if _text(said, "given") == "drawn":
        for prefix, person in zip(wanted, here, strict=False):
            if said.get(f"{prefix}-purposes"):
                yield step(f"{person}/sign", signature=_text(said, f"{prefix}-signature"))


def _of_person(said: Said, prefix: str) -> dict[str, str]:
    """What is written of one person; what is not said stays as it is filled in."""
    fields = {
        name: _text(said, f"{prefix}-{name}")
        for name in ("name", "relation", "speaks_as")
        if f"{prefix}-{name}" in said
    }
    if f"{prefix}-authority" in said or "name" in fields:
        fields["answers_for"] = _text(said, f"{prefix}-authority") or "nobody"
        fields["on_behalf_of"] = _text(said, f"{prefix}-child")
    return fields


def _people(page: Shown) -> list[str]:
    """Whom the page to check names, in order."""
    return list(dict.fromkeys(_WHO.findall(page.text)))


def _text(said: Said, name: str) -> str:
    value = said.get(name, "")
    return value if isinstance(value, str) else " ".join(value)
