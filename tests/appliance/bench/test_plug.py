"""What a pulled plug costs, as the measures count it."""

import io
from pathlib import Path

import pytest

from appliance.age.sealing import CHUNK, SealedWriter
from appliance.bench import before
from appliance.bench.plug import Watched, pictures_in
from appliance.errors import NotPossible
from appliance.film.boxes import make
from appliance.film.fragments import Fragment, FragmentSplitter, Init
from firmware.cameras.testcard import TestCard
from tests.support.fakes import CASE, muxed


def test_what_a_plug_costs_at_each_moment_is_what_was_given_and_is_not_on_the_card() -> None:
    # Ten pictures a second; each half second what was given up to then is on the card.
    given = [n / 10 for n in range(21)]
    film = Watched(10, given, [(0.05, 0), (0.55, 6), (1.05, 11), (1.55, 16)])
    losses = film.losses()
    assert len(losses) == 2000
    assert losses[0] == pytest.approx(0.1) and losses[549] == pytest.approx(0.6)
    assert losses[551] == pytest.approx(0.0) and losses[1049] == pytest.approx(0.5)
    assert max(losses) == pytest.approx(0.6)
    assert film.syncs_a_second == pytest.approx(2)


def test_of_a_sealed_film_that_is_cut_those_pictures_count_that_are_whole(tmp_path: Path) -> None:
    pieces = muxed(TestCard(320, 180, 30), 60, 4_000_000)
    splitter = FragmentSplitter()
    init, *fragments = [unit for piece in pieces for unit in splitter.feed(piece)]
    assert isinstance(init, Init)
    plain = b"".join(pieces)
    plain += make(b"free", bytes(-len(plain) % CHUNK + 100))
    sealed = io.BytesIO()
    writer = SealedWriter(sealed, [CASE.recipient])
    head = len(sealed.getvalue())
    writer.write(plain)
    writer.close()
    path = tmp_path / "0000.mp4.age"
    path.write_bytes(sealed.getvalue())
    assert pictures_in(path, head + 100, plain) == 0
    assert pictures_in(path, len(sealed.getvalue()), plain) == 60
    ends, at = [], len(init.data)
    for fragment in fragments:
        assert isinstance(fragment, Fragment)
        at += len(fragment.data)
        ends.append(at)
    for chunks in range(1, len(plain) // CHUNK):
        found = pictures_in(path, head + chunks * (CHUNK + 16), plain)
        whole = sum(end <= chunks * CHUNK for end in ends)
        fragment_pictures = [f.frames for f in fragments if isinstance(f, Fragment)]
        assert sum(fragment_pictures[:whole]) <= found <= sum(fragment_pictures[: whole + 1])


def test_without_the_history_nothing_is_measured_against_it_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(before, "HERE", tmp_path)
    with pytest.raises(NotPossible, match=f"history.*{before.COMMIT}"):
        before.tree(tmp_path)
