"""Two kits wrote of one family and did not know of each other: one tap keeps one of both."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from appliance.casework.clips import Choice, Words, say, shelf
from appliance.casework.consent import Consent, consent_of
from appliance.casework.course import Arranged, course_of, end
from appliance.casework.forks import KINDS, forks
from appliance.records.files import new_id
from appliance.vault.cases import Goal, Goals, Team
from tests.support import films
from tests.support.forks import OTHER, There, copied
from tests.support.moments import keep_clip
from tests.support.pages import CONSENT, NOW, WebKit, practitioner
from web_ui.session.forks import TITLES

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def case(kit: WebKit) -> str:
    kit.unlock()
    return kit.make_case()


@pytest.fixture
def elsewhere(kit: WebKit, case: str, tmp_path: Path) -> Callable[[], There]:
    def on_another_kit() -> There:
        return copied(kit.open_case(case), tmp_path / new_id(), LATER)

    return on_another_kit


def goals(text: str) -> Goals:
    return Goals(goals=(Goal(id=new_id(), text=text),))


def keeps(kit: WebKit, case: str, page: str, words: str) -> None:
    """Press the button below these words."""
    found = kit.browser.get(page)
    (fork,) = [one for one in forks(kit.open_case(case)) if one.versions]
    (digest,) = [
        one.digest for one in fork.versions if words in msgspec.json.encode(one.fact).decode()
    ]
    assert words in found.words
    answer = kit.browser.submit(
        page, f"/cases/{case}/forks", name=fork.name, item=fork.item, keep=digest
    )
    assert answer.status == 200 and answer.path == f"/cases/{case}"


@pytest.mark.parametrize("kept", ["ours", "theirs"])
@pytest.mark.parametrize("page", ["goals", "forks"])
def test_of_two_kits_goals_both_are_shown_and_one_tap_keeps_one(
    kit: WebKit, case: str, elsewhere: Callable[[], There], kept: str, page: str
) -> None:
    there = elsewhere()
    kit.open_case(case).write(goals("ours"))
    there.case.write(goals("theirs"))
    assert "Two kits saved different" not in kit.browser.get(f"/cases/{case}").words
    there.arrives()
    seen = kit.browser.get(f"/cases/{case}")
    assert "Two kits have different notes" in seen.words and "theirs" in seen.words
    seen = kit.browser.get(f"/cases/{case}/{page}")
    assert "ours" in seen.words and "theirs" in seen.words
    assert f"In use now. Saved on kit {OTHER}, 21 November 2026" in seen.words
    keeps(kit, case, f"/cases/{case}/{page}", kept)
    found = kit.open_case(case).read(Goals)
    assert found and [goal.text for goal in found.goals] == [kept]
    assert "Two kits saved different" not in kit.browser.get(f"/cases/{case}").words
    assert "Saved on two kits" not in kit.browser.get(f"/cases/{case}/goals").words
    assert "One of two kits' versions was chosen" in kit.browser.get("/log").words


def test_a_course_that_ended_there_can_be_kept_open_here(
    kit: WebKit, case: str, elsewhere: Callable[[], There]
) -> None:
    there = elsewhere()
    end(there.case, LATER, "To go on as they do", 60)
    opened = kit.open_case(case)
    opened.write(msgspec.structs.replace(course_of(opened), next_steps="Three more visits"))
    there.arrives()
    assert course_of(kit.open_case(case)).ended == LATER
    page = kit.browser.get(f"/cases/{case}/course")
    assert "The work has finished" in page.words and "The work is going on" in page.words
    keeps(kit, case, f"/cases/{case}/course", "Three more visits")
    assert course_of(kit.open_case(case)).ended is None


def test_what_is_written_anew_settles_it_without_a_tap(
    kit: WebKit, case: str, elsewhere: Callable[[], There]
) -> None:
    there = elsewhere()
    kit.open_case(case).write(Arranged(place="at home"))
    there.case.write(Arranged(place="at the clinic"))
    there.arrives()
    assert "at the clinic" in kit.browser.get(f"/cases/{case}/forks").words
    kit.browser.submit(
        f"/cases/{case}/course", f"/cases/{case}/course/arrange", place="at nursery", supervisor=""
    )
    assert forks(kit.open_case(case)) == []
    seen = kit.browser.get(f"/cases/{case}/forks")
    assert "There is nothing to choose" in seen.words


def test_what_is_kept_twice_or_is_none_of_both_is_refused_in_words(
    kit: WebKit, case: str, elsewhere: Callable[[], There]
) -> None:
    there = elsewhere()
    kit.open_case(case).write(goals("ours"))
    there.case.write(goals("theirs"))
    there.arrives()
    page = f"/cases/{case}/forks"
    for name, keep in (("goals", "0" * 64), ("consent", "0" * 64), ("../x", "x")):
        answer = kit.browser.submit(page, page, name=name, item="", keep=keep)
        assert answer.status == 400 and "Someone has already chosen" in answer.words
    assert len(forks(kit.open_case(case))) == 1


def test_of_two_consents_only_what_both_allow_counts_until_it_is_recorded_anew(
    kit: WebKit, case: str, elsewhere: Callable[[], There]
) -> None:
    there = elsewhere()
    agreed = consent_of(kit.open_case(case))
    assert agreed
    kit.open_case(case).write(agreed.without(["filming"], NOW))
    there.case.write(msgspec.structs.replace(agreed, record_id=new_id(), event_time=LATER))
    there.arrives()
    assert "No consent to film" in kit.browser.get(f"/cases/{case}").words
    for page in ("forks", "consent"):
        assert "we only do what both allow" in kit.browser.get(f"/cases/{case}/{page}").words
    kit.browser.consent(case, **CONSENT)
    assert len(kit.open_case(case).versions(Consent)) == 1
    assert "No consent to film" not in kit.browser.get(f"/cases/{case}").words


def test_moments_that_were_chosen_on_either_kit_are_all_chosen(
    kit: WebKit, case: str, elsewhere: Callable[[], There]
) -> None:
    film = kit.recorder.write_film(case, kit.recipient(case))
    opened = kit.open_case(case)
    one, two = (keep_clip(opened, film, films.film(75), NOW) for _ in range(2))
    there = elsewhere()
    opened.write(Choice(kept=(one.id,)))
    there.case.write(Choice(kept=(two.id,)))
    say(opened, one.id, Words(note="she waits"))
    say(there.case, one.id, Words(note="he waits for her"))
    there.arrives()
    assert [kept.id for kept in shelf(kit.open_case(case)).chosen] == [two.id, one.id]
    keeps(kit, case, f"/cases/{case}/forks", "she waits")
    assert {kept.words.note for kept in shelf(kit.open_case(case)).chosen} == {"she waits", ""}


def test_a_list_of_who_works_here_that_would_close_the_case_cannot_be_kept(
    kit: WebKit, case: str, elsewhere: Callable[[], There]
) -> None:
    there = elsewhere()
    team = kit.open_case(case).read(Team)
    assert team
    kit.open_case(case).write(team)
    stranger = practitioner(1).card()
    there.case.write(Team(members=(stranger,), recipient=stranger.recipient))
    there.arrives()
    (fork,) = forks(kit.open_case(case))
    assert [one.fact for one in fork.versions] == [team]
    keeps(kit, case, f"/cases/{case}/forks", practitioner().card().name)
    assert kit.open_case(case).versions(Team)[0].fact == team


def test_every_kind_of_document_that_can_be_kept_has_a_name_on_the_page() -> None:
    assert set(TITLES) == set(KINDS)
