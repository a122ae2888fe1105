"""Mending what the power cut, without touching what the recorder left."""

import contextlib
import hashlib
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import av
import msgspec
import pytest

from appliance.age.sealing import seal
from appliance.age.unsealing import unseal
from appliance.casework.closing import withdraw
from appliance.casework.repair import mend, mend_all, waiting
from appliance.commands.main import run
from appliance.errors import BadFile, BadSignature, NoMatch
from appliance.film.fragments import Fragment, FragmentSplitter, Init
from appliance.film.index import IndexBuilder, SegmentIndex
from appliance.film.manifest import (
    EndReason,
    FilmEnded,
    FilmStarted,
    Tail,
    index_name,
    manifest_lines,
    mended_name,
    read_manifest,
    segment_name,
)
from appliance.film.recording import differences, open_recording, read_mended
from appliance.film.segment import seal_index
from appliance.records.files import Home, new_id, to_json
from appliance.records.signing import Signer
from appliance.vault.cases import Cases, Details, OpenCase
from appliance.vault.keys import PrivateKeys
from tests.support import films

SERVICE = PrivateKeys.generate("service")
KEYS = PrivateKeys.generate("practitioner")
COLLEAGUE = PrivateKeys.generate("practitioner")
KIT = Signer.generate("kit-1")
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
FRAMES = 75
TAIL = 2
"""The segment that was being written: frames 60 to 74."""


@pytest.fixture(scope="module")
def parts() -> list[tuple[bytes, SegmentIndex]]:
    """A film of three segments in clear, each of many sealed chunks, the last of half a second."""
    stream = films.film(FRAMES, encoder={**films.LIKE_OURS, "qp": "1"}, noisy=True)
    init, *fragments = FragmentSplitter().feed(stream)
    assert isinstance(init, Init)
    made: list[tuple[bytearray, IndexBuilder]] = []
    for fragment in fragments:
        assert isinstance(fragment, Fragment)
        if fragment.starts_with_key:
            made.append((bytearray(init.data), IndexBuilder(init, "a" * 16, len(made))))
        data, builder = made[-1]
        builder.add(fragment, len(data))
        data += fragment.data
    return [(bytes(data), builder.build()) for data, builder in made]


@dataclass
class Kit:
    """A kit whose plug was pulled while it filmed, found again and unlocked."""

    home: Home
    case: OpenCase
    parts: list[tuple[bytes, SegmentIndex]]

    def film(self, case: OpenCase, cut: int | None = None, recovered: bool = True) -> Path:
        """A film of this case of which `cut` bytes of the sealed tail are there (None: all)."""
        name = new_id()
        directory = self.home.recording(name)
        directory.mkdir(parents=True)
        to = [case.identity.recipient]
        lines = []
        for number, (data, index) in enumerate(self.parts):
            film = seal(data, to)
            if number == TAIL:
                film = film[:cut]
            (directory / segment_name(number)).write_bytes(film)
            if number < TAIL:
                fact = msgspec.structs.replace(index, recording=name)
                digest = hashlib.sha256(film).hexdigest()
                lines.append(seal_index(directory, fact, *to, len(film), digest))
        started = FilmStarted(
            recording=name, case=case.id, kit="c" * 16, permit="d" * 16, consent="e" * 64,
            recipient="f" * 64, kind="visit", limit=300, sound=False, boot="boot", started=NOW,
        )  # fmt: skip
        text = manifest_lines(started, *lines)
        if recovered:
            digest = hashlib.sha256(film).hexdigest()
            tail = Tail(name=segment_name(TAIL), size=len(film), sha256=digest)
            ended = FilmEnded.after(lines, EndReason.POWER, None, tail)
            text = KIT.sign(text + manifest_lines(ended))
        (directory / "manifest").write_text(text)
        return directory

    def derived(self, directory: Path) -> Path:
        return self.case.directory / "derived" / directory.name

    def plays(self, directory: Path, derived: bool = True) -> list[int]:
        """The frames that can be seen."""
        where = self.derived(directory) if derived else None
        opened = open_recording(
            directory,
            self.case.identities,
            [KIT.verifier],
            derived=where,
            menders=[KEYS.signer.verifier],
        )
        with contextlib.closing(opened), av.open(opened.film.open(), "r") as film:
            return [films.number_in(frame) for frame in film.decode(video=0)]


