"""A consent step by step: what is said is kept as it is said, and counts for nothing until it is
recorded, once."""

import re
import shutil
from datetime import timedelta

import pytest
from msgspec.structs import replace

from appliance.casework.consent import Consent
from appliance.casework.consent_draft import ConsentDraft, draft_of, keep_draft
from appliance.protocol.objects import case_files
from tests.support.pages import NOW, Page, WebKit

SIGNATURE = "10,20 300,40 512,590|600,10 610,20"
ALEX = {
    "name": "Alex",
    "relation": "mother",
    "speaks_as": "adult",
    "answers_for": "parent",
    "on_behalf_of": "Robin",
}
PRACTICAL = {
    "limit": "300",
    "valid_until-day": "1",
    "valid_until-month": "2",
    "valid_until-year": "2027",
    "language": "English",
    "worries": "Who will see it?",
}


class Talk:
    """A family is asked, in one window."""

    def __init__(self, kit: WebKit) -> None:
        self.kit = kit
        self.case = kit.browser.submit("/cases/new", label="R and K", check_word="x").path[7:23]
        self.url = f"/cases/{self.case}/consent"

    def go(self, path: str = "") -> Page:
        return self.kit.browser.get(f"{self.url}{path}")

    def send(self, path: str, **fields: object) -> Page:
        return self.kit.browser.submit(f"{self.url}{path}", **fields)

    def at(self, page: Page) -> str:
        """The step where somebody is."""
        return re.sub("[a-z2-7]{16}", "-", page.path.removeprefix(self.url))

    @property
    def draft(self) -> ConsentDraft | None:
        return draft_of(self.kit.open_case(self.case), NOW)

    @property
    def people(self) -> list[str]:
        assert self.draft
        return [person.id for person in self.draft.people]

    @property
    def consents(self) -> list[str]:
        folder = self.kit.home.case(self.case) / "documents"
        return [path.name for path in folder.glob("consent-*")]

    def recorded(self) -> Consent | None:
        return self.kit.open_case(self.case).read(Consent)

    def introduce(self, number: int = 0, **fields: object) -> Page:
        return self.send(f"/{self.people[number]}/who", **(ALEX | fields))

    def answer(self, page: Page, **other: str) -> Page:
        """Answer each question that follows: yes, or what is named."""
        while match := re.search("/agree/([a-z-]+)$", page.path):
            path = page.path.removeprefix(self.url)
            page = self.send(path, answer=other.get(match[1].replace("-", "_"), "yes"))
        return page

    def to_check(self) -> Page:
        """As far as the page on which it is checked, with one parent."""
        self.send("/promises")
        self.answer(self.introduce(), training="no")
        return self.send("/practical", **PRACTICAL)


@pytest.fixture
def talk(kit: WebKit) -> Talk:
    return Talk(kit)


def test_one_question_follows_the_other_and_nothing_is_chosen_beforehand(talk: Talk) -> None:
    assert talk.at(talk.go()) == "" and talk.draft is None
    page = talk.send("/promises")
    assert talk.at(page) == "/-/who"
    assert not page.form(page.path)["name"][0] and "answers_for" not in page.form(page.path)
    page = talk.introduce()
    asked = []
    while match := re.search("/agree/([a-z-]+)$", page.path):
        asked.append(match[1])
        assert "The answer was" not in page.words and page.words.count("I agree") == 1
        page = talk.send(page.path.removeprefix(talk.url), answer="yes")
    assert asked[0] == "filming" and len(asked) == 7
    assert talk.at(page) == "/practical"
    form = page.form(page.path)
    assert form["language"] == ["English"] and "limit" not in form
    # Three cycles, each with two weeks for the review and as long for the next film.
    day = (NOW + timedelta(days=84)).date()
    filled = [form[f"valid_until-{part}"][0] for part in ("day", "month", "year")]
    assert filled == [str(day.day), str(day.month), str(day.year)]
    page = talk.send("/practical", **PRACTICAL)
    assert talk.at(page) == "/check"
    assert not {"given", "choice"} & set(page.form(page.path))
    assert talk.consents == [] and talk.recorded() is None
    page = talk.send("/check", given="signed", choice="y")
    assert page.path == f"/cases/{talk.case}/arm"
    assert len(talk.consents) == 1 and talk.draft is None
    consent = talk.recorded()
    assert consent and len(consent.purposes) == 7 and consent.worries == "Who will see it?"


