"""Manifests: what was written, as far as it was written, and never more."""

import msgspec
import pytest

from appliance.errors import BadFile, BadSignature
from appliance.film.manifest import (
    FilmedWith,
    FilmEnded,
    FilmStarted,
    SegmentClosed,
    Tail,
    manifest_lines,
    parse_manifest,
)
from appliance.records.signing import Signer
from tests.support.segments import SIGNER, STARTED, closed, ended


def test_a_signed_manifest_reads_back_with_who_signed_it() -> None:
    note = SIGNER.sign(manifest_lines(STARTED, closed(0), closed(1), ended(2)))
    manifest = parse_manifest(note, [SIGNER.verifier])
    assert manifest.started == STARTED
    assert manifest.segments == (closed(0), closed(1))
    assert manifest.ended == ended(2)
    assert manifest.signed_by == SIGNER.verifier
    assert parse_manifest(note).signed_by is None, "who was not asked about vouches for nothing"


PLAIN = FilmedWith(
    camera="scene", size=(320, 180), frame_rate=24, encoder="libx264", bit_rate=600_000
)
FILMED_WITH = FilmedWith(
    camera="imx708_wide",
    size=(1280, 720),
    frame_rate=25,
    encoder="libx264, high",
    bit_rate=5_000_000,
    read=(2304, 1296),
    seen=1.0,
    focus=0.5,
    exposure=(26, 40_000),
)


def test_what_the_camera_was_set_to_stands_behind_how_the_film_began_and_nowhere_else() -> None:
    for said in (FILMED_WITH, PLAIN):
        note = SIGNER.sign(manifest_lines(STARTED, said, closed(0), ended(1)))
        manifest = parse_manifest(note, [SIGNER.verifier])
        assert (manifest.filmed_with, manifest.segments) == (said, (closed(0),))
    assert parse_manifest(manifest_lines(STARTED, closed(0))).filmed_with is None


def test_a_manifest_cut_at_any_byte_is_unfinished_and_never_more_than_was_written() -> None:
    lines = [manifest_lines(f) for f in (STARTED, closed(0), closed(1), ended(2))]
    note = SIGNER.sign("".join(lines))
    for length in range(len(lines[0]), len(note)):
        manifest = parse_manifest(note[:length], [SIGNER.verifier])
        whole = note[:length].count("\n")
        assert manifest.signed_by is None
        assert len(manifest.segments) == min(whole - 1, 2)
        assert (manifest.ended is not None) == (whole >= 4)
    for length in range(len(lines[0])):
        with pytest.raises(BadFile):
            parse_manifest(note[:length])


@pytest.mark.parametrize(
    "facts",
    [
        (closed(0), STARTED, ended(1)),
        (STARTED, STARTED),
        (FILMED_WITH, STARTED, ended(0)),
        (STARTED, FILMED_WITH, FILMED_WITH, ended(0)),
        (STARTED, closed(0), FILMED_WITH, ended(1)),
        (STARTED, closed(0), ended(1), FILMED_WITH),
        (STARTED, msgspec.structs.replace(FILMED_WITH, seen=1.01)),
        (STARTED, msgspec.structs.replace(FILMED_WITH, focus=-1.0)),
        (STARTED, msgspec.structs.replace(FILMED_WITH, camera="x" * 101)),
        (STARTED, closed(1)),
        (STARTED, closed(0), closed(0)),
        (STARTED, closed(0), closed(2)),
        (STARTED, closed(1), closed(0)),
        (STARTED, ended(0), closed(0)),
        (STARTED, closed(0), ended(1), ended(1)),
        (STARTED, closed(0), ended(2)),
        (STARTED, closed(0, frames=29), ended(1)),
        (STARTED, ended(0, tail=Tail(name="0001.mp4.age", size=1, sha256="0" * 64))),
        (STARTED, msgspec.structs.replace(closed(0), name="../../keys/x")),
        (STARTED, msgspec.structs.replace(closed(0), index="0000.mp4.age")),
        (closed(0),),
        (),
    ],
)
def test_a_manifest_that_we_do_not_write_is_refused(
    facts: tuple[FilmStarted | SegmentClosed | FilmEnded, ...],
) -> None:
    with pytest.raises(BadFile):
        parse_manifest(manifest_lines(*facts))


def test_a_manifest_altered_by_one_letter_is_refused() -> None:
    note = SIGNER.sign(manifest_lines(STARTED, closed(0), ended(1)))
    for place in range(0, note.rindex("\n\n"), 7):
        letter = "0" if note[place] != "0" else "1"
        with pytest.raises((BadFile, BadSignature)):
            parse_manifest(note[:place] + letter + note[place + 1 :], [SIGNER.verifier])
    with pytest.raises(BadSignature):
        parse_manifest(note, [Signer.generate("kit-1").verifier])


def test_a_manifest_that_is_signed_says_how_its_film_ended() -> None:
    with pytest.raises(BadFile):
        parse_manifest(SIGNER.sign(manifest_lines(STARTED, closed(0))), [SIGNER.verifier])