@pytest.fixture
def kit(tmp_path: Path, parts: list[tuple[bytes, SegmentIndex]]) -> Kit:
    home = Home(tmp_path / "home", tmp_path / "run")
    return Kit(home, made_case(home, KEYS), parts)


def made_case(home: Home, keys: PrivateKeys) -> OpenCase:
    details = Details(label="a label", check_word="harbour")
    return Cases(home).create(details, keys, SERVICE.chain, [keys.signer.verifier])


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_tail_is_mended_beside_the_case_and_the_recorders_files_stay_as_they_are(
    kit: Kit,
) -> None:
    whole = len(seal(kit.parts[TAIL][0], [kit.case.identity.recipient]))
    directory = kit.film(kit.case, cut=whole - 20)
    before = contents(directory)
    seen = kit.plays(directory, derived=False)
    (mended,) = mend(directory, kit.case, [KIT.verifier], NOW)
    assert contents(directory) == before
    assert mended.source == hashlib.sha256(before[segment_name(TAIL)]).hexdigest()
    assert 60 < 60 + mended.segment.frames == len(seen) < FRAMES
    assert sorted(contents(kit.derived(directory))) == [
        index_name(TAIL),
        mended_name(TAIL),
        segment_name(TAIL),
    ]
    # Complete now, for every age tool, and it plays without what the recorder left.
    plain = unseal((kit.derived(directory) / segment_name(TAIL)).read_bytes(), kit.case.identities)
    assert kit.parts[TAIL][0].startswith(plain)
    (directory / segment_name(TAIL)).unlink()
    assert kit.plays(directory) == seen == list(range(len(seen)))