def test_whoever_goes_back_finds_what_was_said_and_may_say_it_again(talk: Talk) -> None:
    talk.to_check()
    before = talk.draft
    (alex,) = talk.people
    for step in ("/promises", f"/{alex}/who", f"/{alex}/agree/training", "/practical", "/check"):
        page = talk.go(step)
        assert page.status == 200 and page.path.endswith(step)
    assert "The answer was No" in talk.go(f"/{alex}/agree/training").words
    assert talk.go(f"/{alex}/who").form(f"{talk.url}/{alex}/who")["on_behalf_of"] == ["Robin"]
    # What is sent once more changes nothing, and leads to where it was left.
    assert talk.at(talk.send("/promises")) == "/check"
    assert talk.at(talk.introduce()) == "/check"
    assert talk.at(talk.send(f"/{alex}/agree/training", answer="no")) == "/check"
    assert talk.draft == before
    # Another answer comes back to the check as well.
    assert talk.at(talk.send(f"/{alex}/agree/training", answer="yes")) == "/check"
    assert talk.draft and talk.draft.people[0].said["training"]


def test_a_battery_that_dies_between_two_steps_loses_nothing(talk: Talk) -> None:
    kit = talk.kit
    talk.send("/promises")
    page = talk.introduce()
    talk.send(page.path.removeprefix(talk.url), answer="no")
    kit.start()
    kit.unlock()
    page = talk.go()
    assert talk.at(page) == "/-/agree/supervisor" and "Alex" in page.words
    assert talk.draft and talk.draft.people[0].said == {"filming": False}


def test_what_is_not_recorded_allows_nothing_is_sealed_and_stays_on_this_kit(talk: Talk) -> None:
    kit, directory = talk.kit, talk.kit.home.case(talk.case)
    talk.to_check()
    talk.send("/check", given="signed")
    assert "Record consent first" in kit.browser.get(f"/cases/{talk.case}/arm").words
    for path in kit.root.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"Alex" not in data and b"Robin" not in data
    (draft,) = (directory / "drafts").iterdir()
    assert draft not in [path for _part, path in case_files(directory)]
    # Nor does it become one where it does not belong.
    shutil.copy(draft, directory / "documents" / f"consent-0001-{kit.recorder.status.kit}.age")
    shutil.copy(draft, directory / "documents" / "consentdraft-0000.age")
    assert "Record consent first" in kit.browser.get(f"/cases/{talk.case}/arm").words


def test_what_another_kit_or_family_was_asked_is_not_gone_on_with(talk: Talk) -> None:
    other = Talk(talk.kit)
    other.to_check()
    talk.send("/promises")
    there = talk.kit.home.case(other.case) / "drafts" / "consent.age"
    shutil.copy(there, talk.kit.home.case(talk.case) / "drafts")
    assert talk.at(talk.go()) == "" and talk.draft is None
    assert other.draft


def test_what_was_begun_on_another_day_is_thrown_away(talk: Talk) -> None:
    talk.to_check()
    talk.kit.browser.submit("/cases", action="/lock")
    talk.kit.clock.advance(86400)
    talk.kit.unlock(NOW + timedelta(days=1))
    assert talk.go("/check").path == f"/cases/{talk.case}"
    assert talk.at(talk.go()) == "" and "Read this out first" in talk.go().words
    assert not list((talk.kit.home.case(talk.case) / "drafts").iterdir())


