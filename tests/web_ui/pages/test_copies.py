"""Handing out copies on the page: what leaves, what is said of it, and what happens when it ends
badly."""

import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from appliance.age.scrypt import ScryptIdentity
from appliance.age.unsealing import unseal
from appliance.casework.clips import Clip, Still, shelf
from appliance.casework.consent import Consent
from appliance.casework.copies import Copies, receipts
from appliance.protocol.case_record import withdrawal_note
from appliance.records.audit import check_chain
from appliance.records.files import new_id
from appliance.vault.cases import OpenCase
from appliance.viewer import viewer
from tests.support import films
from tests.support.moments import keep_clip, keep_still
from tests.support.pages import NOW, Page, WebKit
from tests.support.sticks import Socket

AGREED = ["filming", "copies"]


_COUNTING: list[list[str]] = []


def _seen(event: str, args: tuple[object, ...]) -> None:
    if _COUNTING and event in ("open", "os.scandir", "os.listdir"):
        place = args[0]
        # A directory is listed by its descriptor.
        if isinstance(place, int) and event != "open":
            place = os.readlink(f"/proc/self/fd/{place}")
        _COUNTING[-1].append(f"{event} {place}")


sys.addaudithook(_seen)


@contextmanager
def counted() -> Iterator[list[str]]:
    """What Python opens and lists meanwhile, on every thread."""
    _COUNTING.append([])
    try:
        yield _COUNTING[-1]
    finally:
        _COUNTING.pop()


@dataclass
class Family:
    """A case with a clip and a still of a film that everybody may have copies of."""

    kit: WebKit
    socket: Socket
    id: str
    clip: Clip
    still: Still

    @property
    def case(self) -> OpenCase:
        return self.kit.open_case(self.id)

    @property
    def url(self) -> str:
        return f"/cases/{self.id}/copies"

    def hand_out(self, **form: object) -> Page:
        sent: dict[str, object] = {
            "moments": [self.clip.id, self.still.id],
            "to": "Anna's grandmother",
            "lock": "plain",
            "way": "stick:sda1",
        }
        return self.kit.browser.submit(self.url, **(sent | form))

    def ended(self, page: Page) -> Page:
        """The page once the stick was written."""
        until = time.monotonic() + 30
        while "Making the copies" in page.words:
            assert time.monotonic() < until, "it never ended"
            time.sleep(0.01)
            page = self.kit.browser.get(page.path)
        return page

    def receipt(self) -> Copies:
        return receipts(self.case)[0]

    def events(self) -> list[str]:
        log = (self.kit.home.log("web") / "log").read_bytes()
        return [entry.event for entry in check_chain(log) if entry.event.startswith("copies")]


@pytest.fixture(scope="module")
def film() -> bytes:
    return films.film(60)


@pytest.fixture
def new_family(tmp_path: Path, film: bytes) -> Iterator[Callable[..., Family]]:
    kits: list[WebKit] = []

    def make(purposes: list[str] = AGREED, **socket: object) -> Family:
        plugged = Socket(tmp_path / "socket", **socket)  # type: ignore[arg-type]
        kit = WebKit(tmp_path / "kit", sticks=plugged.sticks)
        kits.append(kit)
        kit.unlock()
        case = kit.make_case(people__0__purposes=purposes)
        opened = kit.open_case(case)
        known = opened.read_with_digest(Consent)
        assert known
        recording = kit.recorder.write_film(
            case, kit.recipient(case), stream=film, consent=known[1]
        )
        clip = keep_clip(opened, recording, film, NOW)
        return Family(kit, plugged, case, clip, keep_still(opened, recording, film, NOW))

    yield make
    for kit in kits:
        kit.parts.session.end()


@pytest.fixture
def family(new_family: Callable[..., Family]) -> Family:
    return new_family()


# --- On a stick ---------------------------------------------------------------------------------


def test_a_stick_is_asked_for_each_time_the_page_of_copies_is_shown_and_by_no_other(
    family: Family,
) -> None:
    """A kit's ports are shut; `systemd/quiet` opens them for a stick when this is written."""
    asked = family.kit.home.stick_asked
    family.kit.browser.get(f"/cases/{family.id}")
    assert not asked.exists()
    family.kit.browser.get(family.url)
    first = asked.stat()
    family.kit.browser.get(family.url)
    assert (asked.stat().st_ino, asked.stat().st_mtime_ns) != (first.st_ino, first.st_mtime_ns)
    assert asked.read_bytes() == b"", "it says nothing of anybody"


