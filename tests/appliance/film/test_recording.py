"""A recording as it lies on the card, whole or not: what plays, and what is said to be missing."""

import contextlib
import hashlib
import io
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import pytest

from appliance.age.identities import generate_identity
from appliance.age.sealing import seal
from appliance.commands.main import run
from appliance.errors import BadFile, Incomplete, NoMatch
from appliance.film.manifest import (
    EndReason,
    Tail,
    index_name,
    manifest_lines,
    read_manifest,
    segment_name,
)
from appliance.film.recording import differences, open_recording, write_film
from appliance.media.cutting import cut
from tests.support import films
from tests.support.segments import (
    RECORDING,
    SIGNER,
    STARTED,
    Recording,
    Segment,
    altered,
    end_of,
    segments_of,
    split,
    write_recording,
)


def test_a_whole_recording_opens_complete_and_writes_a_film(
    recording: Recording, stream: bytes
) -> None:
    opened = open_recording(recording.directory, [recording.identity], [SIGNER.verifier])
    assert opened.complete
    assert opened.manifest.signed_by == SIGNER.verifier
    assert differences(opened.directory, opened.manifest) == []
    out = io.BytesIO()
    with contextlib.closing(opened):
        write_film(opened, out)
    assert films.packets(out.getvalue()) == films.packets(stream)


@pytest.mark.parametrize("check", [False, True])
def test_a_segment_that_is_not_there_is_said_and_the_rest_plays(
    recording: Recording, check: bool
) -> None:
    (recording.directory / segment_name(1)).unlink()
    shown, missing = recording.numbers(check=check)
    assert shown == [*range(30), *range(60, 100)]
    assert missing == ["From 0:01.0 to 0:02.0: 0001.mp4.age is not here."]


def test_a_segment_that_is_too_short_is_said_and_the_rest_plays(recording: Recording) -> None:
    path = recording.directory / segment_name(3)
    path.write_bytes(path.read_bytes()[:-1])
    shown, missing = recording.numbers()
    assert shown == list(range(90))
    assert len(missing) == 1
    assert missing[0].startswith("From 0:03.0 to 0:03.3: 0003.mp4.age has ")


def test_an_altered_segment_is_never_shown_and_left_out_when_looked_for(
    recording: Recording,
) -> None:
    altered(recording.directory / segment_name(2))
    with pytest.raises(BadFile, match=r"0002\.mp4\.age is not the file that the kit signed"):
        recording.numbers()
    shown, missing = recording.numbers(check=True)
    assert shown == [*range(60), *range(90, 100)]
    assert len(missing) == 1


def swapped(film: Recording, _: Recording) -> None:
    first, second = (film.directory / segment_name(n) for n in (1, 2))
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)


def renamed(film: Recording, _: Recording) -> None:
    (film.directory / segment_name(1)).rename(film.directory / segment_name(7))


def repeated(film: Recording, _: Recording) -> None:
    shutil.copy(film.directory / segment_name(0), film.directory / segment_name(1))


def cut_short(film: Recording, _: Recording) -> None:
    path = film.directory / segment_name(1)
    path.write_bytes(path.read_bytes()[:-1])


