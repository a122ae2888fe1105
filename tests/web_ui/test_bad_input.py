"""What cannot be right, in the course of the work: a page in words each, and nothing is changed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from appliance.age.recipients import parse_recipient
from appliance.age.sealing import seal
from appliance.casework.clips import choose, shelf
from appliance.casework.consent import Consent
from appliance.casework.course import Course
from appliance.casework.reviews import Review, reviews_of
from appliance.protocol.case_record import CaseRecord
from appliance.records.files import Fact, load_fact, new_id, save_fact, to_json
from appliance.vault.cases import Cases, Goals, OpenCase
from appliance.vault.keys import lock
from tests.support import films
from tests.support.moments import keep_clip
from tests.support.pages import NOW, WebKit, practitioner

OTHER_WORDS = "saddle monsoon gravel bishop turnip easel"
"""What the second practitioner of the kit unlocks with."""


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        made.enrol(0, 1)
        sealed = lock(practitioner(1), OTHER_WORDS, work=1)
        (made.home.keys / practitioner(1).card().name / "identity.age").write_bytes(sealed)
        made.unlock()
        yield made


def everything(kit: WebKit, case: str) -> dict[Path, bytes]:
    """Every file of a case as it lies on the card."""
    return {path: path.read_bytes() for path in kit.home.case(case).rglob("*") if path.is_file()}


# --- Two browsers, two practitioners ------------------------------------------------------------


def test_a_second_browser_opens_nothing_and_takes_the_seat_from_nobody(kit: WebKit) -> None:
    case = kit.make_case("R and K")
    other = kit.another_browser()
    page = other.submit("/unlock", passphrase="not the right one", time=NOW.isoformat())
    assert page.status == 403 and "lock it there" in page.words
    for path in ("", "/course", "/review", "/consent", "/word"):
        refused = other.get(f"/cases/{case}{path}")
        assert refused.path == "/unlock" and "R and K" not in refused.words
    before = everything(kit, case)
    form = kit.browser.get(f"/cases/{case}/goals").form(f"/cases/{case}/goals")
    assert other.post(f"/cases/{case}/goals", {**form, "goal": "Another"}).path == "/unlock"
    assert everything(kit, case) == before
    assert kit.browser.get(f"/cases/{case}").status == 200


def test_a_form_of_who_had_the_seat_before_writes_nothing_for_who_has_it_now(
    kit: WebKit,
) -> None:
    case = kit.make_case("R and K")
    goals = f"/cases/{case}/goals"
    old = kit.browser.get(goals).form(goals)
    kit.browser.submit("/cases", action="/lock")
    other = kit.another_browser()
    page = other.submit("/unlock", passphrase=OTHER_WORDS, time=NOW.isoformat())
    assert page.path == "/cases" and "R and K" not in page.words
    kit.recorder.carry_out()
    before = everything(kit, case)
    for browser in (kit.browser, other):
        refused = browser.post(goals, {**old, "goal": "Too late"})
        assert refused.status in (400, 403, 404) or refused.path == "/unlock"
    assert everything(kit, case) == before


# --- Two tabs -----------------------------------------------------------------------------------


def test_an_old_form_of_one_family_writes_nothing_into_the_case_that_was_opened_since(
    kit: WebKit,
) -> None:
    first, second = kit.make_case("The first"), kit.make_case("The second")
    goals, close = f"/cases/{first}/goals", f"/cases/{first}/review/close"
    old = {path: kit.browser.get(path).form(path) for path in (goals, close)}
    end = kit.browser.get(f"/cases/{first}/course").form(f"/cases/{first}/course/end")
    # In the other tab the second family is met.
    kit.browser.submit(f"/cases/{second}/arm")
    kit.recorder.show(state="filming", light="filming", case=second, recording="a" * 16)
    before = everything(kit, second)
    kit.browser.post(goals, {**old[goals], "goal": "Of the first"})
    kit.browser.post(close, {**old[close], "strengths": "Of the first", "go_on": "yes"})
    kit.browser.post(f"/cases/{first}/course/end", {**end, "confirm": "y"})
    token = old[goals]["csrf_token"]
    kit.browser.post(f"/cases/{first}/visit/mark", {"csrf_token": token})
    assert everything(kit, second) == before
    permit = kit.recorder.permit()
    assert permit and permit.case == second
    opened = kit.open_case(first)
    said = opened.read(Goals)
    assert said and said.goals[-1].text == "Of the first" and opened.read(Course)
    assert not list(opened.directory.glob("documents/marks-*")), (
        "it is not the first that is filmed"
    )


def test_a_moment_of_one_family_goes_into_no_other_familys_review_or_hands(kit: WebKit) -> None:
    agreed = ["filming", "copies", "supervisor"]
    first = kit.make_case("The first", people__0__purposes=agreed)
    second = kit.make_case("The second", people__0__purposes=agreed)
    data = films.film(60)
    kept = {}
    for case in (first, second):
        known = kit.open_case(case).read_with_digest(Consent)
        assert known
        film = kit.recorder.write_film(case, kit.recipient(case), stream=data, consent=known[1])
        kept[case] = keep_clip(kit.open_case(case), film, data, NOW).id
    choose(kit.open_case(first), kept[first])
    strange, url = kept[second], f"/cases/{first}"
    token = kit.browser.get(f"{url}/copies").form(f"{url}/copies")["csrf_token"]
    sent: dict[str, object] = {"csrf_token": token, "moments": [strange], "confirm": "y"}
    sent |= {"purpose": "supervisor", "who": "x", "until": "2026-12-01", "to": "x"}
    assert kit.browser.post(f"{url}/shares", sent).status == 400
    copies = {"moments": [strange], "to": "x", "lock": "plain", "way": "download"}
    assert kit.browser.post(f"{url}/copies", {"csrf_token": token} | copies).status == 400
    for path in ("video", "poster.jpg", ""):
        assert kit.browser.get(f"{url}/moments/{strange}/{path}".rstrip("/")).status == 404
    assert strange not in kit.browser.get(f"{url}/review/show").text
    assert [one.id for one in shelf(kit.open_case(first)).chosen] == [kept[first]]


def test_another_familys_word_ends_the_first_ones_turn(kit: WebKit) -> None:
    """A tab that still shows the first family neither films nor shows it without its word."""
    first = kit.make_case("The first")
    assert kit.browser.get(f"/cases/{first}/review/show").path == f"/cases/{first}/review/show"
    second = kit.make_case("The second")
    for path in ("visit/frame", "review/show", "review/notes"):
        page = kit.browser.get(f"/cases/{first}/{path}")
        assert page.path == f"/cases/{first}/word"
    token = page.form(page.path)["csrf_token"]
    assert kit.browser.post(f"/cases/{first}/arm", {"csrf_token": token}).status == 400
    assert kit.recorder.permit() is None
    kit.browser.submit(f"/cases/{first}/word", word="lantern")
    assert kit.browser.get(f"/cases/{first}/review/show").path == f"/cases/{first}/review/show"
    assert kit.browser.submit(f"/cases/{second}/arm").status == 400
    assert kit.recorder.permit() is None


# --- A case that was edited by hand -------------------------------------------------------------


def put(case: OpenCase, name: str, text: str) -> None:
    """A document as somebody would write it who has the case's key and a practitioner's."""
    note = case.keys.signer.sign(text)
    sealed = seal(note.encode(), [parse_recipient(case.record.recipient)])
    (case.directory / "documents" / name).write_bytes(sealed)


def in_form(case: OpenCase, fact: Fact, number: int, tag: str) -> None:
    """The next document of its name, in a form that another version wrote."""
    ours = str(type(fact).__struct_config__.tag)
    name = ours.partition("/")[0]
    heading = {"attune": "document/v1", "case": case.id, "name": name, "number": number}
    body = to_json(fact).decode().replace(f'"{ours}"', f'"{tag}"')
    put(case, f"{name}-{number:04}.age", f"{msgspec.json.encode(heading).decode()}\n{body}\n")


@pytest.mark.parametrize("form", ["goals/v0", "goals/v2", "goals/v99"])
def test_a_document_of_an_older_or_newer_version_is_refused_by_name_and_nothing_is_lost(
    kit: WebKit, form: str
) -> None:
    case = kit.make_case("R and K")
    in_form(kit.open_case(case), Goals(goals=(), not_yet=True), 2, form)
    before = everything(kit, case)
    for path in ("/goals", "/course", "/arm", ""):
        page = kit.browser.get(f"/cases/{case}{path}")
        assert page.status == 400 and f"has the form {form}" in page.words
        assert "update this one" in page.words
    token = kit.browser.get("/cases/new").form("/cases/new")["csrf_token"]
    page = kit.browser.post(f"/cases/{case}/goals", {"csrf_token": token, "goal": "Over it"})
    assert page.status == 400
    assert everything(kit, case) == before and kit.recorder.permit() is None
    assert "R and K" in kit.browser.get("/cases").words


def test_a_case_of_a_newer_version_is_named_and_neither_hidden_nor_touched(kit: WebKit) -> None:
    newer, ours = kit.make_case("Newer"), kit.make_case("Ours")
    path = kit.home.case(newer) / "case.json"
    kit.browser.submit("/cases", action="/lock")
    path.write_bytes(path.read_bytes().replace(b"case/v1", b"case/v2"))
    before = everything(kit, newer)
    kit.unlock()
    page = kit.browser.get("/cases")
    assert f"Family {newer[:4]}: cannot be read" in page.words and "Ours" in page.words
    page = kit.browser.get(f"/cases/{newer}")
    assert page.status == 400 and "has the form case/v2" in page.words
    assert kit.browser.get(f"/cases/{ours}").status == 200
    assert everything(kit, newer) == before
    # Somebody else's is not even named.
    kit.browser.submit("/cases", action="/lock")
    kit.browser.submit("/unlock", passphrase=OTHER_WORDS, time=NOW.isoformat())
    assert newer[:4] not in kit.browser.get("/cases").words


@pytest.mark.parametrize(
    "edit",
    [
        lambda first, second: shutil.copy(
            second / "documents" / "goals-0001.age", first / "documents" / "goals-0001.age"
        ),
        lambda first, second: shutil.copy(
            first / "documents" / "goals-0001.age", first / "documents" / "goals-0002.age"
        ),
        lambda first, second: shutil.copy(second / "identity-0001.age", first),
        lambda first, second: shutil.copy(second / "case.json", first),
        lambda first, second: (first / "case.json").write_text("{}"),
        lambda first, second: (first / "documents" / "goals-0001.age").write_bytes(b""),
        lambda first, second: (first / "documents" / "goals-0001.age").write_bytes(b"words"),
    ],
    ids=[
        "another family's document",
        "an older one again",
        "another case's key",
        "another case's record",
        "an empty record",
        "an empty document",
        "a text",
    ],
)
def test_a_case_that_was_edited_by_hand_is_refused_in_words_and_the_others_open(
    kit: WebKit, edit: object
) -> None:
    first, second = kit.make_case("The first"), kit.make_case("The second")
    kit.browser.submit("/cases", action="/lock")
    assert callable(edit)
    edit(kit.home.case(first), kit.home.case(second))
    before = everything(kit, first)
    kit.unlock()
    page = kit.browser.get(f"/cases/{first}/goals")
    assert page.status in (400, 404, 409) and "Traceback" not in page.text
    assert "To notice" not in page.words, "not of the other family either"
    if kit.browser.get(f"/cases/{first}/word").status == 200:
        kit.browser.submit(f"/cases/{first}/word", word="lantern")
    assert kit.browser.get(f"/cases/{first}/arm").status >= 400
    assert kit.recorder.permit() is None
    assert "The second" in kit.browser.get("/cases").words
    assert kit.browser.get(f"/cases/{second}").status == 200
    assert everything(kit, first) == before


def test_a_film_that_was_put_into_another_case_or_under_another_name_is_refused(
    kit: WebKit,
) -> None:
    first, second = kit.make_case("The first"), kit.make_case("The second")
    film = kit.recorder.write_film(first, kit.recipient(first))
    moved = new_id()
    there = kit.home.recording(film)
    shutil.copytree(there, kit.home.recording(moved))
    for case in (first, second):
        for what in ("", "/video", "/poster.jpg"):
            page = kit.browser.get(f"/cases/{case}/films/{moved}{what}", Range="bytes=0-9")
            assert page.status in (400, 404) and b"ftyp" not in page.response.data
    manifest = there / "manifest"
    manifest.write_text(manifest.read_text().replace(first, second))
    for case in (first, second):
        page = kit.browser.get(f"/cases/{case}/films/{film}/video", Range="bytes=0-9")
        assert page.status in (400, 404) and b"ftyp" not in page.response.data


# --- A review without clips ---------------------------------------------------------------------


def test_a_review_without_clips_says_so_and_settles_no_film(kit: WebKit) -> None:
    case = kit.make_case()
    kit.recorder.write_film(case, kit.recipient(case))
    close = f"/cases/{case}/review/close"
    assert "There are no clips for this review" in kit.browser.get(close).words
    page = kit.browser.submit(close, strengths="We talked about bath time", go_on="yes")
    assert page.status == 200 and "Clips watched: 0" in page.text
    assert [review.shown for review in reviews_of(kit.open_case(case))] == [()]
    words = kit.browser.get(f"/cases/{case}/course").words
    assert "Shared reviews so far 1" in words and "Films not watched together yet 1" in words


# --- A practitioner who left --------------------------------------------------------------------


def test_who_left_and_kept_a_copy_of_the_card_reads_what_was_there_and_nothing_since(
    kit: WebKit, tmp_path: Path
) -> None:
    case, gone = kit.make_case("R and K"), practitioner(1)
    verifiers = [practitioner(0).signer.verifier, gone.signer.verifier]
    enrolled = kit.parts.enrolled
    assert enrolled
    kit.parts.cases.admit(kit.open_case(case), gone.card(), enrolled)
    kept = tmp_path / "kept"
    shutil.copytree(kit.home.root, kept)
    url = f"/cases/{case}/team"
    kit.browser.submit(url, action=f"{url}/leave", who=gone.card().name, confirm="y")
    kit.browser.submit(f"/cases/{case}/goals", goal="Said after they left")

    # Their copy still opens what it holds, and no file that was made since.
    home = type(kit.home)(kept, tmp_path / "kept-run")
    old = Cases(home).open(case, gone, verifiers)
    said = old.read(Goals)
    assert said and len(said.goals) == 1
    for path in kit.home.case(case).glob("documents/goals-*.age"):
        shutil.copy(path, old.directory / "documents")
    with pytest.raises(PermissionError):
        Cases(home).open(case, gone, verifiers).read(Goals)

    # And what they kept, put back on the kit, lets nobody in: its record is an older one.
    record = load_fact(kept / "cases" / case / "case.json", CaseRecord)
    assert record
    save_fact(kit.home.case(case) / "case.json", record)
    kit.browser.submit("/cases", action="/lock")
    kit.browser.submit("/unlock", passphrase=OTHER_WORDS, time=NOW.isoformat())
    assert "R and K" not in kit.browser.get("/cases").words
    assert kit.browser.get(f"/cases/{case}").status == 404


def test_a_closed_review_of_a_newer_version_hides_no_other_page_of_the_case(kit: WebKit) -> None:
    case = kit.make_case()
    opened = kit.open_case(case)
    held = Review(id="a" * 16, held=NOW, shown=(), strengths="", next="", ratings=(), go_on="yes")
    opened.write(held, held.id)
    path = opened.directory / "documents" / f"review-{held.id}-0001.age"
    path.write_bytes(path.read_bytes()[:-1])
    assert kit.browser.get(f"/cases/{case}/course").status in (400, 409)
    assert kit.browser.get(f"/cases/{case}").status == 200
    assert kit.browser.get(f"/cases/{case}/withdraw").status == 200
