"""A service by its cards: each follows from the one before, and the newest says what counts."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.age.identities import generate_identity
from appliance.age.unsealing import unseal
from appliance.errors import BadFile, BadInput, BadSignature, NoMatch
from appliance.protocol.cards import CardChain, ServiceCard, SigningKey
from appliance.protocol.enrolment import Enrolled, Revocation, read_revocation
from appliance.records.files import Home, from_json, new_id, to_json
from appliance.records.signing import Signer, sign_fact
from appliance.vault.cases import Cases, Details
from appliance.vault.keys import PrivateKeys
from tests.support.clocks import NOON
from tests.support.homes import practitioner, service

ROOT, DAILY = Signer.generate(f"service-{new_id()}"), Signer.generate(f"service-{new_id()}")
IDENTITIES = generate_identity(), generate_identity()
LATER = NOON + timedelta(days=90)


def next_card(
    chain: CardChain,
    signed_by: Signer | None = None,
    signing: Sequence[Signer] = (DAILY,),
    **fields: object,
) -> str:
    said = {
        "number": chain.number + 1,
        "before": chain.digest,
        "at": NOON,
        "roots": (str(ROOT.verifier),),
        "signing": tuple(SigningKey(verifier=str(k.verifier), until=LATER) for k in signing),
        "recipients": tuple(str(identity.recipient) for identity in IDENTITIES),
        **fields,
    }
    return sign_fact(signed_by or service().signer, ServiceCard(**said))  # type: ignore[arg-type]


def followed(**fields: object) -> CardChain:
    """A service's chain with its second card."""
    return service().chain.followed_by(next_card(service().chain, **fields))  # type: ignore[arg-type]


def word(signer: Signer, days: float) -> str:
    """What somebody signs, so many days after noon."""
    at = NOON + timedelta(days=days)
    return sign_fact(signer, Revocation(practitioner="practitioner-x", at=at))


def counts(chain: CardChain, note: str) -> bool:
    try:
        return read_revocation(note, chain).practitioner == "practitioner-x"
    except BadSignature:
        return False


def test_a_service_of_one_card_is_that_cards_word_without_end() -> None:
    chain = service().chain
    assert chain.number == 1 and chain.sealing_keys() == [service().identity.recipient]
    assert counts(chain, word(service().signer, 10_000))
    assert not counts(chain, word(DAILY, 0))


def test_the_newest_card_says_whose_word_counts() -> None:
    assert counts(followed(), word(DAILY, 1))
    assert not counts(followed(), word(ROOT, 1)), "a root signs cards and nothing else"
    stays = followed(signing=(DAILY, service().signer))
    assert counts(stays, word(service().signer, 1))


def test_what_a_key_signed_before_its_end_stays_and_what_it_signs_after_never_counts() -> None:
    assert counts(followed(), word(DAILY, 90))
    assert not counts(followed(), word(DAILY, 90.001))


def test_a_key_that_was_stolen_counts_no_more_however_far_back_it_dates() -> None:
    assert not counts(followed(), word(service().signer, -1000))


def test_each_card_is_signed_by_a_root_of_the_one_before() -> None:
    second = followed()
    third = next_card(second, signed_by=ROOT, signing=())
    assert second.followed_by(third).number == 3
    for stranger in (DAILY, service().signer, Signer.generate(f"service-{new_id()}")):
        with pytest.raises(BadSignature):
            second.followed_by(next_card(second, signed_by=stranger))


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": 3},
        {"number": 1},
        {"before": "0" * 64},
        {"recipients": tuple(str(generate_identity(True).recipient) for _ in "12")},
    ],
)
def test_a_card_that_does_not_follow_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(BadFile):
        followed(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"roots": ()},
        {"roots": (str(practitioner().signer.verifier),)},
        {"recipients": ()},
        {"recipients": (str(IDENTITIES[0].recipient),) * 2},
        {"recipients": (str(IDENTITIES[0].recipient), str(generate_identity(True).recipient))},
    ],
)
def test_a_card_without_a_root_or_a_second_recipient_is_none(wrong: dict[str, object]) -> None:
    with pytest.raises(BadInput):
        followed(**wrong)


def test_an_altered_card_is_refused() -> None:
    note = next_card(service().chain).replace('"number":2', '"number":3')
    with pytest.raises(BadSignature):
        service().chain.followed_by(note)


def test_whom_a_kit_obeyed_before_there_were_numbered_cards_is_read_as_it_was() -> None:
    now = Enrolled(service=service().card(), practitioners=(practitioner().card(),))
    text = to_json(now).decode()
    assert text.count(',"cards":[]') == 1
    before = from_json(text.replace(',"cards":[]', ""), Enrolled)
    assert before == now and before.chain.number == 1


def test_a_chain_that_was_altered_on_the_card_is_no_chain() -> None:
    with pytest.raises(BadInput):
        Enrolled(service=service().card(), practitioners=(), cards=(next_card(followed()),))


def test_a_case_opens_with_each_of_the_services_keys_and_no_more_with_the_old(
    tmp_path: Path,
) -> None:
    home = Home(tmp_path / "home", tmp_path / "run")
    details = Details(label="x", check_word="y")
    keys: PrivateKeys = practitioner()
    case = Cases(home).create(details, keys, followed(), [keys.signer.verifier])
    sealed = case.directory.identity(1).read_bytes()
    for identity in (*IDENTITIES, keys.identity):
        assert case.identity.secret_text() in unseal(sealed, [identity]).decode()
    with pytest.raises(NoMatch):
        unseal(sealed, [service().identity])
