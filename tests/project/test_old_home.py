"""A home that an earlier version left is opened by this one as it lies: see tests/data/."""

import io
import shutil
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import av
import msgspec
import pytest

from appliance.age.unsealing import unseal
from appliance.casework.clips import Clip, sealed_file
from appliance.casework.consent import Consent
from appliance.casework.repair import mend_all
from appliance.config import Config, load_config
from appliance.factory_reset import unsent
from appliance.film.manifest import EndReason
from appliance.film.recording import differences, open_recording
from appliance.protocol.cards import KitCard
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.objects import film_object
from appliance.protocol.receipts import receipt_of
from appliance.records.files import Home, load_fact
from appliance.sync.sender import look
from appliance.vault.cases import Cases, Details, Goals, OpenCase
from appliance.vault.keys import PrivateKeys, unlock
from appliance.verifying import Folder, verify
from firmware.books import KitBooks
from firmware.cameras.testcard import read_number
from tests.support.pages import WebKit
from tests.support.places import TESTS
from tests.support.recorders import Process

LEFT = TESTS / "data" / "home-228743c"
PASSPHRASE = "lantern orchard velvet thimble cascade juniper"
THEN = datetime(2026, 11, 29, 1, 30, tzinfo=UTC)
"""A little after it was made."""
CASE, FILM, CUT_OFF = "653s4ql7hnb4unte", "kt4tjczm4wpidpce", "637c54row5y45327"
FRAMES = 15


@pytest.fixture
def home(tmp_path: Path) -> Home:
    shutil.copytree(LEFT / "home", tmp_path / "home")
    return Home(tmp_path / "home", tmp_path / "run")


@pytest.fixture(scope="module")
def keys() -> PrivateKeys:
    (locked,) = (LEFT / "home" / "keys").glob("practitioner-*/identity.age")
    return unlock(locked.read_bytes(), PASSPHRASE)


@pytest.fixture
def case(home: Home, keys: PrivateKeys) -> OpenCase:
    return Cases(home).open(CASE, keys, [keys.signer.verifier])


def kit_of(home: Home) -> KitCard:
    card = load_fact(home.kit / "kit.json", KitCard)
    assert card is not None
    return card


def numbers(film: bytes) -> list[int | None]:
    with av.open(io.BytesIO(film)) as container:
        return [read_number(frame) for frame in container.decode(container.streams.video[0])]


def test_its_settings_are_read(tmp_path: Path) -> None:
    config = load_config(LEFT / "attune.toml")
    assert (config.camera, config.width, config.segment_seconds) == ("scene", 320, 2)
    assert config.store == "file:///srv/attune/store"
    assert config.home == Config().home


def test_its_case_opens_with_its_documents_and_its_moment(case: OpenCase) -> None:
    details, goals, consent = case.read(Details), case.read(Goals), case.read(Consent)
    assert details and details.check_word == "lantern"
    assert goals and len(goals.goals) == 1
    assert consent and consent.purposes == ("filming",) and consent.limit == 30
    (clip,) = case.read_all(Clip)
    assert clip.recording == FILM and clip.words.note == "she turns to him"
    cut = unseal(sealed_file(case, clip).read_bytes(), case.identities)
    assert numbers(cut) == list(range(3, 12))


def test_what_is_written_in_it_now_carries_its_name_and_replaces_what_it_had(
    home: Home, case: OpenCase
) -> None:
    known = case.read(Goals)
    assert known is not None
    case.write(msgspec.structs.replace(known, goals=(*known.goals, *known.goals)))
    assert (case.directory.documents / f"goals-0002-{kit_of(home).id}.age").exists()
    (version,) = case.versions(Goals)
    assert version.home == kit_of(home).id and len(version.fact.goals) == 2


def test_its_film_is_whole_and_every_frame_of_it_is_seen(home: Home, case: OpenCase) -> None:
    signed_by = [kit_of(home).verifying_key()]
    opening = open_recording(home.recording(FILM), case.identities, signed_by, check=True)
    with closing(opening) as opened:
        assert opened.complete and differences(opened.directory, opened.manifest) == []
        with opened.film.open() as file:
            assert numbers(file.read()) == list(range(FRAMES))


def test_what_the_power_cut_off_is_mended(home: Home, case: OpenCase) -> None:
    derived = case.directory / "derived" / CUT_OFF
    kit = [kit_of(home).verifying_key()]
    mend_all(home, lambda name: case, kit, lambda: THEN, lambda event, **ids: None)
    assert list(derived.glob("*.mended"))
    opening = open_recording(home.recording(CUT_OFF), case.identities, kit, derived=derived)
    with closing(opening) as opened, opened.film.open() as file:
        assert opened.manifest.ended and opened.manifest.ended.why is EndReason.POWER
        seen = numbers(file.read())
        assert seen and seen == list(range(len(seen)))


def test_what_was_sent_counts_as_sent_and_nothing_else_does(home: Home) -> None:
    kit = kit_of(home)
    for name in ("manifest", "0000.mp4.age", "0000.index.age"):
        assert receipt_of(home, film_object(CASE, FILM, name))
    assert {case for case, _ in unsent(home)} == {CASE}
    assert all(CUT_OFF in name for _, name in unsent(home))
    found = look(home, kit)
    assert not found.problems


def test_what_it_says_happened_still_holds(home: Home) -> None:
    verdict = verify(Folder(home.root), [kit_of(home).verifying_key()])
    assert verdict.proven and not verdict.broken


def test_its_recorder_knows_whom_it_obeyed_and_what_it_filmed(home: Home) -> None:
    books = KitBooks(home)
    enrolled = load_fact(home.kit / "enrolled.json", Enrolled)
    assert books.enrolled == enrolled and enrolled and len(enrolled.practitioners) == 1
    assert str(books.signer.verifier) == kit_of(home).verifier
    assert CASE in books.books.recipients


@pytest.fixture
def kit(home: Home) -> Iterator[WebKit]:
    with WebKit(home.root.parent) as made:
        made.clock.wall = THEN
        card = kit_of(home)
        made.recorder.show(kit=card.id, verifier=card.verifier)
        yield made


def test_on_the_page_its_owner_unlocks_it_and_the_film_plays(kit: WebKit) -> None:
    unlocked = kit.browser.submit("/unlock", passphrase=PASSPHRASE, time=THEN.isoformat())
    kit.recorder.carry_out()
    assert unlocked.status == 200 and "Rehearsal: nobody&#39;s family" in unlocked.text
    assert FILM in kit.browser.get(f"/cases/{CASE}").text
    answer = kit.browser.get(f"/cases/{CASE}/films/{FILM}/video")
    assert answer.status == 200
    assert numbers(answer.response.data) == list(range(FRAMES))
    log = kit.browser.get("/log").words
    assert "Clip saved" in log and "Event:" not in log


@pytest.mark.slow
def test_the_recorder_itself_starts_on_it_and_is_the_kit_that_it_was(home: Home) -> None:
    with closing(Process(home.root.parent)) as recorder:
        recorder.start()
        status = recorder.shows(lambda s: s.state == "idle")
        assert status.kit == kit_of(home).id
        assert {path.name for path in recorder.home.recordings.iterdir()} == {FILM, CUT_OFF}


def test_nothing_in_it_names_the_computer_that_it_was_made_on() -> None:
    for path in LEFT.rglob("*"):
        if path.is_file():
            said = path.read_bytes()
            assert not any(word in said for word in (b"/tmp", b"/home/", b"/root", b"/work"))
    assert msgspec.toml.decode((LEFT / "attune.toml").read_bytes()).keys().isdisjoint({"home"})