def test_a_tail_cut_anywhere_is_mended_up_to_its_last_whole_fragment(kit: Kit) -> None:
    whole = len(seal(kit.parts[TAIL][0], [kit.case.identity.recipient]))
    counts = set()
    for cut in (0, 1, 200, whole // 2, whole - (1 << 16), whole - 1, whole):
        directory = kit.film(kit.case, cut=cut)
        seen = kit.plays(directory, derived=False)
        mended = mend(directory, kit.case, [KIT.verifier], NOW)
        assert sum(part.segment.frames for part in mended) == len(seen) - 60
        assert kit.plays(directory) == seen == list(range(len(seen)))
        counts.add(len(seen))
    assert {60, FRAMES} < counts


def test_what_is_mended_is_not_mended_again(kit: Kit) -> None:
    directory = kit.film(kit.case)
    assert waiting(kit.home, [KIT.verifier]) == [(directory.name, kit.case.id)]
    assert mend(directory, kit.case, [KIT.verifier], NOW)
    assert waiting(kit.home, [KIT.verifier]) == []
    before = contents(kit.derived(directory))
    assert mend(directory, kit.case, [KIT.verifier], NOW) == ()
    assert contents(kit.derived(directory)) == before


def test_a_mending_that_the_power_cut_at_any_step_is_done_again(kit: Kit) -> None:
    directory = kit.film(kit.case)
    seen = kit.plays(directory, derived=False)
    mend(directory, kit.case, [KIT.verifier], NOW)
    derived = kit.derived(directory)
    whole = contents(derived)
    steps = [index_name(TAIL), segment_name(TAIL), mended_name(TAIL)]
    for done in range(len(steps)):
        shutil.rmtree(derived)
        derived.mkdir()
        for name in steps[:done]:
            (derived / name).write_bytes(whole[name])
        (derived / f".{steps[done]}.0011aabb.new").write_bytes(whole[steps[done]][:99])
        assert kit.plays(directory) == seen
        assert waiting(kit.home, [KIT.verifier])
        assert mend(directory, kit.case, [KIT.verifier], NOW)
        assert kit.plays(directory) == seen
        assert set(steps) <= set(contents(derived))


@pytest.mark.parametrize("what", ["tail", "manifest"])
def test_nothing_is_mended_that_the_kit_has_not_signed(kit: Kit, what: str) -> None:
    directory = kit.film(kit.case)
    if what == "tail":
        other = seal(kit.parts[TAIL][0], [kit.case.identity.recipient])
        (directory / segment_name(TAIL)).write_bytes(other)
        assert mend(directory, kit.case, [KIT.verifier], NOW) == ()
    else:
        with pytest.raises(BadSignature):
            mend(directory, kit.case, [Signer.generate("kit-1").verifier], NOW)
        assert waiting(kit.home, [Signer.generate("kit-1").verifier]) == []
    assert not kit.derived(directory).exists()


def test_a_film_that_is_being_made_is_left_alone(kit: Kit) -> None:
    directory = kit.film(kit.case, recovered=False)
    assert waiting(kit.home, []) == []
    assert mend(directory, kit.case, [KIT.verifier], NOW) == ()


def test_a_film_of_another_case_is_refused(kit: Kit) -> None:
    directory = kit.film(made_case(kit.home, KEYS))
    with pytest.raises(BadFile, match="not of this family"):
        mend(directory, kit.case, [KIT.verifier], NOW)


def test_a_lost_index_is_made_again_and_is_the_one_that_was_lost(kit: Kit) -> None:
    directory = kit.film(kit.case)
    index = directory / index_name(1)
    lost = unseal(index.read_bytes(), kit.case.identities)
    index.unlink()
    numbers = [m.segment.number for m in mend(directory, kit.case, [KIT.verifier], NOW)]
    assert numbers == [1, TAIL]
    derived = kit.derived(directory)
    assert unseal((derived / index_name(1)).read_bytes(), kit.case.identities) == lost
    assert not (derived / segment_name(1)).exists()
    assert kit.plays(directory) == list(range(FRAMES))
    assert waiting(kit.home, [KIT.verifier]) == []


def spoilt(kit: Kit, directory: Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """What somebody who can write to the card could put in place of what was mended."""
    good = contents(kit.derived(directory))
    to = [kit.case.identity.recipient]
    note = good[mended_name(TAIL)].decode()
    forged = COLLEAGUE.signer.sign(note.split("\n\n")[0] + "\n")
    other = kit.film(kit.case)
    mend(other, kit.case, [KIT.verifier], NOW)
    yield "another's signature", {**good, mended_name(TAIL): forged.encode()}
    altered = note.replace('"frames":15', '"frames":16')
    yield "a note altered", {**good, mended_name(TAIL): altered.encode()}
    yield "no note", {name: data for name, data in good.items() if name != mended_name(TAIL)}
    yield "another film's", contents(kit.derived(other))
    yield "another segment", {**good, segment_name(TAIL): seal(kit.parts[0][0], to)}
    yield "cut", {**good, segment_name(TAIL): good[segment_name(TAIL)][:-1]}
    yield "nothing but the note", {mended_name(TAIL): good[mended_name(TAIL)]}
    yield "another index", {**good, index_name(TAIL): seal(to_json(kit.parts[0][1]), to)}
    yield "no film at all", {**good, segment_name(TAIL): b""}


def test_whatever_lies_where_the_mended_tail_should_be_the_film_plays_as_the_kit_signed_it(
    kit: Kit,
) -> None:
    directory = kit.film(kit.case)
    mend(directory, kit.case, [KIT.verifier], NOW)
    tried = 0
    for what, files in spoilt(kit, directory):
        shutil.rmtree(kit.derived(directory))
        kit.derived(directory).mkdir()
        for name, data in files.items():
            (kit.derived(directory) / name).write_bytes(data)
        assert kit.plays(directory) == list(range(FRAMES)), what
        tried += 1
    assert tried == 9


@pytest.mark.parametrize("number", [1, TAIL])
def test_what_was_mended_of_other_bytes_than_these_does_not_count(kit: Kit, number: int) -> None:
    directory = kit.film(kit.case)
    (directory / index_name(1)).unlink()
    for mended in mend(directory, kit.case, [KIT.verifier], NOW):
        if mended.segment.number != number:
            continue
        # Signed by a practitioner, of this film; but it was made of something else.
        to = [kit.case.identity.recipient]
        film = seal(kit.parts[0][0], to)
        index = msgspec.structs.replace(
            kit.parts[0][1], recording=directory.name, number=mended.segment.number
        )
        sealed_index = seal(to_json(index), to)
        segment = msgspec.structs.replace(
            mended.segment,
            size=len(film),
            sha256=hashlib.sha256(film).hexdigest(),
            index_size=len(sealed_index),
            index_sha256=hashlib.sha256(sealed_index).hexdigest(),
        )
        other = msgspec.structs.replace(mended, source="0" * 64, segment=segment)
        derived = kit.derived(directory)
        (derived / segment.name).write_bytes(film)
        (derived / segment.index).write_bytes(sealed_index)
        (derived / mended_name(number)).write_text(KEYS.signer.sign(to_json(other).decode() + "\n"))
    assert kit.plays(directory) == list(range(FRAMES))


def test_at_each_unlock_every_film_that_can_be_opened_is_mended_whatever_the_others_are(
    kit: Kit,
) -> None:
    theirs = made_case(kit.home, COLLEAGUE)
    ours = [kit.film(kit.case), kit.film(kit.case)]
    kit.film(theirs)
    for name, spoil in (("manifest", b"no manifest\n"), (segment_name(TAIL), b"")):
        (kit.film(kit.case) / name).write_bytes(spoil)
    events: list[tuple[str, dict[str, str]]] = []

    def open_case(name: str) -> OpenCase:
        return Cases(kit.home).open(name, KEYS, [KEYS.signer.verifier])

    def note(event: str, **ids: str) -> None:
        events.append((event, ids))

    for _ in range(2):
        mend_all(kit.home, open_case, [KIT.verifier], lambda: NOW, note)
    told = sorted((event, ids["recording"]) for event, ids in events)
    assert told == sorted(("mended", directory.name) for directory in ours)
    with pytest.raises(NoMatch):
        open_case(theirs.id)


def test_a_failure_is_noted_and_stops_nothing(kit: Kit) -> None:
    bad, good = sorted([kit.film(kit.case), kit.film(kit.case)])
    # Nothing can be written where it should go.
    kit.derived(bad).parent.mkdir()
    kit.derived(bad).write_bytes(b"in the way")
    events: list[tuple[str, str]] = []

    def note(event: str, **ids: str) -> None:
        events.append((event, ids["recording"]))

    mend_all(kit.home, lambda _: kit.case, [KIT.verifier], lambda: NOW, note)
    assert events == [("mend-failed", bad.name), ("mended", good.name)]


def test_a_withdrawn_case_is_not_mended(kit: Kit) -> None:
    kit.film(kit.case)
    withdraw(kit.case.directory, KEYS, kit="c" * 16, at=NOW)
    mend_all(
        kit.home,
        lambda name: Cases(kit.home).open(name, KEYS, [KEYS.signer.verifier]),
        [KIT.verifier],
        lambda: NOW,
        lambda event, **ids: pytest.fail(f"{event} {ids}"),
    )
    assert not (kit.case.directory / "derived").exists()


def test_attune_open_takes_what_was_mended(kit: Kit, tmp_path: Path) -> None:
    directory = kit.film(kit.case)
    mend(directory, kit.case, [KIT.verifier], NOW)
    (directory / segment_name(TAIL)).unlink()
    (tmp_path / "key").write_text(SERVICE.text())
    out = tmp_path / "film.mp4"
    # The power was cut: something may be missing, and it says so.
    assert run(["open", str(directory), "-i", str(tmp_path / "key"), "-o", str(out)]) == 3
    with av.open(out, "r") as film:
        numbers = [films.number_in(frame) for frame in film.decode(video=0)]
    assert numbers == list(range(FRAMES))


def test_the_recording_itself_is_still_held_against_its_manifest(kit: Kit) -> None:
    directory = kit.film(kit.case)
    mend(directory, kit.case, [KIT.verifier], NOW)
    assert differences(directory, read_manifest(directory, [KIT.verifier])) == []
    notes = read_mended(kit.derived(directory), directory.name, [KEYS.signer.verifier])
    assert list(notes) == [TAIL]
    assert list(itertools.chain(read_mended(kit.derived(directory), "b" * 16))) == []
