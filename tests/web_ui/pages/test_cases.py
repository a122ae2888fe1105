"""Cases, goals, consent and arming: from what a family says to a signed order."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from appliance.casework.consent import Consent
from appliance.protocol.permits import Books, Ceilings, Permit, PressRefusal, judge
from appliance.records.clock import Judgement, Trust
from appliance.records.files import save_fact, to_json
from appliance.vault.cases import Goals
from tests.support.pages import CONSENT, NOW, Page, WebKit, service
from web_ui.pages.arming import permit_end
from web_ui.pages.cases import SHOWN


def consent_of(kit: WebKit, case: str) -> Consent | None:
    return kit.open_case(case).read(Consent)


def record(kit: WebKit, case: str, **changes: object) -> Page:
    return kit.browser.consent(case, **(CONSENT | changes))


def arm(kit: WebKit, case: str, **fields: object) -> Page:
    return kit.browser.submit(f"/cases/{case}/arm", **fields)


def answer(kit: WebKit) -> Permit | PressRefusal:
    """What a recorder's gate says to a press."""
    path = kit.home.permits / "current"
    return judge(
        path.read_text() if path.exists() else None,
        kit=kit.recorder.status.kit,
        enrolled=kit.parts.enrolled,
        books=Books(),
        boot=kit.clock.read().boot,
        clock=Judgement(Trust.TRUSTED, kit.recorder.status.now),
    )


def test_a_visit_from_a_new_case_to_a_press_that_films(kit: WebKit) -> None:
    page = kit.browser.submit("/cases/new", label="R and K", check_word="lantern")
    case = page.path.split("/")[2]
    assert "R and K" in page.words and "lantern" in page.words
    assert answer(kit) is PressRefusal.NO_PERMIT
    page = kit.browser.submit(f"/cases/{case}/goals", goal="To notice when she starts")
    assert page.path == f"/cases/{case}/consent"
    assert "To notice when she starts" in kit.browser.get(f"/cases/{case}").words
    assert record(kit, case).path == f"/cases/{case}/arm"
    page = kit.browser.get(f"/cases/{case}")
    assert "Films of up to 5 minutes. Consent ends at the end of 1 February 2027" in page.words
    page = arm(kit, case)
    assert page.path == f"/cases/{case}"
    permit = answer(kit)
    assert isinstance(permit, Permit)
    assert (permit.case, permit.limit, permit.films, permit.sound) == (case, 300, 1, True)
    assert permit.recipient == kit.recipient(case)
    assert permit.not_before == NOW
    assert permit.not_after - NOW <= timedelta(hours=24)
    assert page.tagged("Ready to film")


def test_a_permit_names_the_consent_it_was_made_from(kit: WebKit) -> None:
    case = kit.make_case()
    arm(kit, case)
    permit = answer(kit)
    assert isinstance(permit, Permit)
    found = kit.open_case(case).read_with_digest(Consent)
    assert found and permit.consent == found[1]


def test_a_permit_ends_tonight_and_never_after_the_consent(kit: WebKit) -> None:
    case = kit.make_case(valid_until="2026-11-21")
    arm(kit, case)
    permit = answer(kit)
    assert isinstance(permit, Permit)
    consent = consent_of(kit, case)
    assert consent and permit.not_after == consent.valid_until
    assert permit.not_after.astimezone().date().isoformat() == "2026-11-22"


def test_a_permit_never_outlives_the_consent_the_day_or_a_days_length(kit: WebKit) -> None:
    case = kit.make_case()
    consent = consent_of(kit, case)
    assert consent
    noon = msgspec.structs.replace(consent, valid_until=NOW + timedelta(minutes=5))
    most = Ceilings(since=NOW)
    assert permit_end(noon, NOW, most) == NOW + timedelta(minutes=5)
    for hour in range(48):
        now = NOW + timedelta(hours=hour)
        assert timedelta() < permit_end(consent, now, most) - now <= timedelta(hours=24)


def signed_ceilings(kit: WebKit, **changes: int) -> None:
    """The service has signed what this kit may do at most."""
    most = Ceilings(since=NOW - timedelta(days=1), **changes)
    note = service().signer.sign(to_json(most).decode() + "\n")
    assert kit.parts.enrolled
    enrolled = msgspec.structs.replace(kit.parts.enrolled, ceilings=note)
    save_fact(kit.home.kit / "enrolled.json", enrolled)


def test_the_page_asks_for_no_more_than_the_service_allows(kit: WebKit) -> None:
    signed_ceilings(kit, limit=300, films=2, life=3600)
    case = kit.make_case()
    page = kit.browser.submit(f"/cases/{case}/arm", films="3")
    assert page.status == 400 and "Enter a number between 1 and 2" in page.words
    kit.browser.submit(f"/cases/{case}/arm", films="2")
    permit = kit.recorder.permit()
    assert permit and permit.not_after - permit.not_before == timedelta(hours=1)
    assert isinstance(answer(kit), Permit), "and the recorder agrees"