def test_the_family_gets_the_chosen_moments_on_its_stick(family: Family, film: bytes) -> None:
    page = family.ended(family.hand_out())
    assert "has checked each one" in page.words and "pull the stick out now" in page.words
    files = family.socket.files()
    assert set(files) == {"copies/1.mp4", "copies/1.jpg"}
    assert files["copies/1.jpg"].startswith(b"\xff\xd8")
    assert family.socket.done == ["mount sda1", "eject sda1"]
    assert family.receipt().state == "done"
    assert family.events() == ["copies-begun", "copies-done"]


def test_only_what_was_ticked_leaves_the_kit(family: Family) -> None:
    family.ended(family.hand_out(moments=[family.still.id]))
    assert set(family.socket.files()) == {"copies/1.jpg"}
    assert family.receipt().moments == (family.still.id,)


def test_locked_copies_lie_beside_a_letter_and_open_with_the_words_that_are_shown(
    family: Family,
) -> None:
    page = family.ended(family.hand_out(lock="locked"))
    files = family.socket.files()
    assert set(files) == {
        *("copies/1.mp4.age", "copies/1.jpg.age"),
        *("copies/how-to-open.txt", "copies/viewer.html"),
    }
    found = re.search(r'id="words">([a-z ]+)<', page.text)
    assert found
    opened = unseal(files["copies/1.jpg.age"], [ScryptIdentity(found[1])])
    assert opened.startswith(b"\xff\xd8")
    assert b"Open viewer.html" in files["copies/how-to-open.txt"]
    assert files["copies/viewer.html"] == viewer()
    assert not [path for path in family.kit.home.root.rglob("*") if found[1] in _text(path)]


def _text(path: Path) -> str:
    return path.read_bytes().decode("latin-1") if path.is_file() else ""


def test_the_words_are_gone_when_the_page_is_locked(family: Family) -> None:
    page = family.ended(family.hand_out(lock="locked"))
    family.kit.browser.submit(page.path, action="/lock")
    family.kit.unlock()
    assert 'id="words"' not in family.kit.browser.get(page.path).text


def test_the_receipt_is_sealed_and_the_log_holds_ids_only(family: Family) -> None:
    family.ended(family.hand_out())
    assert family.receipt().to == "Anna's grandmother"
    assert not [path for path in family.kit.home.root.rglob("*") if "grandmother" in _text(path)]
    assert "grandmother" in family.kit.browser.get(family.url).words


def test_a_stick_that_is_not_there_leaves_nothing_and_says_so(family: Family) -> None:
    family.socket.pull_out()
    page = family.ended(family.hand_out())
    assert "not plugged in" in page.words and "Nothing is left" in page.words
    assert family.receipt().state == "nothing"
    assert family.events() == ["copies-begun", "copies-nothing"]


def test_a_stick_that_cannot_be_mounted_is_told_in_words(
    new_family: Callable[..., Family],
) -> None:
    family = new_family(refuses_to_mount=True)
    page = family.ended(family.hand_out())
    assert "could not be opened" in page.words
    assert family.receipt().state == "nothing"


def test_a_moment_that_cannot_be_read_takes_everything_back_from_the_stick(
    family: Family,
) -> None:
    (family.case.clips / family.still.file).write_bytes(b"damaged")
    page = family.ended(family.hand_out())
    assert "not the one that was saved" in page.words and "Nothing is left" in page.words
    assert list(family.socket.place.iterdir()) == []


def test_a_stick_that_is_still_busy_must_not_be_pulled_out_yet(
    new_family: Callable[..., Family],
) -> None:
    family = new_family(refuses_to_eject=True)
    page = family.ended(family.hand_out())
    assert "Do not pull the stick out yet" in page.words
    assert "You can pull the stick out now" not in page.words
    family.socket.refuses_to_eject = False
    page = family.kit.browser.submit(page.path, action=f"{page.path}/eject")
    assert "You can pull the stick out now" in page.words


