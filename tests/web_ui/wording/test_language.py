"""Every string of the page goes through gettext: seen in a language that nobody speaks."""

import ast
import io
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from appliance.casework.clips import marks_of
from appliance.casework.consent import Consent
from appliance.casework.consent_draft import draft_of
from appliance.casework.reviews import Review
from appliance.casework.service_settings import Service, parse, shipped
from appliance.errors import KitError, Reason
from appliance.film.manifest import EndReason
from appliance.protocol.permits import PressRefusal
from appliance.protocol.status import Pattern, SoundLevel, State
from appliance.vault.cases import Goals
from tests.support import films
from tests.support.forks import copied
from tests.support.moments import keep_clip, keep_still
from tests.support.pages import CONSENT, NOW, Browser, WebKit, practitioner, service
from tests.support.places import ROOT
from tests.support.pseudo import CLOSE, LANGUAGE, OPEN, catalogue, not_translated
from web_ui.app import create_app
from web_ui.pages.consent import fingerprint
from web_ui.system.tls import ensure_certificate
from web_ui.wording import guide

pytestmark = pytest.mark.slow

DATA = {
    "lantern",
    "Alex",
    "mother",
    "Robin",
    "The family",
    "To notice when she starts something",
    "She saw him",
    "scene",
    "SHA-256",
    "English",
    Service().title,
    *Service().roles,
    *Service().places,
    *(parse(settings).title for settings in shipped().values()),
}
"""What people wrote in these tests, and names of things."""


def every_kind(error: type = KitError) -> set[str]:
    return {error.__name__}.union(*(every_kind(kind) for kind in error.__subclasses__()))


ERRORS = every_kind()
OF_NO_CASE = {
    *("copies.one", "copies.download", "copies.leaflet"),
    *("team.wait", "team.card"),
    *("help.read",),
    *("shared.file", "shared.one", "shares.download"),
}
"""Addresses with an id of something that does not happen in the case of these tests."""


