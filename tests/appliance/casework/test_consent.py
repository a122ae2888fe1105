"""Consent: each for themselves, each purpose by itself, and taken back at any time."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.casework.consent import (
    LONGEST_SIGNATURE,
    PURPOSES,
    Consent,
    Hold,
    Person,
    allows,
    checked_strokes,
    may_be_made,
    may_be_watched,
    nothing_agreed,
    stricter,
)
from appliance.errors import BadInput
from appliance.protocol.orders import Tombstone
from appliance.records.files import ID, from_json, new_id, to_json
from tests.support import consents

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)


def person(**changes: Any) -> Person:
    mother = Person(
        pii_principal_id=new_id(),
        name="Alex",
        relation="mother",
        speaks_as="adult",
        on_behalf_of="Robin",
        authority="parent",
        purposes=PURPOSES,
    )
    return msgspec.structs.replace(mother, **changes)


def consent(*people: Person, **changes: Any) -> Consent:
    return consents.consent(people or (person(),), NOON, **changes)


VISITOR = person(name="Sam", relation="uncle", on_behalf_of="", authority="", purposes=("filming",))


def test_what_one_person_in_the_room_refuses_nobody_has_agreed_to() -> None:
    both = consent(person(), VISITOR)
    assert allows(both, "filming", NOON)
    assert [p for p in PURPOSES if allows(both, p, NOON)] == ["filming"]
    assert not allows(consent(person(), person(purposes=())), "filming", NOON)


@pytest.mark.parametrize(
    "refused",
    [
        None,
        consent(VISITOR),
        consent(person(on_behalf_of="")),
        consent(person(authority="")),
        consent(positive_choice=False),
        consent(valid_until=NOON),
        msgspec.structs.replace(consent(), people=()),
    ],
)
def test_without_a_consent_that_is_whole_nothing_is_allowed(refused: Consent | None) -> None:
    assert not any(allows(refused, purpose, NOON) for purpose in PURPOSES)


def test_a_consent_of_nobody_has_no_purpose() -> None:
    assert msgspec.structs.replace(consent(), people=()).purposes == ()


@pytest.mark.parametrize("kind", ["visit", "review", "imported"])
def test_without_any_consent_no_film_is_made_or_watched(kind: Any) -> None:
    assert may_be_made(consent(), NOON, kind) and may_be_watched(consent(), NOON, kind)
    assert not may_be_made(None, NOON, kind) and not may_be_watched(None, NOON, kind)


@pytest.mark.parametrize("kind", ["visit", "review", "imported"])
def test_whoever_takes_filming_back_means_every_camera(kind: Any) -> None:
    gone = consent().without(["filming"], LATER)
    assert not may_be_made(gone, LATER, kind) and not may_be_watched(gone, LATER, kind)


@pytest.mark.parametrize("kind", ["visit", "review", "imported"])
def test_where_nobody_can_read_the_consent_everything_is_taken_back(kind: Any) -> None:
    nothing = from_json(to_json(nothing_agreed(NOON)), Consent)
    assert tuple(taken.purpose for taken in nothing.taken_back) == PURPOSES
    assert not nothing.positive_choice
    for now in (NOON - timedelta(days=1), NOON):
        assert not may_be_made(nothing, now, kind) and not may_be_watched(nothing, now, kind)


def test_a_local_authority_can_hold_responsibility_and_a_young_person_can_refuse() -> None:
    worker = person(name="Kim", relation="social worker", authority="local-authority")
    young = person(
        name="Robin", relation="child", speaks_as="young-person", on_behalf_of="", authority=""
    )
    assert allows(consent(worker, young), "filming", NOON)
    refusing = msgspec.structs.replace(young, purposes=("supervisor",))
    assert not allows(consent(worker, refusing), "filming", NOON)


@given(st.sets(st.sampled_from(PURPOSES)), st.sets(st.sampled_from(PURPOSES)))
def test_what_is_taken_back_is_gone_and_the_rest_stays(first: Any, second: Any) -> None:
    left = consent().without(first, LATER).without(second, LATER)
    assert set(left.purposes) == set(PURPOSES) - first - second
    taken = [one.purpose for one in left.taken_back]
    assert sorted(taken) == sorted(first | second)
    assert may_be_watched(left, LATER) is ("filming" not in first | second)


def test_who_refuses_to_be_filmed_today_closes_no_earlier_film() -> None:
    refused = consent(person(), person(purposes=()))
    assert may_be_watched(refused, NOON) and not allows(refused, "filming", NOON)


def test_films_are_not_watched_without_a_consent_or_after_its_end() -> None:
    assert not may_be_watched(None, NOON)
    assert may_be_watched(consent(), NOON + timedelta(days=30, microseconds=-1))
    assert not may_be_watched(consent(), NOON + timedelta(days=30))


def test_a_record_reads_back_as_it_was_written() -> None:
    written = consent(person(signature="1,2 3,4"), VISITOR).without(["peers"], LATER)
    assert from_json(to_json(written), Consent) == written


@pytest.mark.parametrize("strokes", ["1,2 3,4", "0,0 1000,300|5,5 6,6 7,7"])
def test_a_drawn_signature_is_kept_as_it_was_drawn(strokes: str) -> None:
    assert checked_strokes(strokes) == strokes


@pytest.mark.parametrize(
    "strokes",
    ["", "1,2", "1,2 3", "1,2 3,4|", "1,2  3,4", "a,b c,d", '1,2 3,4"/><script>', "-1,2 3,4"],
)
def test_what_is_no_signature_is_refused(strokes: str) -> None:
    with pytest.raises(BadInput):
        checked_strokes(strokes)


def test_a_signature_longer_than_anybodys_is_refused() -> None:
    point = "1000,300"
    whole = " ".join([point] * (LONGEST_SIGNATURE // 9)) + " 100,30"
    assert len(whole) == LONGEST_SIGNATURE and checked_strokes(whole)
    with pytest.raises(BadInput):
        checked_strokes(f"{whole}0")


def test_an_answer_from_before_parts_could_be_taken_back_answers_for_the_whole_case() -> None:
    answer = Tombstone(order=new_id(), case=new_id(), at=NOON, removed=())
    text = to_json(answer).decode().replace(',"whole":true', "")
    assert '"whole"' not in text
    assert from_json(text, Tombstone) == answer and from_json(text, Tombstone).whole


# --- Two homes that each recorded one -------------------------------------------------------------

PEOPLE = st.lists(
    st.builds(
        Person,
        pii_principal_id=st.sampled_from(["a" * 16, "b" * 16, "c" * 16]),
        name=st.sampled_from(["Alex", "alex", "Sam"]),
        relation=st.just("mother"),
        speaks_as=st.just("adult"),
        on_behalf_of=st.sampled_from(["", "Robin"]),
        authority=st.sampled_from(["", "parent"]),
        purposes=st.sets(st.sampled_from(PURPOSES[:3])).map(lambda said: tuple(sorted(said))),
    ),
    max_size=3,
).map(tuple)
CONSENTS = st.builds(
    lambda people, minutes, days, limit, positive, back: consents.consent(
        people,
        NOON + timedelta(minutes=minutes),
        limit=limit,
        valid_until=NOON + timedelta(days=days),
        retention_period=days,
        positive_choice=positive,
    ).without(back, NOON + timedelta(minutes=minutes)),
    PEOPLE,
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(1, 300),
    st.booleans(),
    st.sets(st.sampled_from(PURPOSES[:3])),
)


@given(one=CONSENTS, other=CONSENTS)
def test_of_two_consents_nothing_counts_that_one_of_them_does_not_allow(
    one: Consent, other: Consent
) -> None:
    both = stricter(one, other)
    for at in (NOON, NOON + timedelta(days=1), NOON + timedelta(days=2)):
        for purpose in PURPOSES:
            if allows(both, purpose, at):
                assert allows(one, purpose, at) and allows(other, purpose, at)
        for kind in ("visit", "review", "imported"):
            if may_be_watched(both, at, kind):
                assert may_be_watched(one, at, kind) and may_be_watched(other, at, kind)
    for each in (one, other):
        assert both.limit <= each.limit and both.valid_until <= each.valid_until
        assert both.retention_period <= each.retention_period
        assert both.event_time <= each.event_time
        assert {taken.purpose for taken in each.taken_back} <= {t.purpose for t in both.taken_back}
    assert stricter(other, one) == both
    # Who is here is asked for each record.
    assert both.record_id not in (one.record_id, other.record_id)
    assert ID.fullmatch(both.record_id) and stricter(one, one).record_id == one.record_id
    again = stricter(both, one)
    assert (again.purposes, again.valid_until) == (both.purposes, both.valid_until)


def test_who_was_asked_in_both_agrees_to_what_they_said_yes_to_twice() -> None:
    ours = consent(person(purposes=("filming", "copies")), VISITOR)
    theirs = consent(person(name="alex", purposes=("filming", "training")))
    both = stricter(ours, theirs)
    assert sorted((one.name.casefold(), one.purposes) for one in both.people) == [
        ("alex", ("filming",)),
        ("sam", ("filming",)),
    ]
    assert allows(both, "filming", NOON)


def test_what_one_home_heard_taken_back_stays_so_beside_a_newer_consent() -> None:
    ours = consent().without(["filming"], NOON)
    theirs = msgspec.structs.replace(consent(), event_time=LATER)
    for both in (stricter(ours, theirs), stricter(theirs, ours)):
        assert not allows(both, "filming", LATER) and not may_be_watched(both, LATER)


FATHER = person(name="Chris", relation="father")


@pytest.mark.parametrize("at", [NOON, LATER])
@pytest.mark.parametrize(
    "lacking",
    [
        {"people": ()},
        {"people": (VISITOR,)},
        {"people": (person(authority=""), person(name="Chris", on_behalf_of=""))},
        {"positive_choice": False},
    ],
    ids=["nobody", "nobody responsible", "nobody who said so of a child", "no choice of theirs"],
)
def test_what_one_home_could_not_film_by_two_homes_cannot(
    at: datetime, lacking: dict[str, Any]
) -> None:
    """Whichever is the newer, and although everybody in the other may decide."""
    whole = consent(person(), FATHER, VISITOR)
    whole = msgspec.structs.replace(whole, event_time=NOON + timedelta(seconds=30))
    other = msgspec.structs.replace(whole, record_id=new_id(), event_time=at, **lacking)
    assert allows(whole, "filming", LATER) and not allows(other, "filming", LATER)
    for both in (whole.joined(other), other.joined(whole)):
        assert not allows(both, "filming", LATER)
        assert both.people == () or other.people


@pytest.mark.parametrize("left_out", ["authority", "on_behalf_of"])
def test_who_could_not_decide_then_decides_in_neither(left_out: str) -> None:
    """Another who may is in both, so that the consents themselves hold."""
    older = consent(person(**{left_out: ""}), FATHER)
    newer = msgspec.structs.replace(consent(person(), FATHER), event_time=LATER)
    told = {one.name: one.authority for one in stricter(older, newer).people}
    assert told == {"Alex": "", "Chris": "parent"}


def test_whoever_is_in_one_of_them_only_is_asked_still_and_nobody_is_another() -> None:
    """They would agree to what somebody else said yes to."""
    older = consent(VISITOR, FATHER)
    newer = msgspec.structs.replace(consent(person(purposes=("copies",))), event_time=LATER)
    told = {one.name: one.purposes for one in stricter(older, newer).people}
    assert told == {"Alex": ("copies",), "Sam": VISITOR.purposes, "Chris": FATHER.purposes}
    renamed = msgspec.structs.replace(VISITOR, name="Samuel", purposes=("filming", "copies"))
    (one,) = stricter(consent(VISITOR), consent(renamed)).people
    assert one.purposes == ("filming",), "whose name was put right is the same person"


@pytest.mark.parametrize(("then", "now", "told"), [("a", "b", "b"), ("a", "", "a"), ("", "b", "b")])
def test_a_worry_that_one_home_wrote_down_is_lost_in_neither(
    then: str, now: str, told: str
) -> None:
    older, newer = consent(worries=then), consent(worries=now)
    newer = msgspec.structs.replace(newer, event_time=LATER)
    assert stricter(older, newer).worries == stricter(newer, older).worries == told


def test_of_two_holds_the_longer_counts() -> None:
    one = Hold(role="lead", reason="a", review=LATER, at=NOON)
    other = Hold(role="lead", reason="b", review=NOON, at=LATER)
    assert one.joined(other) == other.joined(one) == one
    later = Hold(role="lead", reason="c", review=LATER, at=LATER)
    assert one.joined(later) == later.joined(one) == later, "of two alike the later"