def test_copies_that_are_cancelled_leave_nothing_on_the_stick(family: Family) -> None:
    mount, asked = family.socket.mount, threading.Event()

    def mount_later(device: str, format: str) -> None:
        assert asked.wait(30)
        mount(device, format)

    family.socket.mount = mount_later  # type: ignore[method-assign]
    page = family.hand_out()
    page = family.kit.browser.submit(page.path, action=f"{page.path}/cancel")
    asked.set()
    page = family.ended(page)
    assert "were cancelled" in page.words
    assert list(family.socket.place.iterdir()) == []
    assert family.receipt().state == "nothing"


# --- As a download ------------------------------------------------------------------------------


def test_a_download_gives_each_file_under_a_name_that_says_nothing(family: Family) -> None:
    page = family.hand_out(way="download")
    answer = family.kit.browser.get(f"{page.path}/1.mp4").response
    assert answer.headers["Content-Disposition"] == "attachment; filename=1.mp4"
    assert answer.headers["Cache-Control"] == "no-store"
    assert int(answer.headers["Content-Length"]) == len(answer.data)
    assert answer.data[4:8] == b"ftyp"
    assert family.kit.browser.get(f"{page.path}/1.jpg").response.data[:2] == b"\xff\xd8"
    assert family.events() == ["copies-done", "copies-downloaded", "copies-downloaded"]


def test_a_locked_download_opens_with_the_words(family: Family) -> None:
    page = family.hand_out(way="download", lock="locked")
    found = re.search(r'id="words">([a-z ]+)<', page.text)
    answer = family.kit.browser.get(f"{page.path}/1.jpg.age").response
    assert found and int(answer.headers["Content-Length"]) == len(answer.data)
    assert unseal(answer.data, [ScryptIdentity(found[1])]).startswith(b"\xff\xd8")


@pytest.mark.parametrize("name", ["2.mp4", "1.mp4.age", "case.json", "..%2f..%2fcase.json"])
def test_nothing_else_can_be_downloaded(family: Family, name: str) -> None:
    page = family.hand_out(way="download")
    assert family.kit.browser.get(f"{page.path}/{name}").status == 404


def test_what_was_put_on_a_stick_cannot_be_downloaded_as_well(family: Family) -> None:
    page = family.ended(family.hand_out())
    assert family.kit.browser.get(f"{page.path}/1.mp4").status == 404


def test_a_download_is_gone_when_the_page_was_locked(family: Family) -> None:
    page = family.hand_out(way="download")
    family.kit.browser.submit(page.path, action="/lock")
    assert family.kit.browser.get(f"{page.path}/1.mp4").path == "/unlock"
    family.kit.unlock()
    assert family.kit.browser.get(f"{page.path}/1.mp4").status == 404
    assert "cannot download them again" in family.kit.browser.get(page.path).words


def test_a_download_of_another_case_is_not_there(family: Family) -> None:
    page = family.hand_out(way="download")
    other = family.kit.make_case("Another family", people__0__purposes=AGREED)
    copies = page.path.rpartition("/")[2]
    assert family.kit.browser.get(f"/cases/{other}/copies/{copies}/1.mp4").status == 404
    assert family.kit.browser.get(f"/cases/{other}/copies/{copies}").status == 404


# --- Agreement ----------------------------------------------------------------------------------


def test_without_agreement_the_page_says_why_and_gives_nothing(
    new_family: Callable[..., Family],
) -> None:
    family = new_family(purposes=["filming"])
    page = family.kit.browser.get(family.url)
    assert "No one has agreed to copies" in page.words
    assert 'data-code="copies-not-agreed"' in page.text
    sent = {"moments": family.clip.id, "to": "Anna", "lock": "plain", "way": "download"}
    page = family.kit.browser.post(family.url, sent | _token(family))
    assert page.status == 403 and "No one has agreed" in page.words
    assert receipts(family.case) == []


def _token(family: Family) -> dict[str, object]:
    form = family.kit.browser.get(f"/cases/{family.id}/withdraw").form(
        f"/cases/{family.id}/withdraw"
    )
    return {"csrf_token": form["csrf_token"]}