def test_a_consent_to_a_longer_film_than_the_service_allows_is_said_before_arming(
    kit: WebKit,
) -> None:
    signed_ceilings(kit, limit=180)
    case = kit.make_case()
    assert "films of up to 3 minutes" in kit.browser.get(f"/cases/{case}/arm").words


def test_disarming_takes_the_permit_away(kit: WebKit) -> None:
    case = kit.make_case()
    arm(kit, case)
    page = kit.browser.submit(f"/cases/{case}", action="/disarm")
    assert page.path == f"/cases/{case}"
    assert answer(kit) is PressRefusal.NO_PERMIT


def test_no_goal_and_nothing_said_about_it_stops_arming(kit: WebKit) -> None:
    case = kit.browser.submit("/cases/new", label="A", check_word="b").path.split("/")[2]
    record(kit, case)
    assert "Add a goal, or tick" in kit.browser.get(f"/cases/{case}/arm").words
    kit.browser.submit(f"/cases/{case}/goals", not_yet="y")
    assert "/arm" in kit.browser.get(f"/cases/{case}/arm").text
    arm(kit, case)
    assert isinstance(answer(kit), Permit)


def test_a_goal_can_be_added_after_not_yet(kit: WebKit) -> None:
    case = kit.browser.submit("/cases/new", label="A", check_word="b").path.split("/")[2]
    kit.browser.submit(f"/cases/{case}/goals", not_yet="y")
    kit.browser.submit(f"/cases/{case}/goals", goal="First", not_yet=None)
    kit.browser.submit(f"/cases/{case}/goals", goal="Second")
    goals = kit.open_case(case).read(Goals)
    assert goals and [goal.text for goal in goals.goals] == ["First", "Second"]
    assert not goals.not_yet


def test_an_empty_goal_is_refused_in_words(kit: WebKit) -> None:
    case = kit.browser.submit("/cases/new", label="A", check_word="b").path.split("/")[2]
    page = kit.browser.submit(f"/cases/{case}/goals")
    assert page.status == 400
    assert "Add a goal, or tick" in page.words


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"people__0__purposes": ["training"]}, "No one has agreed to filming"),
        (
            {
                "people__1__name": "Sam",
                "people__1__relation": "aunt",
                "people__1__purposes": ["training"],
            },
            "Not everyone in the room agrees",
        ),
        (
            {"people__1__name": "Sam", "people__1__relation": "grandfather"},
            "Not everyone in the room agrees",
        ),
        (
            {"people__0__authority": "", "people__0__child": ""},
            "No one with parental responsibility",
        ),
    ],
)
def test_a_consent_that_does_not_allow_filming_is_recorded_and_arms_nothing(
    kit: WebKit, changes: dict[str, object], words: str
) -> None:
    case = kit.make_case(**changes)
    page = kit.browser.get(f"/cases/{case}/arm")
    assert words in page.words
    assert '<form method="post" action="/cases/' not in page.text
    token = page.form("/lock")["csrf_token"][0]
    kit.browser.post(f"/cases/{case}/arm", {"csrf_token": token, "films": "3"})
    assert answer(kit) is PressRefusal.NO_PERMIT


def test_a_consent_that_has_ended_arms_nothing(kit: WebKit) -> None:
    case = kit.make_case(valid_until="2026-11-21")
    kit.pass_by(timedelta(days=2).total_seconds())
    kit.unlock(NOW + timedelta(days=2))
    kit.browser.submit(f"/cases/{case}/word", word="lantern")
    assert "This consent has ended" in kit.browser.get(f"/cases/{case}/arm").words


def test_an_unsure_clock_arms_nothing(kit: WebKit) -> None:
    case = kit.make_case()
    kit.recorder.show(clock="doubtful", now=None)
    page = kit.browser.get(f"/cases/{case}/arm")
    assert "not sure of the time" in page.words


def test_a_silent_recorder_arms_nothing(kit: WebKit) -> None:
    case = kit.make_case()
    kit.clock.advance(4)
    page = kit.browser.get(f"/cases/{case}/arm")
    assert "page cannot talk to the camera" in page.words