@pytest.fixture(scope="module")
def translations(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return catalogue(tmp_path_factory.mktemp("translations"))


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    """A kit with a case in which everything has happened, seen in the pseudo-language."""
    with WebKit(tmp_path) as made:
        ensure_certificate(made.home.keys, ())
        yield made


def fill(kit: WebKit, translations: Path | None) -> tuple[str, list[str]]:
    """A case with a film, a moment, a picture, a review, and goals that another kit wrote as well;
    the addresses of every page."""
    kit.unlock()
    case = kit.make_case()
    film = kit.recorder.write_film(case, kit.recipient(case))
    opened = kit.open_case(case)
    plain = films.film(75)
    clip = keep_clip(opened, film, plain, NOW)
    still = keep_still(opened, film, plain, NOW)
    review = "abcdefghijklmnop"
    held = Review(
        id=review, held=NOW, shown=(clip.id,), strengths="She saw him", next="", ratings=(),
        go_on="yes",
    )  # fmt: skip
    opened.write(held, review)
    assert marks_of(opened, film) == ()
    there = copied(opened, kit.home.root.parent / "another", NOW)
    known = opened.read(Goals)
    assert known
    for one in (opened, there.case):
        one.write(known)
    there.arrives()
    # A consent that waits for its signature.
    kit.browser.consent(case, **(CONSENT | {"given": "drawn"}))
    draft = draft_of(opened, NOW)
    assert draft and draft.choice
    names = {
        "person": draft.people[0].id,
        "film": film,
        "clip": clip.id,
        "still": still.id,
        "moment": clip.id,
        "review": review,
    }
    if translations:
        speak(kit, translations)
    pages, left_out = [], set()
    for rule in kit.app.url_map.iter_rules():
        if "GET" not in (rule.methods or ()) or rule.endpoint in ("assets", "setup.show"):
            continue
        path = rule.rule.replace("<id:case>", case).replace("<purpose>", "filming")
        for name, value in names.items():
            path = path.replace(f"<id:{name}>", value)
        if "<" in path:
            left_out.add(rule.endpoint)
        else:
            pages.append(path)
    new = left_out - OF_NO_CASE
    assert not new, f"`names` has no value for an id in the address of {new}"
    pages += [f"/help/{part}" for part in guide.parts()]
    return case, sorted(pages)


def speak(kit: WebKit, translations: Path) -> None:
    """From now on the same kit, and the same browser, in the pseudo-language."""
    cookies = [kit.browser.cookie(name) for name in ("__Host-attune", "__Host-attune-paired")]
    key = kit.app.config["SECRET_KEY"]
    kit.app = create_app(kit.parts, LANGUAGE, translations)
    kit.app.config["SECRET_KEY"] = key
    kit.browser = Browser(kit.app.test_client())
    for name, value in zip(("__Host-attune", "__Host-attune-paired"), cookies, strict=True):
        kit.browser.take_cookie(name, value)


def ids(kit: WebKit) -> set[str]:
    """Random names and keys: nobody translates them."""
    found = {kit.recorder.status.kit, kit.recorder.status.verifier, service().card().verifier}
    found |= {practitioner().card().name}
    for path in kit.home.root.rglob("*"):
        for part in path.name.replace("-", ".").split("."):
            if len(part) == 16:
                found |= {part, part[:4]}
    for record in kit.parts.cases.records():
        holder = kit.parts.session.holder
        consent = holder.case(record.id).read(Consent) if holder else None
        found |= {fingerprint(holder.case(record.id))} if holder else set()
        found |= {consent.record_id} if consent else set()
    return found


def missed(kit: WebKit, page: str) -> list[str]:
    return not_translated(page, DATA | ids(kit))


def test_every_page_speaks_the_language_that_was_chosen(kit: WebKit, translations: Path) -> None:
    _case, pages = fill(kit, translations)
    assert len(pages) > 25
    plain = {}
    for path in pages:
        page = kit.browser.get(path)
        if page.response.mimetype == "text/html":
            assert OPEN in page.text and CLOSE in page.text, path
            plain[path] = missed(kit, page.text)
    assert not any(plain.values()), {path: said for path, said in plain.items() if said}


def test_every_refused_form_does_too(kit: WebKit, translations: Path) -> None:
    case, _pages = fill(kit, translations)
    for path in (
        "/cases/new",
        f"/cases/{case}/consent/practical",
        f"/cases/{case}/arm",
        "/passphrase",
    ):
        page = kit.browser.submit(path, label="", check_word="", films="0", limit="")
        assert page.status in (400, 403), path
        assert not missed(kit, page.text), path


def test_what_cannot_be_done_is_explained_so_too(kit: WebKit, translations: Path) -> None:
    case, _pages = fill(kit, translations)
    film = next(kit.home.recordings.iterdir())
    wrong = {"which": "file", "file": (io.BytesIO(b"title = 3"), "settings.toml")}
    answers = [
        kit.browser.post("/service", wrong | dict(kit.browser.get("/service").form("/service"))),
        kit.browser.submit(
            f"/cases/{case}/films/{film.name}", f"/cases/{case}/films/{film.name}/clips",
            start="1:00", end="2:00",
        ),
    ]  # fmt: skip
    segment = film / "0000.mp4.age"
    segment.write_bytes(segment.read_bytes()[:1000])
    (film / "0000.index.age").unlink()
    cut_short = kit.browser.get(f"/cases/{case}/films/{film.name}")
    for sealed in kit.home.case(case).glob("documents/goals-*"):
        sealed.write_bytes(b"age-encryption.org/v1\n-> nonsense\n")
    answers.append(kit.browser.get(f"/cases/{case}/goals"))
    assert all(page.status >= 400 for page in answers)
    for page in (*answers, cut_short):
        # Of a reason that a library gave, its words are left as they are.
        assert OPEN in page.text and not missed(kit, page.text), page.path


def test_no_sentence_of_an_error_is_put_together_from_pieces() -> None:
    """What differs stands apart from the words, or nobody could say them in another language."""
    joined = [
        f"{path.name}:{call.lineno}"
        for path in loaded_by_the_page()
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ERRORS
        if any(not isinstance(words, ast.Constant) for words in call.args[:2])
        if any(
            isinstance(part, ast.JoinedStr) for words in call.args[:2] for part in ast.walk(words)
        )
    ]
    assert not joined


def test_what_a_translator_gets_has_every_kind_of_sentence(tmp_path: Path) -> None:
    template = tmp_path / "attune.pot"
    words = ["extract", "-F", "tools/words.cfg", "-o", str(template), "."]
    subprocess.run(
        [sys.executable, "-m", "babel.messages.frontend", *words],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    with template.open("rb") as file:
        found = {one.id for one in read_po(file)}
    assert "Turn the camera on" in found, "of a template"
    assert "Time confirmed" in found, "of a page"
    reasons = every_kind(Reason) - {"Reason"}
    assert {"PressRefusal", "CopyRefusal", "ResetRefusal", "FilmRefusal"} <= reasons
    assert {why.sentence for kind in Reason.__subclasses__() for why in kind} <= found
    assert "%(name)s could not be written: %(why)s." in found, "of an error"
    assert "Check the memory card: it may be full, read-only or worn out." in found, "of its hint"
    assert not any(str(one).startswith("Return when") for one in found), "no docstring"


def loaded_by_the_page() -> set[Path]:
    """The modules of this project from which a sentence can come to the page."""
    found, left = set[Path](), set((ROOT / "web_ui").rglob("*.py"))
    while left:
        found.add(path := left.pop())
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                for name in (node.module, *(f"{node.module}.{one.name}" for one in node.names)):
                    left.add(ROOT / f"{name.replace('.', '/')}.py")
        left = {path for path in left - found if path.is_file()}
    return found


def test_a_new_kit_and_a_locked_one_do_too(kit: WebKit, translations: Path) -> None:
    speak(kit, translations)
    for page in (
        kit.browser.get("/setup"),
        kit.browser.submit("/setup", passphrase="nothing"),
        kit.browser.get("/nothing-here"),
    ):
        assert not missed(kit, page.text), page.path
    kit.enrol()
    for page in (kit.browser.get("/unlock"), kit.browser.submit("/unlock", passphrase="wrong")):
        assert not missed(kit, page.text), page.path


def test_what_is_heard_is_told_so_too(kit: WebKit, translations: Path) -> None:
    kit.unlock()
    case = kit.make_case()
    kit.browser.submit(f"/cases/{case}/arm", films="1")
    speak(kit, translations)
    kit.recorder.show(state="preview", case=case)
    told = {missed_in(kit, f"/cases/{case}/visit/frame")}
    for loudest in (None, -60.0, -20.0, 0.0):
        level = SoundLevel(peak=-50, rms=-50, loudest=loudest) if loudest is not None else None
        kit.recorder.show(with_sound=True, sound=level)
        told.add(missed_in(kit, f"/cases/{case}/visit/frame"))
    assert len(told) == 5


def missed_in(kit: WebKit, path: str) -> str:
    """What is said of the sound on a page on which nothing was missed."""
    page = kit.browser.get(path).text
    assert not missed(kit, page)
    return page.partition('id="heard">')[2].partition("<")[0]


def test_the_kits_line_does_too(kit: WebKit, translations: Path) -> None:
    kit.enrol()
    speak(kit, translations)
    shown: list[dict[str, object]] = [
        *({"state": state.value} for state in State),
        *({"light": pattern.value} for pattern in Pattern),
        *({"reason": code.value} for code in [*PressRefusal, *EndReason]),
        *({"clock": trust} for trust in ("trusted", "doubtful", "wrong")),
        {"clock": "trusted", "now": NOW, "other_time": NOW + timedelta(days=3)},
        {"removable": 80.0, "state": "filming", "remaining": 20.0},
    ]
    for changes in shown:
        kit.recorder.show(**changes)
        assert not missed(kit, kit.browser.get("/unlock").text), changes
