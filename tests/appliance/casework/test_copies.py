"""Copies: only with everybody's agreement, and with nothing in them but picture and sound."""

import functools
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.age.scrypt import ScryptIdentity
from appliance.age.unsealing import unseal
from appliance.casework.clips import Kept, sealed_file
from appliance.casework.consent import Consent, Newcomer, Person
from appliance.casework.copies import (
    Copies,
    CopyRefusal,
    State,
    judge,
    locked,
    names,
    opened,
    out_of_reach,
    plain,
    receipts,
)
from appliance.errors import BadFile, NotPossible
from appliance.film import boxes
from appliance.film.manifest import FilmStarted
from appliance.records.files import Home, new_id
from appliance.vault.cases import Cases, Details, OpenCase
from appliance.vault.keys import PrivateKeys
from tests.support import consents, films
from tests.support.consents import person
from tests.support.moments import keep_clip, keep_still

NOW = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)
KEYS = PrivateKeys.generate("practitioner")
SERVICE = PrivateKeys.generate("service")
FILM = new_id()


@functools.cache
def film() -> bytes:
    return films.film(60)


@pytest.fixture
def case(tmp_path: Path) -> OpenCase:
    home = Home(tmp_path / "home", tmp_path / "run")
    home.prepare(home.cases)
    details = Details(label="the family", check_word="lantern")
    return Cases(home).create(details, KEYS, SERVICE.chain, [KEYS.signer.verifier])


def consent(*people: Person, **changes: Any) -> Consent:
    return consents.consent(people, NOW, **changes)


def started(agreed: str, at: datetime = NOW) -> FilmStarted:
    return FilmStarted(
        recording=FILM,
        case=new_id(),
        kit=new_id(),
        permit=new_id(),
        consent=agreed,
        recipient="0" * 64,
        kind="visit",
        limit=300,
        sound=False,
        boot="boot",
        started=at,
    )


ALEX_ALL, ALEX_NO = person("Alex", "filming", "copies"), person("Alex", "filming")
SAM_ALL, SAM_NO = person("Sam", "filming", "copies"), person("Sam", "filming")


# --- Who has agreed -----------------------------------------------------------------------------


def test_a_moment_is_copied_while_everybody_who_was_filmed_agrees(case: OpenCase) -> None:
    agreed = case.write(consent(ALEX_ALL, SAM_ALL))
    assert judge(case, started(agreed), NOW) is None


def test_without_an_agreement_to_copies_nothing_is_copied(case: OpenCase) -> None:
    assert judge(case, started("0" * 64), NOW) is CopyRefusal.NOT_AGREED
    agreed = case.write(consent(ALEX_ALL, SAM_NO))
    assert judge(case, started(agreed), NOW) is CopyRefusal.NOT_AGREED


def test_copies_that_were_taken_back_are_not_made_of_earlier_films_either(case: OpenCase) -> None:
    first = consent(ALEX_ALL)
    agreed = case.write(first)
    case.write(first.without(["copies"], NOW))
    assert judge(case, started(agreed), NOW) is CopyRefusal.NOT_AGREED


def test_an_agreement_counts_until_its_last_moment(case: OpenCase) -> None:
    until = NOW + timedelta(days=30)
    agreed = case.write(consent(ALEX_ALL, valid_until=until))
    assert judge(case, started(agreed), until - timedelta(seconds=1)) is None
    assert judge(case, started(agreed), until) is CopyRefusal.NOT_AGREED


def test_a_film_made_before_copies_were_agreed_to_is_copied_once_all_in_it_agree(
    case: OpenCase,
) -> None:
    then = case.write(consent(ALEX_NO, SAM_NO))
    case.write(consent(ALEX_ALL))
    assert judge(case, started(then), NOW) is CopyRefusal.NOT_EVERYBODY
    case.write(consent(person("alex ", "filming", "copies"), SAM_ALL))
    assert judge(case, started(then), NOW) is None


def test_who_agreed_when_they_were_filmed_need_not_be_there_later(case: OpenCase) -> None:
    then = case.write(consent(ALEX_ALL, SAM_ALL))
    case.write(consent(ALEX_ALL))
    assert judge(case, started(then), NOW) is None


