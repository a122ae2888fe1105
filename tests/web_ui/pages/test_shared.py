"""What a practitioner of this kit sees of what was shared with them, and the viewer to hand out."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.casework.clips import Clip
from appliance.casework.consent import Consent
from appliance.casework.shares import ABOUT
from appliance.records.audit import check_chain
from appliance.records.files import to_json
from appliance.vault.keys import PrivateKeys, lock
from appliance.viewer import digest, viewer
from tests.support import films
from tests.support.moments import keep_clip, keep_still
from tests.support.pages import NOW, PASSPHRASE, Page, WebKit, practitioner

DAY = 86400.0
OWN = "orchard lantern thimble velvet juniper cascade"
"""The colleague's passphrase."""


@dataclass
class Shared:
    """A clip and a picture that a practitioner shared with a colleague of this kit."""

    kit: WebKit
    case: str
    share: str
    clip: Clip

    @property
    def url(self) -> str:
        return f"/shared/{self.case}/{self.share}"

    @property
    def folder(self) -> Path:
        return self.kit.home.case(self.case).shares / self.share

    def unlock_as(self, who: int) -> Page:
        """Lock the page, and unlock it as this practitioner."""
        self.kit.browser.submit("/cases", action="/lock")
        page = self.kit.browser.submit(
            "/unlock", passphrase=PASSPHRASE if who == 0 else OWN, time=NOW.isoformat()
        )
        self.kit.recorder.carry_out()
        return page

    def events(self) -> list[str]:
        log = (self.kit.home.log("web") / "log").read_bytes()
        return [entry.event for entry in check_chain(log) if entry.event.startswith("share")]


def share_with(kit: WebKit, url: str, moments: list[str], **to: object) -> str:
    """Share, and return the share's name."""
    sent: dict[str, object] = {
        "moments": moments,
        "purpose": "supervisor",
        "who": "Kim",
        "until": "2026-12-01",
        "confirm": "y",
    }
    page = kit.browser.submit(url, **(sent | to))
    found = re.findall('data-share="([a-z2-7]{16})"', page.text)
    assert page.status == 200 and found, page.words
    return str(found[0])


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    data = films.film(60)
    with WebKit(tmp_path) as kit:
        kit.enrol(0, 1)
        own = kit.home.keys / practitioner(1).card().name / "identity.age"
        own.write_bytes(lock(practitioner(1), OWN, work=1))
        kit.unlock()
        case = kit.make_case(people__0__purposes=["filming", "supervisor"])
        agreed = kit.open_case(case).read_with_digest(Consent)
        assert agreed
        film = kit.recorder.write_film(case, kit.recipient(case), stream=data, consent=agreed[1])
        clip = keep_clip(kit.open_case(case), film, data, NOW)
        still = keep_still(kit.open_case(case), film, data, NOW)
        to = practitioner(1).card().name
        share = share_with(kit, f"/cases/{case}/shares", [clip.id, still.id], to=to)
        yield Shared(kit, case, share, clip)


def test_a_colleague_sees_and_plays_what_was_shared_and_nothing_of_the_family(
    shared: Shared,
) -> None:
    assert shared.unlock_as(1).path == "/cases"
    browser = shared.kit.browser
    listed = browser.get("/shared")
    assert "Watch 2 moments" in listed.words and "Until the end of" in listed.words
    page = browser.get(shared.url)
    assert page.status == 200 and "The family" not in page.text
    assert browser.get(f"/cases/{shared.case}").status == 404
    first = browser.get(f"{shared.url}/1.mp4.age", Range="bytes=0-7")
    assert first.status == 206 and first.response.data[4:8] == b"ftyp"
    assert browser.get(f"{shared.url}/1.jpg.age").response.data.startswith(b"\xff\xd8")
    assert f'src="{shared.url}/1.mp4.age"' in page.text
    assert shared.events().count("share-watched") == 1


