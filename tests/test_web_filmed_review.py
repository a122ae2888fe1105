"""The shared review itself is filmed: a film of its own kind, with an agreement of its own."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest

from appliance.clips import choose
from tests import films
from tests.moments import keep_clip
from tests.pages import NOW, WebKit

BOTH = ["filming", "filming-review"]


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        made.unlock()
        yield made


@pytest.fixture(scope="module")
def film() -> bytes:
    return films.film(60)


def test_it_is_armed_for_by_itself_and_the_permit_says_so(kit: WebKit) -> None:
    case = kit.make_case(people__0__purposes=BOTH)
    page = kit.browser.get(f"/cases/{case}/arm?kind=review")
    assert "film of the shared review itself" in page.words
    kit.browser.submit(f"/cases/{case}/arm?kind=review", action=f"/cases/{case}/arm")
    permit = kit.recorder.permit()
    assert permit and permit.kind == "review"
    kit.browser.submit(f"/cases/{case}/arm")
    permit = kit.recorder.permit()
    assert permit and permit.kind == "visit"


@pytest.mark.parametrize(("agreed", "kind"), [("filming", "review"), ("filming-review", "visit")])
def test_one_agreement_does_not_stand_for_the_other(kit: WebKit, agreed: str, kind: str) -> None:
    case = kit.make_case(people__0__purposes=[agreed])
    page = kit.browser.get(f"/cases/{case}/arm?kind={kind}")
    assert "not agreed to" in page.words
    token = kit.browser.get("/cases/new").form("/cases/new")["csrf_token"]
    sent: dict[str, object] = {"csrf_token": token, "kind": kind, "films": "1"}
    assert kit.browser.post(f"/cases/{case}/arm", sent).status == 400
    assert kit.recorder.permit() is None


def test_it_is_offered_where_everybody_agreed(kit: WebKit, film: bytes) -> None:
    for agreed in (["filming"], BOTH):
        case = kit.make_case(people__0__purposes=agreed)
        opened = kit.open_case(case)
        recording = kit.recorder.write_film(case, kit.recipient(case), stream=film)
        choose(opened, keep_clip(opened, recording, film, NOW).id)
        page = kit.browser.get(f"/cases/{case}/review")
        assert ("Film this review" in page.words) is (agreed == BOTH)


def test_it_waits_for_no_review_of_its_own(kit: WebKit, film: bytes) -> None:
    case = kit.make_case(people__0__purposes=BOTH)
    kit.recorder.write_film(case, kit.recipient(case), stream=film, kind="review")
    assert "Nothing waits" in kit.browser.get(f"/cases/{case}/course").words
    assert "Shared review." in kit.browser.get(f"/cases/{case}").words
    kit.recorder.write_film(case, kit.recipient(case), stream=film)
    day = (NOW + timedelta(days=14)).day
    assert f"{day} " in kit.browser.get(f"/cases/{case}/course").words.partition("Review by")[2]


def test_taking_it_back_closes_the_films_of_reviews_and_no_others(kit: WebKit, film: bytes) -> None:
    case = kit.make_case(people__0__purposes=BOTH)
    kinds: tuple[Literal["visit", "review"], ...] = ("visit", "review")
    of = {
        kind: kit.recorder.write_film(case, kit.recipient(case), stream=film, kind=kind)
        for kind in kinds
    }
    url = f"/cases/{case}/withdraw"
    plays = {kind: f"/cases/{case}/films/{name}/video" for kind, name in of.items()}
    assert [kit.browser.get(plays[kind]).status for kind in of] == [200, 200]
    kit.browser.submit(url, action=f"{url}/purpose", purposes=["filming-review"])
    assert [kit.browser.get(plays[kind]).status for kind in of] == [200, 410]