def test_a_visitor_who_walked_in_must_be_asked_before_anything_of_that_film_is_copied(
    case: OpenCase,
) -> None:
    then = case.write(consent(ALEX_ALL))
    film_of_it = started(then)
    came = Newcomer(recording=FILM, event_time=NOW + timedelta(minutes=2))
    case.write(came, FILM)
    assert judge(case, film_of_it, NOW) is CopyRefusal.NOT_EVERYBODY
    later = NOW + timedelta(minutes=10)
    case.write(consent(ALEX_ALL, SAM_NO, event_time=later))
    assert judge(case, film_of_it, later) is CopyRefusal.NOT_AGREED
    case.write(consent(ALEX_ALL, SAM_ALL, event_time=later))
    assert judge(case, film_of_it, later) is None


def test_a_consent_that_names_nobody_new_does_not_speak_for_the_visitor(case: OpenCase) -> None:
    then = case.write(consent(ALEX_ALL))
    case.write(Newcomer(recording=FILM, event_time=NOW), FILM)
    later = NOW + timedelta(days=7)
    case.write(consent(ALEX_ALL, event_time=later))
    assert judge(case, started(then), later) is CopyRefusal.NOT_EVERYBODY
    assert judge(case, started(then), later, "supervisor") is not None


def test_who_came_in_later_does_not_speak_for_who_was_there_first(case: OpenCase) -> None:
    then = case.write(consent(ALEX_NO))
    case.write(Newcomer(recording=FILM, event_time=NOW), FILM)
    later = NOW + timedelta(minutes=10)
    case.write(consent(SAM_ALL, event_time=later))
    assert judge(case, started(then), later) is CopyRefusal.NOT_EVERYBODY


@pytest.mark.parametrize("agreed", ["0" * 64, ""])
def test_a_film_of_which_nobody_knows_who_agreed_is_not_copied(case: OpenCase, agreed: str) -> None:
    case.write(consent(ALEX_ALL))
    assert judge(case, started(agreed), NOW) is CopyRefusal.FILM_UNKNOWN
    assert judge(case, None, NOW) is CopyRefusal.FILM_UNKNOWN


def test_every_refusal_says_what_it_means() -> None:
    assert all(refusal.sentence for refusal in CopyRefusal)


# --- What goes out ------------------------------------------------------------------------------


def taken(case: OpenCase, kept: Kept) -> bytes:
    with opened(case, kept) as reader:
        return b"".join(plain(reader, lambda size: None))


def test_names_count_clips_and_stills_and_say_nothing_else(case: OpenCase) -> None:
    clip = keep_clip(case, FILM, film(), NOW)
    picture = keep_still(case, FILM, film(), NOW)
    assert names([clip, picture, clip], locked=False) == ["1.mp4", "1.jpg", "2.mp4"]
    assert names([clip, picture], locked=True) == ["1.mp4.age", "1.jpg.age"]


def test_what_goes_out_is_what_was_kept(case: OpenCase) -> None:
    clip, picture = keep_clip(case, FILM, film(), NOW), keep_still(case, FILM, film(), NOW)
    for kept, begins in ((clip, b"ftyp"), (picture, b"\xff\xd8")):
        data = taken(case, kept)
        assert begins in data[:8]
        assert data == unseal(sealed_file(case, kept).read_bytes(), case.identities)


def test_locked_copies_open_with_the_words_and_their_length_is_known_before(
    case: OpenCase,
) -> None:
    clip = keep_clip(case, FILM, film(), NOW)
    with opened(case, clip) as reader:
        size, pieces = locked(reader, "lobe kadu", lambda size: None)
        made = b"".join(pieces)
    assert len(made) == size
    assert unseal(made, [ScryptIdentity("lobe kadu")]) == taken(case, clip)


def test_what_goes_on_no_longer_ends_at_the_next_piece(case: OpenCase) -> None:
    def stop(size: int) -> None:
        raise NotPossible("The page locked.")

    with opened(case, keep_clip(case, FILM, film(), NOW)) as reader, pytest.raises(NotPossible):
        list(plain(reader, stop))