def cut_and_filled_up(film: Recording, _: Recording) -> None:
    path = film.directory / segment_name(1)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(-(-len(data) // 2)))


def moved_from_another(film: Recording, other: Recording) -> None:
    for name in (segment_name(1), index_name(1)):
        shutil.copy(other.directory / name, film.directory / name)


@pytest.mark.parametrize(
    ("harm", "bad", "whose"),
    [
        (swapped, [1, 2], "its own"),
        (renamed, [1], "its own"),
        (repeated, [1], "its own"),
        (cut_short, [1], "its own"),
        (cut_and_filled_up, [1], "its own"),
        (moved_from_another, [1], "another film of the case"),
        (moved_from_another, [1], "a film of another case"),
    ],
)
def test_a_segment_that_is_not_the_one_signed_is_refused_by_name_and_all_others_play(
    recording: Recording,
    segments: list[Segment],
    tmp_path: Path,
    harm: Callable[[Recording, Recording], None],
    bad: list[int],
    whose: str,
) -> None:
    key = generate_identity() if whose == "a film of another case" else recording.identity
    (tmp_path / "other").mkdir()
    harm(recording, write_recording(tmp_path / "other" / RECORDING, segments, key))
    shown, missing = recording.numbers(check=True)
    assert shown == [number for number in range(100) if number // 30 not in bad]
    named = [next(n for n in range(4) if segment_name(n) in sentence) for sentence in missing]
    assert named == bad
    opened = open_recording(recording.directory, [recording.identity], check=True)
    verified = differences(opened.directory, opened.manifest)
    for number in bad:
        assert any(sentence.startswith(segment_name(number)) for sentence in verified)
    # Whoever has not looked first is shown nothing false either.
    with contextlib.suppress(BadFile):
        assert recording.numbers()[0] == shown


@pytest.mark.parametrize("harm", [Path.unlink, altered])
def test_a_lost_or_altered_index_is_made_again(
    recording: Recording, harm: Callable[[Path], None]
) -> None:
    harm(recording.directory / index_name(1))
    assert recording.numbers() == (list(range(100)), [])
    opened = open_recording(recording.directory, [recording.identity])
    assert [sentence.split()[0] for sentence in differences(opened.directory, opened.manifest)] == [
        index_name(1)
    ]


def test_verifying_names_what_is_missing_altered_and_strange_without_a_key(
    recording: Recording,
) -> None:
    (recording.directory / segment_name(0)).unlink()
    altered(recording.directory / segment_name(1))
    (recording.directory / segment_name(7)).write_bytes(b"")
    manifest = read_manifest(recording.directory, [SIGNER.verifier])
    assert differences(recording.directory, manifest) == [
        "0000.mp4.age is not here.",
        "0001.mp4.age is not the file that the kit signed: it was altered or damaged.",
        "0007.mp4.age does not belong to this recording.",
    ]


def cut_by_the_power(recording: Recording, size: int | None) -> bytes:
    """As if the plug was pulled in the last segment, `size` bytes of it on the card."""
    *lines, _ = recording.lines()
    tail = recording.directory / segment_name(3)
    data = tail.read_bytes()[:size]
    tail.write_bytes(data)
    (recording.directory / index_name(3)).unlink()
    (recording.directory / "manifest").write_text(manifest_lines(STARTED, *lines))
    return data


def test_a_film_cut_by_the_power_plays_up_to_its_last_whole_fragment(recording: Recording) -> None:
    whole = (recording.directory / segment_name(3)).read_bytes()
    cut_by_the_power(recording, None)
    shown, missing = recording.numbers()
    assert shown == list(range(100))
    assert missing == [
        "From 0:03.3 on: this film has no end yet: it is being made, or the kit has not "
        "recovered it."
    ]
    for size in (0, 1, 1500, len(whole) - 1):
        (recording.directory / segment_name(3)).write_bytes(whole[:size])
        assert recording.numbers()[0][:90] == list(range(90))


def test_a_tail_of_many_chunks_plays_up_to_the_cut(tmp_path: Path) -> None:
    # Key frames alone, and noisy enough for several sealed chunks in one segment.
    stream = films.film(60, encoder={**films.LIKE_OURS, "g": "60", "qp": "1"}, noisy=True)
    identity = generate_identity(x25519=True)
    recording = write_recording(tmp_path / RECORDING, segments_of(*split(stream)), identity)
    sealed = (recording.directory / segment_name(0)).read_bytes()
    assert len(sealed) > 5 << 16
    (recording.directory / index_name(0)).unlink()
    (recording.directory / "manifest").write_text(manifest_lines(STARTED))
    counts = []
    for size in range(3 << 16, len(sealed), 1 << 15):
        (recording.directory / segment_name(0)).write_bytes(sealed[:size])
        shown, _ = recording.numbers()
        assert shown == list(range(len(shown)))
        counts.append(len(shown))
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_a_recovered_film_says_that_the_power_was_cut(recording: Recording) -> None:
    *lines, _ = recording.lines()
    data = cut_by_the_power(recording, None)
    tail = Tail(name=segment_name(3), size=len(data), sha256=hashlib.sha256(data).hexdigest())
    recording.finish(STARTED, *lines, end_of(lines, EndReason.POWER, tail))
    shown, missing = recording.numbers()
    assert shown == list(range(100))
    assert [line.partition(":")[0] for line in missing] == ["From 0"]
    assert "the power was cut" in missing[0]
    opened = open_recording(recording.directory, [recording.identity])
    assert differences(opened.directory, opened.manifest) == []
    altered(recording.directory / segment_name(3))
    assert recording.numbers()[0] == list(range(90)), "a tail that was altered is not shown"


def test_a_tail_that_somebody_put_there_does_not_spoil_the_film(recording: Recording) -> None:
    cut_by_the_power(recording, None)
    tail = recording.directory / segment_name(3)
    strangers = [
        b"",
        b"\0" * 5000,
        seal(b"\0" * 5000, [generate_identity().recipient]),
        seal(b"\0" * 5000, [recording.identity.recipient]),
        (recording.directory / segment_name(0)).read_bytes(),
        seal(films.film(31), [recording.identity.recipient]),
    ]
    for strange in strangers:
        tail.write_bytes(strange)
        assert recording.numbers()[0] == list(range(90))


def test_another_key_opens_nothing(recording: Recording) -> None:
    with pytest.raises(NoMatch):
        open_recording(recording.directory, [generate_identity()])


def test_a_recording_of_which_nothing_is_left_says_so(recording: Recording) -> None:
    for number in range(4):
        (recording.directory / segment_name(number)).unlink()
    with pytest.raises(Incomplete, match="Nothing of this film can be played"):
        open_recording(recording.directory, [recording.identity])
    (recording.directory / "manifest").unlink()
    with pytest.raises(BadFile, match="is not a recording"):
        open_recording(recording.directory, [recording.identity])


def test_a_clip_is_cut_straight_out_of_the_seal(recording: Recording) -> None:
    out = io.BytesIO()
    with contextlib.closing(open_recording(recording.directory, [recording.identity])) as opened:
        done = cut(opened.film.open(), Fraction(28, 30), Fraction(65, 30), out)
    assert done.sound
    with av.open(io.BytesIO(out.getvalue()), "r") as film:
        assert [films.number_in(frame) for frame in film.decode(video=0)] == list(range(28, 65))


def test_a_clip_over_a_missing_segment_has_only_what_is_there(recording: Recording) -> None:
    (recording.directory / segment_name(1)).unlink()
    out = io.BytesIO()
    with contextlib.closing(open_recording(recording.directory, [recording.identity])) as opened:
        cut(opened.film.open(), Fraction(20, 30), Fraction(70, 30), out)
    with av.open(io.BytesIO(out.getvalue()), "r") as film:
        shown = [(films.number_in(f), f.pts * f.time_base) for f in film.decode(video=0)]
    expected = [*range(20, 30), *range(60, 70)]
    assert shown == [(number, Fraction(number - 20, 30)) for number in expected]


@dataclass(frozen=True)
class Place:
    """A recording where it lies, its case's key beside it, and the key file of somebody who may."""

    recording: Recording
    case: Path
    key: Path
    out: Path

    def open(self, where: str | None = None) -> int:
        where = where or str(self.recording.directory)
        return run(["open", where, "-i", str(self.key), "-o", str(self.out)])


@pytest.fixture(params=["on a kit", "in a store"])
def place(request: pytest.FixtureRequest, segments: list[Segment], tmp_path: Path) -> Place:
    root = tmp_path / "with a space"
    case = root / "cases" / STARTED.case
    recordings = (case if request.param == "in a store" else root) / "recordings"
    for directory in (case, recordings):
        directory.mkdir(parents=True, exist_ok=True)
    identity, service = generate_identity(), generate_identity()
    recording = write_recording(recordings / RECORDING, segments, identity)
    secret = f"{identity.secret_text()}\n".encode()
    stranger = seal(b"of another practitioner", [generate_identity().recipient])
    (case / "identity-0001.age").write_bytes(seal(secret, [service.recipient]))
    (case / "identity-0002.age").write_bytes(stranger)
    key = tmp_path / "service.key"
    key.write_text(service.secret_text() + "\n")
    return Place(recording, case, key, tmp_path / "film.mp4")


def test_attune_open_gives_back_the_film(place: Place, stream: bytes) -> None:
    assert place.open() == 0
    assert films.packets(place.out.read_bytes()) == films.packets(stream)
    assert place.out.stat().st_mode & 0o077 == 0, "a film in clear is not for other users"
    place.out.unlink()
    assert place.open(place.recording.directory.as_uri()) == 0
    assert place.out.exists()


def test_attune_open_of_what_is_left_writes_it_and_says_what_is_missing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    altered(place.recording.directory / segment_name(1))
    assert place.open() == 3
    assert "From 0:01.0 to 0:02.0: 0001.mp4.age is not the file" in capsys.readouterr().err
    with av.open(place.out, "r") as film:
        shown = [films.number_in(frame) for frame in film.decode(video=0)]
    assert shown == [*range(30), *range(60, 100)]


def test_attune_open_of_a_withdrawn_case_writes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("identity-0001.age", "identity-0002.age"):
        (place.case / name).unlink()
    assert place.open() == 1
    assert "withdrawn" in capsys.readouterr().err
    assert not place.out.exists()


def test_attune_open_with_a_strangers_key_writes_nothing(place: Place) -> None:
    place.key.write_text(generate_identity().secret_text() + "\n")
    assert place.open() == 1
    assert place.open("https://example.org/film") == 1
    assert place.open(str(place.recording.directory.parent)) == 1
    assert run(["open", str(place.recording.directory), "-o", str(place.out)]) == 2
    assert not place.out.exists()