def test_while_the_recorder_is_silent_no_page_says_that_a_press_films(kit: WebKit) -> None:
    case = kit.make_case()
    kit.browser.submit(f"/cases/{case}/arm")
    kit.recorder.show(state="ready", case=case)
    assert "Press the button once to start filming" in kit.browser.get(f"/cases/{case}").words
    kit.clock.advance(4)
    page = kit.browser.get(f"/cases/{case}").words
    assert "Press the button once to start filming" not in page and "Turn the button off" in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"people__0__name": "", "people__0__relation": ""}, "Enter this person's name"),
        ({"people__0__purposes": None}, "No one agrees to anything"),
        ({"limit": None}, "Select how long"),
        ({"limit": "99999"}, "Select how long"),
        ({"limit": "custom", "limit_seconds": "4"}, "from 5 to 3600"),
        ({"limit": "custom", "limit_seconds": "3601"}, "from 5 to 3600"),
        ({"limit": "custom", "limit_seconds": "-5"}, "from 5 to 3600"),
        ({"valid_until": ""}, "Enter the day this consent ends"),
        ({"valid_until": "soon"}, "Enter the day this consent ends"),
        ({"valid_until": "2026-11-20"}, "must be today or later"),
        ({"valid_until": "2029-01-01"}, "within the next 13 months"),
        ({"language": " "}, "Enter the language"),
        ({"language": "x" * 81}, "Use 80 characters or fewer"),
        ({"given": "perhaps"}, "Select how they gave consent"),
        ({"given": "drawn"}, "Ask this person to sign"),
        ({"given": "drawn", "people__0__signature": "<svg onload=x>"}, "Ask this person to sign"),
        ({"given": "witnessed"}, "Enter who was listening"),
        ({"choice": None}, "Confirm that everyone chose"),
        ({"people__0__child": ""}, "Enter the name of the child"),
        ({"people__0__authority": "king"}, "Select if they are giving consent for a child"),
        ({"people__0__speaks_as": "dog"}, "Select if this person is an adult"),
        ({"worries": "x" * 1001}, "Use 1000 characters or fewer"),
    ],
)
def test_a_consent_with_something_missing_is_not_recorded_and_says_what(
    kit: WebKit, changes: dict[str, object], words: str
) -> None:
    case = kit.browser.submit("/cases/new", label="A", check_word="b").path.split("/")[2]
    page = record(kit, case, **changes)
    assert page.status == 400
    assert words in page.words
    assert consent_of(kit, case) is None


def test_seconds_are_offered_only_where_a_scene_stands_in_for_the_camera(tmp_path: Path) -> None:
    kit = WebKit(tmp_path, camera="picamera")
    kit.unlock()
    case = kit.make_case(limit="custom", limit_seconds="10")
    assert consent_of(kit, case) is None
    assert "seconds" not in kit.browser.get(f"/cases/{case}/consent/practical").text


def test_people_who_are_only_written_half_are_asked_about(kit: WebKit) -> None:
    case = kit.browser.submit("/cases/new", label="A", check_word="b").path.split("/")[2]
    page = record(kit, case, people__1__purposes=["filming"])
    assert page.status == 400 and "Enter this person's name" in page.words


def test_words_of_a_family_are_shown_as_they_are_and_never_run(kit: WebKit) -> None:
    label = "<script>alert(1)</script> & \"K\" 'x'"
    case = kit.make_case(label, people__0__name="<img src=x onerror=alert(1)>")
    kit.browser.submit(f"/cases/{case}/consent", f"/cases/{case}/consent/promises")
    for path in ("", "/goals", "/consent", "/consent/check", "/arm", "/withdraw"):
        page = kit.browser.get(f"/cases/{case}{path}")
        assert "<script>alert" not in page.text and "<img" not in page.text
        assert (label in page.words) is (not path.startswith("/consent"))
    assert "<img src=x onerror=alert(1)>" in kit.browser.get(f"/cases/{case}/consent/check").words
    assert label in kit.browser.get("/cases").words


def test_no_word_of_a_family_lies_on_the_card_in_clear(kit: WebKit) -> None:
    case = kit.make_case("Label of the canary", people__0__name="Name of the canary")
    kit.browser.submit(f"/cases/{case}/goals", goal="Goal of the canary")
    arm(kit, case)
    for path in kit.root.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"canary" not in data and b"AGE-SECRET-KEY-" not in data, path


def test_a_damaged_case_does_not_hide_the_others(kit: WebKit) -> None:
    damaged, whole = kit.make_case("Damaged"), kit.make_case("Whole")
    kit.browser.submit("/cases", action="/lock")
    path = kit.home.case(damaged) / "documents" / "details-0001.age"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    kit.unlock()
    page = kit.browser.get("/cases")
    assert "Whole" in page.words and f"Family {damaged[:4]}: cannot be read" in page.words
    assert kit.browser.get(f"/cases/{whole}").status == 200
    # It has lost its name, and nobody knows its word; it can still be taken back.
    assert f"Family {damaged[:4]}" in kit.browser.get(f"/cases/{damaged}").words
    assert kit.browser.get(f"/cases/{damaged}/withdraw").status == 200