def test_a_moment_that_was_exchanged_for_another_does_not_go_out(case: OpenCase) -> None:
    first, second = (keep_clip(case, FILM, film(), NOW) for _time in range(2))
    sealed_file(case, first).write_bytes(sealed_file(case, second).read_bytes())
    with pytest.raises(BadFile, match="not the one"):
        taken(case, first)
    sealed_file(case, first).unlink()
    with pytest.raises(NotPossible):
        taken(case, first)


def clean(case: OpenCase) -> bytes:
    return taken(case, keep_clip(case, FILM, film(), NOW))


def in_moov(data: bytes, name: bytes, body: bytes) -> bytes:
    """The film with a box more in its moov. Where its samples lie is not mended."""
    moov = boxes.child(data, None, b"moov")
    return (
        data[: moov.start]
        + boxes.make(b"moov", data[moov.body : moov.end], boxes.make(name, body))
        + data[moov.end :]
    )


def dated(data: bytes, name: bytes) -> bytes:
    at = data.index(name) + 8
    return data[:at] + struct.pack(">I", 3_800_000_000) + data[at + 4 :]


def called(data: bytes) -> bytes:
    at = data.index(b"vide", data.index(b"hdlr")) + 16
    return data[:at] + b"C" + data[at + 1 :]


@pytest.mark.parametrize(
    "change",
    [
        lambda film: in_moov(film, b"udta", b"GoPro"),
        lambda film: in_moov(film, b"meta", b"51.5N"),
        lambda film: in_moov(film, b"uuid", bytes(16)),
        lambda film: film + boxes.make(b"uuid", bytes(16)),
        lambda film: film + boxes.make(b"free", b"Anna"),
        lambda film: dated(film, b"mvhd"),
        lambda film: dated(film, b"tkhd"),
        lambda film: dated(film, b"mdhd"),
        called,
        lambda film: film[:-1],
        lambda film: film + b"Anna",
        lambda film: b"",
    ],
    ids=[
        "udta",
        "meta",
        "uuid",
        "more-uuid",
        "more-free",
        "mvhd",
        "tkhd",
        "mdhd",
        "hdlr",
        "cut",
        "more",
        "empty",
    ],
)
def test_a_film_that_says_more_than_picture_and_sound_does_not_go_out(
    case: OpenCase, change: Callable[[bytes], bytes]
) -> None:
    kept = keep_clip(case, FILM, film(), NOW, data=change(clean(case)))
    with pytest.raises(BadFile, match="more than picture"):
        taken(case, kept)


@pytest.mark.parametrize(
    "remark", [b"\xff\xfe\x00\x06Anna", b"\xff\xe1\x00\x08Exif\0\0", b"\xff\xed\x00\x04ab"]
)
def test_a_picture_with_a_remark_does_not_go_out(case: OpenCase, remark: bytes) -> None:
    picture = taken(case, keep_still(case, FILM, film(), NOW))
    kept = keep_still(case, FILM, film(), NOW, data=picture[:2] + remark + picture[2:])
    with pytest.raises(BadFile, match="more than picture"):
        taken(case, kept)


# --- Receipts -----------------------------------------------------------------------------------


def write_receipt(case: OpenCase, state: State, at: datetime = NOW) -> Copies:
    receipt = Copies(
        id=new_id(),
        made=at,
        to="Anna's grandmother",
        way="stick",
        locked=False,
        moments=(new_id(), new_id()),
        state=state,
    )
    case.write(receipt, receipt.id)
    return receipt


def test_a_withdrawal_names_everything_that_may_be_in_other_hands(case: OpenCase) -> None:
    for state in ("begun", "done", "partly", "nothing"):
        write_receipt(case, state)
    out = out_of_reach(case)
    assert [(one.files, one.locked, one.way) for one in out] == 3 * [(2, False, "stick")]
    assert b"Anna" not in msgspec.json.encode(out)


def test_a_receipt_goes_from_begun_to_how_it_ended(case: OpenCase) -> None:
    later = write_receipt(case, "begun", NOW + timedelta(minutes=1))
    earlier = write_receipt(case, "done")
    case.write(msgspec.structs.replace(later, state="nothing"), later.id)
    assert [(one.id, one.state) for one in receipts(case)] == [
        (later.id, "nothing"),
        (earlier.id, "done"),
    ]
    assert [one.made for one in out_of_reach(case)] == [NOW]