def test_it_is_recorded_once_however_often_it_is_sent(talk: Talk) -> None:
    talk.to_check()
    form = dict(talk.go("/check").form(f"{talk.url}/check")) | {"given": "signed", "choice": "y"}
    path = f"{talk.url}/check"
    first, again = (talk.kit.browser.post(path, dict(form)) for _time in range(2))
    assert first.path == again.path == f"/cases/{talk.case}/arm"
    assert len(talk.consents) == 1
    # The power went before the draft was gone.
    talk.send("/promises")
    case, recorded = talk.kit.open_case(talk.case), talk.recorded()
    assert recorded and talk.draft
    keep_draft(case, replace(talk.draft, id=recorded.record_id))
    assert talk.draft is None and len(talk.consents) == 1


def test_what_another_window_changed_is_looked_at_before_it_is_recorded(talk: Talk) -> None:
    talk.to_check()
    (alex,) = talk.people
    form = dict(talk.go("/check").form(f"{talk.url}/check")) | {"given": "signed", "choice": "y"}
    talk.send(f"/{alex}/agree/copies", answer="no")
    page = talk.kit.browser.post(f"{talk.url}/check", form)
    assert page.status == 400 and "changed in another window" in page.words
    assert talk.consents == [] and page.text.count("<title>Error:") == 1


def test_two_people_sign_one_after_the_other_each_for_what_they_said(talk: Talk) -> None:
    talk.to_check()
    page = talk.kit.browser.submit(f"{talk.url}/check", f"{talk.url}/add")
    assert talk.at(page) == "/-/who"
    sam = talk.people[1]
    talk.answer(talk.introduce(1, name="Sam", relation="uncle", answers_for="nobody"))
    page = talk.send("/check", given="drawn", choice="y")
    alex = talk.people[0]
    assert page.path == f"{talk.url}/{alex}/sign" and "Sam" not in page.words
    # A reload, and a signature that is none.
    assert talk.go(f"/{alex}/sign").status == 200
    page = talk.send(f"/{alex}/sign", signature="<svg onload=x>")
    assert page.status == 400 and "Ask this person to sign here" in page.words
    page = talk.send(f"/{alex}/sign", signature=SIGNATURE)
    assert page.path == f"{talk.url}/{sam}/sign" and "Alex" not in page.words
    assert talk.consents == []
    # Back, and once more.
    assert talk.send(f"/{alex}/sign", signature=SIGNATURE).path == f"{talk.url}/{sam}/sign"
    page = talk.send(f"/{sam}/sign", signature="1,1 2,2")
    assert page.path == f"/cases/{talk.case}/arm" and len(talk.consents) == 1
    consent = talk.recorded()
    assert consent and [one.signature for one in consent.people] == [SIGNATURE, "1,1 2,2"]
    assert (consent.people[1].authority, consent.people[1].on_behalf_of) == ("", "")
    page = talk.kit.browser.get(f"{talk.url}/receipt")
    assert 'viewBox="0 0 1000 600"' in page.text and 'viewBox="0 0 1000 300"' in page.text


def test_a_signature_is_for_what_was_said_and_for_nothing_that_is_changed_later(talk: Talk) -> None:
    talk.to_check()
    talk.kit.browser.submit(f"{talk.url}/check", f"{talk.url}/add")
    talk.answer(talk.introduce(1, name="Sam", relation="uncle", answers_for="nobody"))
    talk.send("/check", given="drawn", choice="y")
    alex, sam = talk.people
    talk.send(f"/{alex}/sign", signature=SIGNATURE)
    late = dict(talk.go(f"/{sam}/sign").form(f"{talk.url}/{sam}/sign")) | {"signature": "1,1 2,2"}
    # In another window.
    talk.send(f"/{sam}/agree/copies", answer="no")
    draft = talk.draft
    assert draft and draft.people[0].signature == SIGNATURE and not draft.choice
    page = talk.kit.browser.post(f"{talk.url}/{sam}/sign", late)
    assert talk.at(page) == "/check" and talk.consents == []
    assert talk.draft == draft
    talk.send("/practical", **(PRACTICAL | {"limit": "180"}))
    assert talk.draft and not any(person.signature for person in talk.draft.people)
    page = talk.send("/check", given="drawn", choice="y")
    assert page.path == f"{talk.url}/{alex}/sign"