def test_who_shared_it_and_strangers_find_nothing_there(shared: Shared) -> None:
    browser = shared.kit.browser
    assert "Nothing on this kit" in browser.get("/shared").words
    for path in ("", "/1.mp4.age", f"/{ABOUT}"):
        assert browser.get(f"{shared.url}{path}").status == 404
    browser.submit("/cases", action="/lock")
    assert browser.get(f"{shared.url}/1.mp4.age").response.data[4:8] != b"ftyp"


@pytest.mark.parametrize("how", ["day", "ended", "withdrawn", "locked"])
def test_it_ends_at_once_for_whoever_is_watching(shared: Shared, how: str) -> None:
    url = f"/cases/{shared.case}"
    shared.unlock_as(1)
    playing = shared.kit.browser.get(f"{shared.url}/1.mp4.age")
    assert playing.status == 200
    if how == "day":
        shared.kit.browser.submit("/cases", action="/lock")
        shared.kit.pass_by(11 * DAY)
        shared.kit.browser.submit(
            "/unlock", passphrase=OWN, time=shared.kit.recorder.status.now.isoformat()
        )
        shared.kit.recorder.carry_out()
    elif how == "locked":
        shared.kit.browser.submit("/cases", action="/lock")
    else:
        shared.unlock_as(0)
        if how == "ended":
            shared.kit.browser.submit(f"{url}/shares", action=f"{url}/shares/{shared.share}/end")
        else:
            shared.kit.browser.submit(f"{url}/withdraw", confirm="y")
        shared.unlock_as(1)
    after = shared.kit.browser.get(f"{shared.url}/1.mp4.age")
    assert after.response.data[4:8] != b"ftyp"
    if how != "locked":
        assert after.status == 404
        assert "Nothing on this kit" in shared.kit.browser.get("/shared").words


@pytest.mark.parametrize("name", [ABOUT, "2.mp4.age", "..", "1.mp4", "%2e%2e%2fabout.age"])
def test_only_what_was_shared_is_given(shared: Shared, name: str) -> None:
    shared.unlock_as(1)
    assert shared.kit.browser.get(f"{shared.url}/{name}").status in (403, 404)


def test_a_share_that_is_damaged_hides_no_other(shared: Shared) -> None:
    kit = shared.kit
    (shared.folder / ABOUT).write_bytes(b"damaged")
    to = practitioner(1).card().name
    share_with(kit, f"/cases/{shared.case}/shares", [shared.clip.id], to=to)
    shared.unlock_as(1)
    assert "Watch 1 moment" in kit.browser.get("/shared").words


def test_the_locked_files_and_the_viewer_are_there_to_hand_over(shared: Shared) -> None:
    browser, url = shared.kit.browser, f"/cases/{shared.case}/shares"
    page = browser.get(url)
    for name in ("1.mp4.age", "1.jpg.age", ABOUT):
        address = f"{url}/{shared.share}/{name}"
        assert f'href="{address}"' in page.text
        answer = browser.get(address)
        assert answer.response.data == (shared.folder / name).read_bytes()
        assert answer.response.headers["Content-Disposition"].startswith("attachment")
    assert shared.events().count("share-downloaded") == 3
    given = browser.get("/shared/viewer.html").response
    assert given.data == viewer()
    assert given.headers["Content-Disposition"] == "attachment; filename=viewer.html"
    assert digest() in browser.get("/shared").text
    browser.submit(url, action=f"{url}/{shared.share}/end")
    assert browser.get(f"{url}/{shared.share}/1.mp4.age").status == 404


def test_a_card_that_was_brought_is_somebody_elses_and_not_shown_here(shared: Shared) -> None:
    card = io.BytesIO(to_json(PrivateKeys.generate("practitioner").card()))
    url = f"/cases/{shared.case}/shares"
    brought = {"to": "brought", "card": (card, "s.pub")}
    share = share_with(shared.kit, url, [shared.clip.id], **brought)
    shared.unlock_as(1)
    listed = shared.kit.browser.get("/shared").text
    assert f"/shared/{shared.case}/{shared.share}" in listed
    assert f"/shared/{shared.case}/{share}" not in listed
