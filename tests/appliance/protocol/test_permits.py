"""The gate: whatever the page says, only a permit that is right in every field starts a film."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.age.identities import generate_identity
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.permits import (
    LONGEST_FILM,
    LONGEST_LIFE,
    MOST_FILMS,
    Books,
    Ceilings,
    Permit,
    PressRefusal,
    judge,
    recipient_digest,
)
from appliance.records.clock import Judgement, Trust
from appliance.records.files import ID, new_id, to_json
from appliance.vault.keys import PrivateKeys

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
PRACTITIONER = PrivateKeys.generate("practitioner", x25519=True)
SERVICE = PrivateKeys.generate("service", x25519=True)
ENROLLED = Enrolled(service=SERVICE.card(), practitioners=(PRACTITIONER.card(),))
CASE_RECIPIENT = str(generate_identity(x25519=True).recipient)
NOW = Judgement(Trust.TRUSTED, NOON)
PERMIT = Permit(
    id=new_id(),
    kit=new_id(),
    case=new_id(),
    recipient=CASE_RECIPIENT,
    consent="0" * 64,
    kind="visit",
    limit=300,
    sound=True,
    films=1,
    boot="this boot",
    not_before=NOON - timedelta(hours=1),
    not_after=NOON + timedelta(hours=1),
)


@dataclass(frozen=True)
class World:
    """Everything `judge` is told, right in every point unless a test changes one."""

    permit: Permit = PERMIT
    keys: PrivateKeys = PRACTITIONER
    enrolled: Enrolled | None = ENROLLED
    books: Books = field(default_factory=Books)
    boot: str = "this boot"
    clock: Judgement = NOW

    @property
    def note(self) -> str:
        return self.keys.signer.sign(to_json(self.permit).decode() + "\n")

    def answer(self, note: str | None = None) -> Permit | PressRefusal:
        return judge(
            note or self.note,
            kit=PERMIT.kit,
            enrolled=self.enrolled,
            books=self.books,
            boot=self.boot,
            clock=self.clock,
        )


def changed(**fields: Any) -> World:
    return World(permit=msgspec.structs.replace(PERMIT, **fields))


def under_ceilings(keys: PrivateKeys = SERVICE, **fields: Any) -> World:
    """The service has signed just what the permit asks for, but for `fields`."""
    just = Ceilings(limit=300, life=7200, films=1, since=NOON)
    note = keys.signer.sign(to_json(msgspec.structs.replace(just, **fields)).decode() + "\n")
    return World(enrolled=msgspec.structs.replace(ENROLLED, ceilings=note))


def test_a_permit_that_is_right_in_every_field_is_in_force() -> None:
    assert World().answer() == PERMIT


@pytest.mark.parametrize(
    ("world", "refusal"),
    [
        (World(enrolled=None), PressRefusal.NOT_SET_UP),
        (
            World(keys=PrivateKeys.generate("practitioner", x25519=True)),
            PressRefusal.PERMIT_NOT_SIGNED,
        ),
        (World(keys=SERVICE), PressRefusal.PERMIT_NOT_SIGNED),
        (changed(kit=new_id()), PressRefusal.OTHER_KIT),
        (changed(boot="the boot before"), PressRefusal.OTHER_BOOT),
        (changed(recipient="age1nobody"), PressRefusal.PERMIT_UNREADABLE),
        (changed(id="x" * 60_000), PressRefusal.PERMIT_UNREADABLE),
        (changed(case="../x"), PressRefusal.PERMIT_UNREADABLE),
        (changed(limit=0), PressRefusal.OVER_CEILING),
        (changed(limit=int(LONGEST_FILM.total_seconds()) + 1), PressRefusal.OVER_CEILING),
        (changed(films=0), PressRefusal.OVER_CEILING),
        (changed(films=1000), PressRefusal.OVER_CEILING),
        (changed(not_after=NOON + timedelta(days=30)), PressRefusal.OVER_CEILING),
        (changed(not_before=NOON + timedelta(seconds=1)), PressRefusal.NOT_YET),
        (changed(not_after=NOON), PressRefusal.EXPIRED),
        (under_ceilings(limit=299), PressRefusal.OVER_SERVICE_CEILING),
        (under_ceilings(films=0), PressRefusal.OVER_SERVICE_CEILING),
        (under_ceilings(life=7199), PressRefusal.OVER_SERVICE_CEILING),
        (under_ceilings(PRACTITIONER), PressRefusal.OVER_SERVICE_CEILING),
        (
            World(enrolled=msgspec.structs.replace(ENROLLED, ceilings="?")),
            PressRefusal.OVER_SERVICE_CEILING,
        ),
        (World(clock=Judgement(Trust.DOUBTFUL)), PressRefusal.CLOCK_NOT_TRUSTED),
        (World(clock=Judgement(Trust.WRONG)), PressRefusal.CLOCK_NOT_TRUSTED),
        (World(books=Books(disarmed=(PERMIT.id,))), PressRefusal.DISARMED),
        (World(books=Books(films={PERMIT.id: 1})), PressRefusal.FILMS_USED),
        (World(books=Books(recipients={PERMIT.case: "0" * 64})), PressRefusal.RECIPIENT_CHANGED),
    ],
)
def test_one_thing_wrong_is_a_refusal_that_names_it(world: World, refusal: PressRefusal) -> None:
    assert world.answer() is refusal


def test_no_permit_is_a_refusal() -> None:
    found = judge(
        None,
        kit=PERMIT.kit,
        enrolled=ENROLLED,
        books=Books(),
        boot="this boot",
        clock=Judgement(Trust.TRUSTED, NOON),
    )
    assert found is PressRefusal.NO_PERMIT


def test_the_last_moment_still_counts() -> None:
    assert isinstance(changed(not_after=NOON + timedelta(microseconds=1)).answer(), Permit)
    assert isinstance(changed(not_before=NOON).answer(), Permit)
    longest = int(LONGEST_FILM.total_seconds())
    assert isinstance(changed(limit=longest).answer(), Permit)
    assert isinstance(under_ceilings().answer(), Permit)
    assert isinstance(under_ceilings(life=2**62).answer(), Permit)
    used = replace(changed(films=2), books=Books(films={PERMIT.id: 1}))
    assert isinstance(used.answer(), Permit)
    known = Books(recipients={PERMIT.case: recipient_digest(CASE_RECIPIENT)})
    assert isinstance(World(books=known).answer(), Permit)
    assert isinstance(changed(films=MOST_FILMS).answer(), Permit)
    whole = changed(not_before=NOON, not_after=NOON + LONGEST_LIFE)
    assert isinstance(whole.answer(), Permit)


def test_no_film_is_sealed_to_a_weaker_key_than_the_services() -> None:
    strong = PrivateKeys.generate("service")
    enrolled = msgspec.structs.replace(ENROLLED, service=strong.card())
    assert World(enrolled=enrolled).answer() is PressRefusal.RECIPIENT_CHANGED
    as_strong = str(generate_identity().recipient)
    permit = msgspec.structs.replace(PERMIT, recipient=as_strong)
    assert World(permit=permit, enrolled=enrolled).answer() == permit


@given(st.integers(0, len(World().note.encode()) - 1), st.integers(1, 255))
def test_a_permit_altered_by_one_byte_never_films(place: int, change: int) -> None:
    data = bytearray(World().note.encode())
    data[place] ^= change
    found = World().answer(data.decode("utf-8", errors="replace"))
    # The last base64 character of a signature has bits that nobody reads: same text, same permit.
    assert found in (PERMIT, PressRefusal.PERMIT_NOT_SIGNED, PressRefusal.PERMIT_UNREADABLE)


LIES: dict[str, st.SearchStrategy[Any]] = {
    "id": st.sampled_from([PERMIT.id, "", "../../kit", "x" * 10_000]) | st.text(max_size=20),
    "kit": st.sampled_from([PERMIT.kit, new_id(), ""]),
    "case": st.sampled_from([PERMIT.case, new_id(), "../x", ""]),
    "recipient": st.sampled_from(
        [CASE_RECIPIENT, str(generate_identity(x25519=True).recipient), "age1", ""]
    ),
    "consent": st.text(max_size=70),
    "limit": st.sampled_from([300, 0, -1, 3600, 3601, 10**9, 2**60]),
    "films": st.sampled_from([1, 0, -5, 20, 21, 10**9]),
    "boot": st.sampled_from(["this boot", "another", ""]),
    "not_before": st.sampled_from([NOON - timedelta(days=d) for d in (-1, 0, 1, 400, 4000)]),
    "not_after": st.sampled_from([NOON + timedelta(days=d) for d in (-1, 0, 1, 400, 4000)]),
    "sound": st.booleans(),
}


@given(st.fixed_dictionaries({}, optional=LIES))
def test_a_page_that_lies_in_every_field_with_an_unlocked_key_gets_no_more_than_a_kit_may(
    lies: dict[str, Any],
) -> None:
    known = Books(recipients={PERMIT.case: recipient_digest(CASE_RECIPIENT)})
    world = replace(changed(**lies), books=known)
    found = world.answer()
    if isinstance(found, PressRefusal):
        return
    assert (found.kit, found.boot) == (PERMIT.kit, "this boot")
    assert ID.fullmatch(found.id) and ID.fullmatch(found.case)
    assert 0 < found.limit <= LONGEST_FILM.total_seconds() and 0 < found.films <= MOST_FILMS
    assert found.not_before <= NOON < found.not_after
    assert found.not_after - found.not_before <= LONGEST_LIFE
    assert found.case != PERMIT.case or found.recipient == CASE_RECIPIENT


@given(st.text(max_size=300))
def test_no_text_at_all_makes_the_gate_fall_over(text: str) -> None:
    assert isinstance(World().answer(text or "x"), PressRefusal)


def test_every_refusal_has_words_for_the_page() -> None:
    assert all(refusal.sentence for refusal in PressRefusal)
