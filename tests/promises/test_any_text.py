"""Any text in every field of every form: it is read back as it was sent, or refused in words.

The forms are the page's own routes, and their fields are what a route asks of what was sent: a form
that is added must be filled in here, and what it asks for is tried by itself.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from werkzeug.datastructures import ImmutableMultiDict

from appliance.age.unsealing import unseal
from appliance.casework.consent import Consent
from appliance.casework.consent_draft import draft_of
from appliance.records.files import lines, new_id
from appliance.records.signing import split_note
from tests.support import films
from tests.support.moments import keep_clip
from tests.support.pages import CONSENT, NOW, WebKit, practitioner
from tests.support.texts import LETTERS, LONG

MARKER = "Marker words"
_NEVER = ("\0", "\N{REPLACEMENT CHARACTER}")
_KEPT = [letter for letter in LETTERS if letter not in _NEVER]
TEXTS = [
    *(f"a{'b'.join(_KEPT[at : at + 12])}z" for at in range(0, len(_KEPT), 12)),
    *(f"a{letter}z" for letter in ("\0", "\ud800", "\udfff", "\r", "\r\n", "\u2028", "\x85")),
    LONG,
]

FORMS: dict[str, dict[str, object]] = {
    "arming.arm": {},
    "arming.disarm": {},
    "arming.newcomer": {},
    "cases.goals": {"goal": "x"},
    "cases.new": {"label": "x", "check_word": "x"},
    "cases.word": {"word": "x"},
    "consent.add": {},
    "consent.agree": {"answer": "yes"},
    "consent.practical": {
        **{"limit": "300", "language": "x", "valid_until-day": "1"},
        **{"valid_until-month": "2", "valid_until-year": "2027"},
    },
    "consent.promises": {},
    "consent.record": {"given": "witnessed", "witness": "x", "choice": "y"},
    "consent.sign": {"signature": "1,1 2,2"},
    "consent.take_out": {},
    "consent.throw_away": {},
    "consent.who": {
        **{"name": "x", "relation": "x", "speaks_as": "adult"},
        **{"answers_for": "parent", "on_behalf_of": "x"},
    },
    "copies.cancel": {},
    "copies.eject": {},
    "copies.hand_out": {"moments": "CLIP", "to": "x", "lock": "plain", "way": "download"},
    "correcting.ask": {},
    "course.arrange": {},
    "course.end": {"confirm": "y"},
    "course.rate": {},
    "course.remove": {},
    "course.top_up": {},
    "films.keep_picture": {"at": "0"},
    "films.mark": {},
    "forgotten.press": {},
    "forks.choose": {},
    "forgotten.make": {},
    "importing.send": {},
    "importing.stop": {},
    "moments.give_up": {},
    "moments.place": {"to": "back"},
    "moments.principles": {"principles": "x"},
    "moments.words": {"note": "x"},
    "resetting.ask": {},
    "review.close": {"strengths": "x", "go_on": "yes", "review": "b" * 16},
    "sending.base": {},
    "service.press": {},
    "service.bring": {},
    "service.give": {},
    "setup.press": {},
    "setup.bring": {},
    "shares.end": {},
    "shares.share": {
        **{"moments": "CLIP", "who": "x", "to": "COLLEAGUE"},
        **{"purpose": "supervisor", "until": "2026-12-01", "confirm": "y"},
    },
    "status.stop": {},
    "team.ask": {},
    "team.press": {},
    "team.bring": {},
    "team.join": {},
    "team.leave": {},
    "team.renew": {},
    "this_kit.switch_off": {},
    "unlock.close_page": {},
    "unlock.open_page": {},
    "unlock.passphrase": {},
    "virtual.button": {},
    "visit.enough": {},
    "visit.look": {},
    "visit.mark": {},
    "withdraw.carry_out": {},
    "withdraw.hold": {"role": "x", "reason": "x", "review": "2026-12-01"},
    "withdraw.lift": {},
    "withdraw.take_back_film": {},
    "withdraw.take_back_purposes": {},
}
"""What is sent beside the field that is tried, so that it alone decides."""
KEPT = {
    "cases.goals": {"goal"},
    "cases.new": {"label", "check_word"},
    "consent.practical": {"language", "interpreter", "worries"},
    "consent.record": {"witness"},
    "consent.who": {"name", "relation", "on_behalf_of"},
    "copies.hand_out": {"to"},
    "course.arrange": {"place", "supervisor"},
    "course.end": {"steps"},
    "moments.principles": {"principles"},
    "moments.words": {"note", "question"},
    "review.close": {"strengths", "next"},
    "shares.share": {"who"},
    "withdraw.hold": {"role", "reason"},
}
"""The fields in which people write. The test finds them by what it reads back."""


ONCE = {"cases.goals", "course.end"}
"""What can be sent for one family only so often."""


class Asked(ImmutableMultiDict[str, Any]):
    """What was sent, and the names that somebody asked it for."""

    def get(self, key: Any, *rest: Any, **more: Any) -> Any:
        self.seen.add(key)
        return super().get(key, *rest, **more)

    def getlist(self, key: Any, *rest: Any, **more: Any) -> Any:
        self.seen.add(key)
        return super().getlist(key, *rest, **more)

    def __getitem__(self, key: Any) -> Any:
        self.seen.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.seen.add(key)
        return super().__contains__(key)

    seen: set[Any] = set()  # noqa: RUF012 - one for all: the page makes these itself


class Form:
    """One form of a kit, sent as a browser sends it, byte for byte."""

    def __init__(self, kit: WebKit, endpoint: str) -> None:
        self.kit, self.endpoint = kit, endpoint
        every = ["filming", "copies", "supervisor"]
        self.case = kit.make_case("The family", people__0__purposes=every)
        case, data = kit.open_case(self.case), films.film(60)
        agreed = case.read_with_digest(Consent)
        assert agreed
        film = kit.recorder.write_film(
            self.case, kit.recipient(self.case), stream=data, consent=agreed[1]
        )
        self.clip = keep_clip(case, film, data, NOW).id
        self.about = {"case": self.case, "film": film, "moment": self.clip, "clip": self.clip}
        self.about |= dict.fromkeys(("share", "copies", "job", "still", "review"), new_id())

        class Request(kit.app.request_class):  # type: ignore[name-defined,misc]
            parameter_storage_class = Asked

        kit.app.request_class = Request

    def send(self, **fields: object) -> int:
        """Send it with these fields; returns the status."""
        kit = self.kit
        if kit.parts.session.holder is None:
            kit.unlock()
        self.talk_through()
        base: dict[str, object] = {
            name: {"CLIP": self.clip, "COLLEAGUE": practitioner(1).card().name}.get(
                str(value), value
            )
            for name, value in FORMS[self.endpoint].items()
        }
        token = kit.browser.get("/cases/new").form("/cases/new")["csrf_token"][0]
        rule = next(
            one
            for one in kit.app.url_map.iter_rules(self.endpoint)
            if "POST" in (one.methods or ())
        )
        values = {name: self.about[name] for name in rule.arguments}
        path = kit.app.url_map.bind("localhost").build(self.endpoint, values, method="POST")
        if self.endpoint in ("consent.record", "consent.sign"):
            # What stands on the page goes with it.
            base = dict(kit.browser.get(path).form(path)) | base
        body = urlencode({"csrf_token": token} | base | fields, doseq=True, errors="surrogatepass")
        Asked.seen.clear()
        answer = kit.browser._client.post(
            path,
            data=body.encode(),
            content_type="application/x-www-form-urlencoded",
            base_url="https://localhost:8443",
        )
        if answer.status_code == 303 and answer.location.endswith("?again"):
            answer = kit.browser.get(answer.location).response
        if answer.status_code >= 400:
            assert "<h1" in answer.text or answer.mimetype == "text/plain"
            assert "there is a problem with the kit" not in answer.text, (path, fields)
        return answer.status_code

    def talk_through(self) -> None:
        """A consent that waits for a signature, where one of its steps is sent."""
        kit = self.kit
        if not self.endpoint.startswith("consent.") or kit.parts.session.holder is None:
            return
        case = kit.open_case(self.case)
        if draft_of(case, NOW) is None:
            kit.browser.consent(self.case, **(CONSENT | {"given": "drawn"}))
        draft = draft_of(case, NOW)
        assert draft
        self.about |= {"person": draft.people[0].id, "purpose": "filming"}

    def files(self) -> set[Path]:
        home = self.kit.home
        sealed = ("*/documents/*.age", "*/drafts/*.age")
        found = {path for place in sealed for path in home.cases.glob(place)}
        return {*found, *home.keys.glob("*/principles.age")}

    def written(self, before: dict[Path, bytes]) -> Iterator[str]:
        """Every text in what was written since."""
        holder = self.kit.parts.session.holder
        for path in self.files():
            data = path.read_bytes()
            if before.get(path) == data or holder is None:
                continue
            if path.name == "principles.age":
                yield from _texts(msgspec.json.decode(unseal(data, [holder.keys.identity])))
                continue
            note = unseal(data, holder.case(path.parts[-3]).identities).decode()
            yield from _texts(msgspec.json.decode(lines(split_note(note)[0])[1]))

    def keeps(self, name: str, text: str) -> bool | None:
        """Whether a text in this field is kept with every letter; None if it was refused."""
        self.talk_through()
        before = {path: path.read_bytes() for path in self.files()}
        if self.send(**{name: text}) >= 400:
            assert {path: path.read_bytes() for path in self.files()} == before, "refused, and kept"
            return None
        # A list has one of its own in each line; a browser ends those with CR LF.
        listed = self.endpoint == "moments.principles"
        parts = lines(text.replace("\r\n", "\n")) if listed else [text]
        return {part.strip() for part in parts} - {""} <= set(self.written(before))


def _texts(found: object) -> Iterator[str]:
    if isinstance(found, str):
        yield found
    for part in found.values() if isinstance(found, dict) else ():
        yield from _texts(part)
    for part in found if isinstance(found, list) else ():
        yield from _texts(part)


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        made.enrol(0, 1)
        made.unlock()
        yield made


def test_every_form_of_the_page_is_tried(kit: WebKit) -> None:
    there = {
        rule.endpoint for rule in kit.app.url_map.iter_rules() if "POST" in (rule.methods or ())
    }
    assert there == set(FORMS), "FORMS has what each form is sent with, at the least"


@pytest.mark.parametrize("endpoint", FORMS)
def test_a_text_in_any_field_is_read_back_as_it_was_sent_or_refused_in_words(
    kit: WebKit, endpoint: str
) -> None:
    form = Form(kit, endpoint)
    form.send()
    asked = {str(name) for name in Asked.seen} - {"csrf_token", "watching"}
    fields = asked | set(FORMS[endpoint])
    kept = set()
    for name in sorted(fields):
        form = Form(kit, endpoint) if endpoint in ONCE else form
        if not form.keeps(name, MARKER):
            for text in TEXTS:
                form.send(**{name: text})
            continue
        kept.add(name)
        said = {}
        for text in TEXTS:
            form = Form(kit, endpoint) if endpoint in ONCE else form
            said[text] = form.keeps(name, text)
        lost = [ascii(text)[:60] for text, found in said.items() if found is False]
        assert not lost, f"{endpoint} keeps another text in {name}: {lost}"
        assert any(said.values()), f"{endpoint} refuses everything in {name}"
        assert said["a\u2028z"], f"{endpoint} refuses a line separator in {name}"
        assert said["a\0z"] is None and said["a\ud800z"] is None
    assert kept == KEPT.get(endpoint, set())
