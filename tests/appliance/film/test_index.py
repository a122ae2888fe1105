"""The index of a segment: made with it, made again from it, and believed only if it agrees."""

from itertools import accumulate, islice

import msgspec
import pytest

from appliance.errors import BadFile
from appliance.film.index import SegmentIndex, TrackIndex, rebuild_index
from appliance.records.files import from_json, to_json
from tests.support.segments import RECORDING, Segment


def test_an_index_made_again_from_the_segment_is_the_one_that_was_written(
    segments: list[Segment],
) -> None:
    for number, segment in enumerate(segments):
        written = segment.builder.build()
        written.check()
        assert rebuild_index(segment, RECORDING, number) == written
        assert from_json(to_json(written), SegmentIndex) == written


def samples_end(track: TrackIndex) -> list[int]:
    """Where each sample of a track ends in its segment."""
    ends = (accumulate(run.sizes, initial=run.offset) for run in track.runs)
    return [end for run in ends for end in islice(run, 1, None)]


def test_an_index_of_a_segment_cut_anywhere_has_its_whole_pictures_and_sound(
    segments: list[Segment],
) -> None:
    segment = segments[0]
    written = segment.builder.build()
    init = written.init
    ends = [samples_end(track) for track in written.tracks]
    frames = []
    for size in range(len(init), segment.size, 97):
        cut = Segment(segment.builder, segment.data[:size])
        index = rebuild_index(cut, RECORDING, 0)
        index.check()
        assert index.size <= size
        for track, whole in zip(index.tracks, ends, strict=True):
            assert samples_end(track) == [end for end in whole if end <= size]
        frames.append(sum(len(run.sizes) for run in index.tracks[0].runs))
    assert frames == sorted(frames)
    assert (frames[0], frames[-1]) == (0, segment.builder.frames)


def test_an_index_that_contradicts_itself_is_refused(segments: list[Segment]) -> None:
    index = segments[0].builder.build()
    picture = index.tracks[0]
    run = picture.runs[0]
    bad_runs = [
        msgspec.structs.replace(run, offset=index.size - sum(run.sizes) + 1),
        msgspec.structs.replace(run, offset=0),
        msgspec.structs.replace(run, sizes=run.sizes[:-1]),
        msgspec.structs.replace(run, sizes=()),
        msgspec.structs.replace(run, sizes=(0, *run.sizes[1:])),
        msgspec.structs.replace(run, durations=((len(run.sizes), 0),)),
        msgspec.structs.replace(run, durations=()),
        msgspec.structs.replace(run, keys=(len(run.sizes),)),
        msgspec.structs.replace(run, time=-1),
        msgspec.structs.replace(run, shifts=((1, 3),)),
    ]
    for bad in bad_runs:
        track = msgspec.structs.replace(picture, runs=(bad, *picture.runs[1:]))
        with pytest.raises(BadFile):
            msgspec.structs.replace(index, tracks=(track, *index.tracks[1:])).check()
    with pytest.raises(BadFile):
        msgspec.structs.replace(index, tracks=index.tracks[:1]).check()