def test_the_page_to_sign_says_what_one_person_said_and_leads_nowhere_else(talk: Talk) -> None:
    talk.to_check()
    page = talk.send("/check", given="drawn", choice="y")
    assert "No: Some clips can be shown at training events" in page.words
    assert "Yes: Filming" in page.words and "for Robin" in page.words
    assert set(re.findall('<a[^>]* href="([^"]*)"', page.text)) == {f"{talk.url}/check"}
    assert set(re.findall('action="([^"]*)"', page.text)) == {page.path}
    assert "R and K" not in page.text and "lantern" not in page.text


def test_a_child_is_asked_for_only_of_whoever_answers_for_one(talk: Talk) -> None:
    talk.send("/promises")
    assert talk.introduce(on_behalf_of="").status == 400
    assert "Enter the name of the child" in talk.introduce(on_behalf_of="").words
    assert talk.introduce(answers_for="king").status == 400
    talk.introduce(answers_for="nobody")
    assert talk.draft and talk.draft.people[0].on_behalf_of == ""


def test_a_person_can_be_taken_out_again(talk: Talk) -> None:
    talk.to_check()
    talk.kit.browser.submit(f"{talk.url}/check", f"{talk.url}/add")
    sam = talk.people[1]
    page = talk.kit.browser.submit(f"{talk.url}/check", f"{talk.url}/{sam}/take-out")
    assert talk.at(page) == "/check" and len(talk.people) == 1
    # A window in which they were still being asked goes on with the others.
    token = page.form(f"{talk.url}/check")["csrf_token"]
    late = talk.kit.browser.post(
        f"{talk.url}/{sam}/agree/filming", {"csrf_token": token, "answer": "yes"}
    )
    assert talk.at(late) == "/check" and len(talk.people) == 1


def test_the_next_time_people_are_filled_in_and_asked_again(talk: Talk) -> None:
    talk.to_check()
    talk.send("/check", given="signed", choice="y")
    page = talk.send("/promises")
    form = page.form(page.path)
    assert form["name"] == ["Alex"] and form["on_behalf_of"] == ["Robin"]
    assert form["answers_for"] == ["parent"]
    page = talk.introduce()
    assert talk.at(page) == "/-/agree/filming" and "The answer was" not in page.words
    talk.answer(page)
    form = talk.go("/practical").form(f"{talk.url}/practical")
    assert form["worries"] == [""] and "limit" not in form


def test_it_goes_with_a_withdrawal_and_can_be_thrown_away(talk: Talk) -> None:
    drafts = talk.kit.home.case(talk.case) / "drafts"
    talk.to_check()
    page = talk.kit.browser.submit(f"{talk.url}/check", f"{talk.url}/throw-away")
    assert page.path == f"/cases/{talk.case}" and not list(drafts.iterdir())
    talk.to_check()
    talk.kit.browser.submit(f"/cases/{talk.case}/withdraw", confirm="y")
    assert not drafts.exists()


def test_other_words_since_they_were_read_out_are_read_out_again(talk: Talk) -> None:
    talk.to_check()
    (talk.kit.home.keys / "service.toml").write_text("retention_days = 30")
    page = talk.send("/check", given="signed", choice="y")
    assert talk.consents == [] and "keep your films for 30 days" in page.words
    assert talk.at(talk.send("/promises")) == "/check"
    talk.send("/check", given="signed", choice="y")
    consent = talk.recorded()
    assert consent and consent.retention_period == 30


def test_what_is_refused_is_said_first_in_the_title_and_keeps_what_was_written(talk: Talk) -> None:
    talk.send("/promises")
    page = talk.introduce(name="", relation="aunt")
    assert page.status == 400 and "<title>Error: Who will be in the room?" in page.text
    assert page.form(page.path)["relation"] == ["aunt"]
    page = talk.send(page.path.removeprefix(talk.url))
    filming = page.path.removeprefix(talk.url).replace("/who", "/agree/filming")
    page = talk.send(filming, answer="perhaps")
    assert page.status == 400 and "Choose Yes or No." in page.words
    assert talk.go(filming.replace("filming", "flying")).status == 404
