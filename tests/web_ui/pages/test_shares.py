"""Showing chosen clips to a supervisor, on the page."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.age.unsealing import unseal
from appliance.casework.clips import Clip
from appliance.casework.consent import Consent
from appliance.protocol.case_record import withdrawal_note
from appliance.records.files import to_json
from appliance.vault.keys import PrivateKeys
from tests.support import films
from tests.support.moments import keep_clip
from tests.support.pages import CONSENT, NOW, Page, WebKit, practitioner, service
from web_ui.keeper import Keeper

SUPERVISOR = PrivateKeys.generate("practitioner")
DAY = 86400.0


@dataclass
class Family:
    """A case with a clip of a film for which everybody agreed to a supervisor."""

    kit: WebKit
    id: str
    clip: Clip

    @property
    def url(self) -> str:
        return f"/cases/{self.id}/shares"

    def share(self, card: bytes | None = None, **form: object) -> Page:
        brought = to_json(SUPERVISOR.card()) if card is None else card
        sent: dict[str, object] = {
            "moments": [self.clip.id],
            "purpose": "supervisor",
            "who": "My supervisor",
            "to": "brought",
            "card": (io.BytesIO(brought), "s.pub"),
            "until": "2026-12-01",
            "confirm": "y",
        }
        return self.kit.browser.submit(self.url, **(sent | form))

    @property
    def sealed(self) -> list[Path]:
        return sorted(self.kit.home.case(self.id).glob("shares/*/*.age"))


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Family]:
    data = films.film(60)
    with WebKit(tmp_path) as kit:
        kit.enrol(0, 1)
        kit.unlock()
        case = kit.make_case(people__0__purposes=["filming", "supervisor"])
        agreed = kit.open_case(case).read_with_digest(Consent)
        assert agreed
        film = kit.recorder.write_film(case, kit.recipient(case), stream=data, consent=agreed[1])
        yield Family(kit, case, keep_clip(kit.open_case(case), film, data, NOW))


def test_a_clip_is_shared_with_a_supervisor_whose_card_was_brought(family: Family) -> None:
    page = family.share()
    assert page.status == 200 and "My supervisor" in page.words
    sealed, _about = family.sealed
    assert unseal(sealed.read_bytes(), [SUPERVISOR.identity])[4:8] == b"ftyp"


def test_a_clip_over_the_time_when_a_visitor_walked_in_is_neither_shared_nor_copied(
    family: Family,
) -> None:
    """Nor is any other of that film: a clip says nothing of who stood beside the camera."""
    kit, url = family.kit, f"/cases/{family.id}"
    agreed = {"people__0__purposes": ["filming", "supervisor", "copies"]}
    kit.browser.consent(family.id, **(CONSENT | agreed))
    kit.browser.submit(f"{url}/arm")
    kit.recorder.show(state="filming", case=family.id, recording=family.clip.recording)
    kit.browser.submit(url, f"{url}/newcomer")
    for _visit in range(2):
        # The next visit's consent has the same people: the visitor was never asked.
        page = family.share()
        assert page.status == 400 and "has not agreed to this use" in page.words
        assert not family.sealed
        assert "has not agreed" in kit.browser.get(f"{url}/copies").words
        kit.pass_by(60)
        kit.browser.consent(family.id, **(CONSENT | agreed))


def test_what_was_taken_back_under_a_hold_is_still_here_and_neither_shared_nor_copied(
    family: Family,
) -> None:
    kit, url = family.kit, f"/cases/{family.id}"
    agreed = {"people__0__purposes": ["filming", "supervisor", "copies"]}
    kit.browser.consent(family.id, **(CONSENT | agreed))
    clip = family.clip.id
    assert f'value="{clip}"' in kit.browser.get(f"{url}/copies").text
    held = {"role": "safeguarding lead", "reason": "a reason", "review": "2026-12-24"}
    kit.browser.submit(f"{url}/hold", **held)
    film = family.clip.recording
    kit.browser.submit(f"{url}/withdraw", f"{url}/withdraw/film", film=film)
    assert [one.id for one in kit.open_case(family.id).read_all(Clip)] == [clip]
    page = kit.browser.get(f"{url}/copies")
    assert f'value="{clip}"' not in page.text
    answer = kit.browser.post(
        f"{url}/copies",
        {"moments": clip, "to": "Anna", "lock": "plain", "way": "download"}
        | {"csrf_token": kit.browser.get(f"{url}/withdraw").form(f"{url}/withdraw")["csrf_token"]},
    )
    assert answer.status == 403 and "so it is not copied" in answer.words
    assert family.share().status == 400
    assert not family.sealed


def test_a_colleague_of_this_kit_is_chosen_by_name(family: Family) -> None:
    family.share(to=practitioner(1).card().name)
    sealed, _about = family.sealed
    assert unseal(sealed.read_bytes(), [practitioner(1).identity])


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"moments": []}, "Tick the clips"),
        ({"moments": ["aaaaaaaaaaaaaaaa"]}, "Tick the clips"),
        ({"who": " "}, "Enter who"),
        ({"who": "x" * 121}, "Use 120 characters or fewer"),
        ({"purpose": "training"}, "Not everyone agrees"),
        ({"purpose": "copies"}, "Select what it is for"),
        ({"to": "somebody"}, "Select who it is for"),
        ({"until": "2026-11-20"}, "must be today or later"),
        ({"until": "2027-11-20"}, "must be today or later"),
        ({"until": "soon"}, "Enter the last day"),
        ({"confirm": None}, "Tick the box"),
        ({"card": b"nothing of the kind"}, "not a person's ID file"),
        ({"card": to_json(service().card())}, "not a person's ID file"),
        ({"card": SUPERVISOR.text().encode()}, "not a person's ID file"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_shared(
    family: Family, form: dict[str, object], said: str
) -> None:
    card = form.pop("card", None)
    page = family.share(card if isinstance(card, bytes) else None, **form)
    assert page.status == 400 and said in page.words
    assert family.sealed == [] and "AGE-SECRET" not in page.text


def test_without_an_agreement_the_form_is_not_there(tmp_path: Path) -> None:
    with WebKit(tmp_path) as kit:
        kit.unlock()
        case = kit.make_case()
        page = kit.browser.get(f"/cases/{case}/shares")
        assert "not everyone has agreed" in page.words and 'name="until"' not in page.text


def test_it_ends_on_the_page_at_once(family: Family) -> None:
    share = family.share().text.partition('data-share="')[2][:16]
    page = family.kit.browser.submit(family.url, action=f"{family.url}/{share}/end")
    assert "Ended." in page.words and family.sealed == []


def test_it_ends_when_its_purpose_is_taken_back(family: Family) -> None:
    family.share()
    url = f"/cases/{family.id}/withdraw"
    family.kit.browser.submit(url, action=f"{url}/purpose", purposes=["supervisor"])
    assert family.sealed == []


def test_it_ends_when_filming_is_taken_back(family: Family) -> None:
    """Nobody looks at the film any more, and whoever it was shared with does not either."""
    family.share()
    url = f"/cases/{family.id}/withdraw"
    family.kit.browser.submit(url, action=f"{url}/purpose", purposes=["filming"])
    assert family.sealed == []


def test_it_ends_when_a_new_consent_does_not_name_it(family: Family) -> None:
    family.share()
    sent = {"people__0__purposes": ["filming"], "given": "signed", "choice": "y"}
    family.kit.browser.consent(family.id, limit="300", valid_until="2027-02-01", **sent)
    assert family.sealed == []


def test_it_is_removed_on_its_day_while_the_page_is_locked(family: Family) -> None:
    family.share()
    family.kit.browser.submit("/cases", action="/lock")
    keeper = Keeper(family.kit.parts)
    family.kit.pass_by(10 * DAY - 3600)
    keeper.look()
    assert family.sealed
    family.kit.pass_by(DAY)
    family.kit.recorder.show(clock="doubtful")
    keeper.look()
    assert family.sealed, "the time is in doubt"
    family.kit.pass_by(60)
    family.kit.recorder.show(clock="trusted")
    keeper.look()
    assert family.sealed == []


def test_the_certificate_of_a_withdrawal_names_it(family: Family) -> None:
    family.share()
    page = family.kit.browser.submit(f"/cases/{family.id}/withdraw", confirm="y")
    assert "for a supervisor or colleague, who may have opened them" in page.words
    found = withdrawal_note(family.kit.home.case(family.id))
    assert found and found[0].copies[0].way == "share" and family.sealed == []


def test_a_share_of_another_case_is_not_ended_from_this_one(family: Family) -> None:
    share = family.share().text.partition('data-share="')[2][:16]
    other = family.kit.make_case("Another")
    token = family.kit.browser.get(family.url).form(family.url)["csrf_token"]
    page = family.kit.browser.post(f"/cases/{other}/shares/{share}/end", {"csrf_token": token})
    assert page.status == 404 and family.sealed
