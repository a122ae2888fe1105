"""Moments of a case: what is chosen, in which order, what is said of it, and what is set aside."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.casework import clips
from appliance.casework.clips import Choice, Clip, Still, Words
from appliance.errors import BadFile, NoMatch
from appliance.records.files import Home, new_id
from appliance.vault.cases import Cases, Details, OpenCase
from appliance.vault.keys import PrivateKeys

NOW = datetime(2026, 11, 21, 14, 5, tzinfo=UTC)


@pytest.fixture
def case(tmp_path: Path) -> OpenCase:
    keys, service = PrivateKeys.generate("practitioner"), PrivateKeys.generate("service")
    return Cases(Home(tmp_path / "home", tmp_path / "run")).create(
        Details(label="The family", check_word="lantern"),
        keys,
        service.chain,
        [keys.signer.verifier],
    )


def kept(case: OpenCase, minutes: int = 0) -> Clip:
    """A clip of the case, as it is when it has been made."""
    clip = Clip(
        id=new_id(),
        recording=new_id(),
        start=90_000,
        end=225_000,
        scale=90_000,
        frames=45,
        size=1,
        sha256="0" * 64,
        made=NOW + timedelta(minutes=minutes),
    )
    clips.sealed_file(case, clip).write_bytes(b"sealed")
    case.write(clip, clip.id)
    return clip


def chosen(case: OpenCase) -> list[str]:
    return [one.id for one in clips.shelf(case).chosen]


def test_moments_are_chosen_in_the_order_they_come(case: OpenCase) -> None:
    made = [kept(case) for _ in range(3)]
    for clip in made:
        clips.choose(case, clip.id)
    assert chosen(case) == [clip.id for clip in made]
    assert not clips.shelf(case).aside


def test_a_clip_says_where_it_is_in_seconds(case: OpenCase) -> None:
    clip = kept(case)
    assert (clip.begins, clip.seconds) == (1, 1.5)


def test_a_moment_moves_by_one_place_and_not_past_an_end(case: OpenCase) -> None:
    first, second, third = (kept(case).id for _ in range(3))
    for name in (first, second, third):
        clips.choose(case, name)
    clips.move(case, third, -1)
    assert chosen(case) == [first, third, second]
    clips.move(case, first, -1)
    clips.move(case, second, 1)
    assert chosen(case) == [first, third, second]
    clips.move(case, first, 1)
    assert chosen(case) == [third, first, second]


def test_a_moment_that_is_still_being_made_keeps_its_place(case: OpenCase) -> None:
    first, coming, last = kept(case).id, new_id(), kept(case).id
    for name in (first, coming, last):
        clips.choose(case, name)
    assert chosen(case) == [first, last]
    clips.move(case, last, -1)
    assert chosen(case) == [last, first]
    still = Still(
        id=coming, recording=new_id(), at=0, scale=90_000, size=1, sha256="0" * 64, made=NOW
    )
    clips.sealed_file(case, still).write_bytes(b"sealed")
    case.write(still, coming)
    assert set(chosen(case)) == {first, coming, last}


def test_what_is_taken_out_is_set_aside_and_can_be_put_back(case: OpenCase) -> None:
    first, second = kept(case), kept(case, minutes=1)
    clips.choose(case, first.id)
    clips.choose(case, second.id)
    clips.take_out(case, first.id)
    stands = clips.shelf(case)
    assert ([one.id for one in stands.chosen], [one.id for one in stands.aside]) == (
        [second.id],
        [first.id],
    )
    clips.choose(case, first.id)
    assert chosen(case) == [second.id, first.id]


def test_a_clip_that_is_cut_anew_takes_the_place_of_the_one_before(case: OpenCase) -> None:
    first, second, again = kept(case).id, kept(case).id, kept(case).id
    clips.choose(case, first)
    clips.choose(case, second)
    clips.choose(case, again, instead=first)
    assert chosen(case) == [again, second]
    assert [one.id for one in clips.shelf(case).aside] == [first]


def test_after_a_review_everything_is_set_aside_the_newest_first(case: OpenCase) -> None:
    older, newer = kept(case), kept(case, minutes=1)
    clips.choose(case, older.id)
    clips.choose(case, newer.id)
    clips.begin_anew(case)
    stands = clips.shelf(case)
    assert not stands.chosen
    assert [one.id for one in stands.aside] == [newer.id, older.id]


def test_words_are_written_anew_and_the_cut_stays_as_it_was(case: OpenCase) -> None:
    clip = kept(case)
    words = Words(note="she turns", question="what came first?", turn="reception")
    clips.say(case, clip.id, words)
    found = clips.moment(case, clip.id)
    assert found.words == words
    assert (found.begins, found.sha256, found.made) == (clip.begins, clip.sha256, clip.made)


def test_a_moment_whose_film_was_taken_back_is_not_listed(case: OpenCase) -> None:
    stays, gone, aside = kept(case), kept(case), kept(case)
    clips.choose(case, stays.id)
    clips.choose(case, gone.id)
    for clip in (gone, aside):
        clips.sealed_file(case, clip).unlink()
    stands = clips.shelf(case)
    assert [one.id for one in stands.chosen] == [stays.id] and not stands.aside


def test_a_moment_that_is_not_there_is_refused(case: OpenCase) -> None:
    with pytest.raises(NoMatch):
        clips.say(case, new_id(), Words(note="she turns"))


def test_a_choice_holds_only_names(case: OpenCase) -> None:
    with pytest.raises(BadFile):
        clips.choose(case, "../../case.json")
    assert case.read(Choice) is None


def test_nothing_of_it_can_be_read_without_the_key_of_the_case(case: OpenCase) -> None:
    clip = kept(case)
    clips.say(case, clip.id, Words(note="canary-she-turns"))
    clips.choose(case, clip.id)
    for path in case.directory.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"canary" not in data
            assert path.suffix != ".age" or clip.id.encode() not in data


def test_of_what_two_homes_chose_all_is_chosen_the_laters_first() -> None:
    one, two, three = new_id(), new_id(), new_id()
    later, earlier = Choice(kept=(two, one)), Choice(kept=(one, three))
    assert later.joined(earlier) == Choice(kept=(two, one, three))
    assert Choice().joined(earlier) == earlier