def test_a_long_list_of_cases_has_pages_in_the_order_of_their_names(kit: WebKit) -> None:
    names = [f"Family {number:02}" for number in range(SHOWN + 2)]
    for name in reversed(names):
        kit.browser.submit("/cases/new", label=name, check_word="lantern")
    first = kit.browser.get("/cases")
    assert [name for name in names if name in first.words] == names[:SHOWN]
    assert "/cases?page=2" in first.text and "Previous families" not in first.words
    second = kit.browser.get("/cases?page=2")
    assert [name for name in names if name in second.words] == names[SHOWN:]
    assert "/cases?page=1" in second.text and "More families" not in second.words
    assert "There is nothing on this page" in kit.browser.get("/cases?page=3").words
    for odd in ("0", "-1", "x", "99999999", ""):
        assert names[0] in kit.browser.get(f"/cases?page={odd}").words


def test_a_guessed_case_is_not_there(kit: WebKit) -> None:
    for case in ("abcdefghijklmnop", "ABCDEFGHIJKLMNOP", "..", "short"):
        assert kit.browser.get(f"/cases/{case}").status == 404


def test_how_many_films_is_asked_within_reason(kit: WebKit) -> None:
    case = kit.make_case()
    assert arm(kit, case, films="21").status == 400
    assert arm(kit, case, films="0").status == 400
    assert arm(kit, case, films="x").status == 400
    assert answer(kit) is PressRefusal.NO_PERMIT
    arm(kit, case, films="1", silent="y")
    permit = answer(kit)
    assert isinstance(permit, Permit) and (permit.films, permit.sound) == (1, False)


def test_arming_for_one_family_ends_it_for_the_other(kit: WebKit) -> None:
    first = kit.make_case("First")
    arm(kit, first)
    second = kit.make_case("Second")
    assert "ready to film another family" in kit.browser.get(f"/cases/{second}/arm").words
    arm(kit, second)
    permit = answer(kit)
    assert isinstance(permit, Permit) and permit.case == second
    assert "Ready to film" in kit.browser.get("/cases").words
    assert "ready to film this family" not in kit.browser.get(f"/cases/{first}").words


# --- The family's check word --------------------------------------------------------------------


def locked_and_unlocked(kit: WebKit) -> None:
    kit.browser.submit("/cases", action="/lock")
    kit.unlock()


@pytest.mark.parametrize("path", ["visit/frame", "review/show", "review/notes"])
def test_before_framing_and_before_a_review_the_family_says_its_word(
    kit: WebKit, path: str
) -> None:
    case = kit.make_case()
    url = f"/cases/{case}"
    assert kit.browser.get(f"{url}/{path}").path == f"{url}/{path}", "just chosen, in this sitting"
    locked_and_unlocked(kit)
    page = kit.browser.get(f"{url}/{path}")
    assert page.path == f"{url}/word" and "lantern" not in page.text
    page = kit.browser.submit(f"{url}/word?then={url}/{path}", action=f"{url}/word", word="kettle")
    assert page.status == 400 and "not this family's word" in page.words
    page = kit.browser.submit(
        f"{url}/word?then={url}/{path}", action=f"{url}/word", word=" Lantern "
    )
    assert page.path == f"{url}/{path}"


def test_without_the_word_no_permit_is_made(kit: WebKit) -> None:
    case = kit.make_case()
    locked_and_unlocked(kit)
    for word in ("", "kettle", "Robin"):
        page = arm(kit, case, word=word, here="these")
        assert page.status == 400 and "not this family's word" in page.words
        assert kit.recorder.permit() is None
    assert "lantern" not in page.text
    arm(kit, case, word=" Lantern ", here="these")
    assert kit.recorder.permit()


def test_the_word_of_one_family_opens_nothing_of_another(kit: WebKit) -> None:
    first, second = kit.make_case("The first"), kit.make_case("The second")
    locked_and_unlocked(kit)
    kit.browser.submit(f"/cases/{first}/word", word="lantern")
    assert "word" not in kit.browser.get(f"/cases/{first}/arm").form(f"/cases/{first}/arm")
    assert "word" in kit.browser.get(f"/cases/{second}/arm").form(f"/cases/{second}/arm")
    assert arm(kit, second, here="these").status == 400
    assert kit.recorder.permit() is None


def test_after_the_word_nobody_is_sent_to_another_site(kit: WebKit) -> None:
    case = kit.make_case()
    url = f"/cases/{case}/word"
    page = kit.browser.submit(f"{url}?then=//elsewhere.example/", action=url, word="lantern")
    assert page.path in ("/", "/cases")