def test_taking_copies_back_ends_a_download_that_was_offered(family: Family) -> None:
    page = family.hand_out(way="download")
    consent = family.case.read(Consent)
    assert consent
    family.case.write(consent.without(["copies"], NOW + timedelta(minutes=5)))
    answer = family.kit.browser.get(f"{page.path}/1.mp4")
    assert answer.status == 403 and "No one has agreed" in answer.words


def test_a_moment_of_another_family_cannot_be_slipped_in(family: Family) -> None:
    other = family.kit.make_case("Another family", people__0__purposes=AGREED)
    opened = family.kit.open_case(other)
    kept = keep_clip(opened, family.clip.recording, films.film(60), NOW)
    page = family.hand_out(moments=[kept.id])
    assert page.status == 400 and "Tick the clips" in page.words
    assert receipts(family.case) == []


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("moments", [], "Tick the clips"),
        ("to", " ", "Enter who the copies are for"),
        ("to", "x" * 121, "Use 120 characters or fewer"),
        ("lock", "", "if the copies are locked"),
        ("way", "", "how the family will get them"),
        ("way", "stick:../sda1", "how the family will get them"),
    ],
)
def test_a_form_that_is_not_right_is_refused_in_words(
    family: Family, field: str, value: object, words: str
) -> None:
    page = family.hand_out(**{field: value})
    assert page.status == 400 and words in page.words
    assert receipts(family.case) == [] and family.socket.files() == {}


# --- What withdrawing cannot reach ---------------------------------------------------------------


def test_the_certificate_of_a_withdrawal_names_the_copies_that_are_out(family: Family) -> None:
    family.ended(family.hand_out())
    family.kit.pass_by(60)
    family.hand_out(way="download", lock="locked", moments=[family.clip.id])
    page = family.kit.browser.submit(f"/cases/{family.id}/withdraw", confirm="y")
    assert "2 files on a USB stick" in page.words and "1 file as a download, locked" in page.words
    found = withdrawal_note(family.kit.home.case(family.id))
    assert found and "grandmother" not in found[1]
    assert [one.files for one in found[0].copies] == [1, 2]


def test_the_leaflet_says_what_a_withdrawal_does_not_reach(family: Family) -> None:
    plain, locked = (family.hand_out(way="download", lock=how) for how in ("plain", "locked"))
    words = family.kit.browser.get(f"{plain.path}/leaflet").words
    assert "cannot delete the copies you have" in words and "age -d" not in words
    leaflet = family.kit.browser.get(f"{locked.path}/leaflet")
    assert "Open viewer.html" in leaflet.words and leaflet.text.count("app-how__picture") == 3


# --- What it costs ------------------------------------------------------------------------------


def _documents(seen: list[str], kind: str) -> int:
    return sum(one.startswith("open ") and f"/documents/{kind}" in one for one in seen)


@pytest.mark.parametrize("count", [4, 12])
def test_handing_out_copies_opens_each_document_of_a_moment_once(
    family: Family, count: int
) -> None:
    """Judging one moment judged them all: a shelf of sixty took thousands of documents."""
    case = family.case
    for _ in range(count):
        one = msgspec.structs.replace(family.clip, id=new_id())
        case.write(one, one.id)
        (case.clips / one.file).write_bytes((case.clips / family.clip.file).read_bytes())
    form = family.kit.browser.get(family.url).form(family.url)
    clips = case.read_all(Clip)
    assert len(clips) == count + 1
    sent = {"csrf_token": form["csrf_token"], "moments": [one.id for one in clips], "to": "x"}
    with counted() as seen:
        page = family.kit.browser.post(family.url, sent | {"lock": "plain", "way": "stick:sda1"})
        page = family.ended(page)
    assert page.status == 200 and family.receipt().state == "done"
    # What may be chosen is read once for the form; nothing reads it again for each moment.
    assert _documents(seen, "clip-") == len(clips)
    # The consent, and the one that the film was made under: at the form and before each file.
    assert _documents(seen, "consent-") <= 2 * (len(clips) + 1) + 1
    with counted() as seen:
        assert len(shelf(case).aside) == count + 2
    # Clips, stills and the choice: one look at the directory for each, however many there are.
    assert sum("/documents" in one and not one.startswith("open") for one in seen) == 3
