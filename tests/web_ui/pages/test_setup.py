"""First set-up: two keys, a press of the button, and no secret where it does not belong."""

from base64 import b64encode
from io import BytesIO
from pathlib import Path
from textwrap import wrap

import pytest

from appliance.base.people import sign_ceilings
from appliance.protocol.cards import CardChain
from appliance.protocol.permits import Ceilings, read_ceilings
from appliance.protocol.requests import Enrol
from appliance.records.files import to_json
from appliance.records.signing import sign_fact
from appliance.vault.keys import PrivateKeys, lock, unlock
from tests.appliance.protocol.test_cards import DAILY, next_card
from tests.support.pages import NOW, PASSPHRASE, Page, WebKit, locked, practitioner, service


@pytest.fixture
def kit(tmp_path: Path) -> WebKit:
    return WebKit(tmp_path)


def card(keys: PrivateKeys) -> str:
    return to_json(keys.card()).decode()


def armored(sealed: bytes) -> str:
    """A sealed file as the text that can be pasted."""
    lines = wrap(b64encode(sealed).decode(), 64)
    return "\n".join(
        ("-----BEGIN AGE ENCRYPTED FILE-----", *lines, "-----END AGE ENCRYPTED FILE-----")
    )


def bring(kit: WebKit, **changes: object) -> Page:
    fields: dict[str, object] = {
        "service_card": card(service()),
        "practitioner_key": armored(locked()),
        "passphrase": PASSPHRASE,
    }
    return kit.browser.submit("/setup", **(fields | changes))


def test_two_keys_and_a_press_set_a_kit_up(kit: WebKit) -> None:
    page = bring(kit)
    assert page.path == "/setup/press"
    assert "Press the button on the kit within 60 seconds" in page.words
    (request,) = kit.recorder.requests()
    assert isinstance(request, Enrol)
    assert (request.service, request.practitioner) == (service().card(), practitioner().card())
    kit.recorder.carry_out()
    assert kit.browser.get("/setup/press").path == "/unlock"
    assert kit.unlock().path == "/cases"


def setup_file(tmp_path: Path) -> str:
    """What `attune base --ceilings` writes for a new kit."""
    most = Ceilings(limit=300, films=2, life=3600, since=NOW)
    return sign_ceilings(service(), tmp_path, most).read_text()


def test_what_the_service_lets_its_kits_do_comes_with_its_card(kit: WebKit, tmp_path: Path) -> None:
    assert bring(kit, service_card=setup_file(tmp_path)).path == "/setup/press"
    (request,) = kit.recorder.requests()
    assert isinstance(request, Enrol)
    assert read_ceilings(request.ceilings, CardChain(request.service)).limit == 300


def test_a_kit_that_is_set_up_later_begins_with_the_services_newest_card(kit: WebKit) -> None:
    second = next_card(service().chain, signed_by=service().signer, at=NOW)
    ceilings = sign_fact(DAILY, Ceilings(limit=300, films=2, life=3600, since=NOW))
    file = f"{card(service())}\n{second}{ceilings}"
    assert bring(kit, service_card=file).path == "/setup/press"
    (request,) = kit.recorder.requests()
    assert isinstance(request, Enrol)
    assert request.cards == (second,) and request.ceilings == ceilings


def test_a_card_that_does_not_follow_is_refused_at_the_set_up(kit: WebKit) -> None:
    false = next_card(service().chain, signed_by=DAILY)
    assert "not signed by it" in bring(kit, service_card=f"{card(service())}\n{false}").words


def test_more_than_the_service_has_signed_is_refused(kit: WebKit, tmp_path: Path) -> None:
    page = bring(kit, service_card=setup_file(tmp_path).replace('"limit":300', '"limit":900'))
    assert page.status == 400 and "not signed by it, or was changed" in page.words
    assert not kit.recorder.requests()


def test_the_keys_can_be_chosen_as_files(kit: WebKit) -> None:
    form: dict[str, object] = dict(kit.browser.get("/setup").form("/setup"))
    form["service_card_file"] = (BytesIO(card(service()).encode()), "service.pub")
    form["practitioner_key_file"] = (BytesIO(locked()), "practitioner.key")
    page = kit.browser.post("/setup", form | {"passphrase": PASSPHRASE})
    assert page.path == "/setup/press"


def test_a_kit_can_make_the_practitioners_key_and_shows_its_words_once(kit: WebKit) -> None:
    page = bring(kit, how="make", practitioner_key="", passphrase="")
    words = page.text.partition('id="words">')[2].partition("<")[0]
    assert len(words.split()) == 6 or len(words.split("-")) == 6
    assert not kit.recorder.requests(), "the button is asked for when the words are written down"
    kit.browser.post("/setup/press", dict(page.form("/setup/press")))
    (request,) = kit.recorder.requests()
    assert isinstance(request, Enrol)
    sealed = (kit.home.keys / request.practitioner.name / "identity.age").read_bytes()
    assert unlock(sealed, words).card() == request.practitioner
    assert words not in kit.browser.get("/setup/press").text
    kept = b"".join(p.read_bytes() for p in kit.root.rglob("*") if p.is_file())
    assert words.encode() not in kept


@pytest.mark.parametrize("what", ["open", "locked", "signing key"])
def test_a_secret_where_the_services_card_belongs_is_refused_and_not_kept(
    kit: WebKit, what: str
) -> None:
    secret = {
        "open": service().text(),
        "locked": "age-encryption.org/v1\n-> scrypt abc 15\n",
        "signing key": service().signer.secret_text(),
    }[what]
    page = bring(kit, service_card=secret)
    assert page.status == 400
    assert "secret key" in page.words and ".pub" in page.words
    assert not list(kit.home.keys.glob("practitioner-*"))
    assert not kit.recorder.requests()
    assert "AGE-SECRET-KEY-" not in page.text


def test_the_services_own_key_is_never_taken_for_a_practitioners(kit: WebKit) -> None:
    page = bring(kit, practitioner_key=service().text())
    assert "not locked with a passphrase" in page.words
    page = bring(kit, practitioner_key=armored(lock(service(), PASSPHRASE, work=1)))
    assert "must never come near a kit" in page.words
    assert not kit.recorder.requests()


def test_a_practitioners_card_is_not_the_services(kit: WebKit) -> None:
    assert "not the service's" in bring(kit, service_card=card(practitioner(1))).words


@pytest.mark.parametrize("text", ["", "nonsense", "{}", '{"attune":"card/v1"}'])
def test_what_is_no_card_is_refused_in_words(kit: WebKit, text: str) -> None:
    page = bring(kit, service_card=text)
    assert page.status == 400
    assert "not your service's ID file" in page.words


def test_a_passphrase_that_does_not_open_the_key_is_refused(kit: WebKit) -> None:
    page = bring(kit, passphrase="not the right one")
    assert page.status == 403
    assert "passphrase" in page.words
    assert not kit.recorder.requests()


def test_a_key_of_another_type_is_refused_with_the_command_that_makes_the_right_one(
    kit: WebKit,
) -> None:
    page = bring(kit, service_card=card(PrivateKeys.generate("service", x25519=True)))
    assert "attune keygen --role practitioner --x25519" in page.words


def test_nobody_pressing_in_time_is_said_and_can_be_asked_again(kit: WebKit) -> None:
    bring(kit)
    kit.pass_by(70)
    page = kit.browser.get("/setup/press")
    assert "The button was not pressed in time" in page.words
    kit.browser.post("/setup/press", dict(page.form("/setup/press")))
    assert len(kit.recorder.requests()) == 2
    assert "within 60 seconds" in kit.browser.get("/setup/press").words


def test_bringing_other_keys_forgets_the_earlier_ones(kit: WebKit) -> None:
    bring(kit)
    bring(kit, practitioner_key=armored(locked(1)))
    assert [p.name for p in kit.home.keys.glob("practitioner-*")] == [practitioner(1).card().name]


def test_a_kit_that_is_set_up_cannot_be_set_up_again(kit: WebKit) -> None:
    kit.enrol()
    assert kit.browser.get("/setup").path == "/unlock"
    form = kit.browser.get("/unlock").form("/unlock")
    page = kit.browser.post("/setup", {"csrf_token": form["csrf_token"][0], "how": "make"})
    assert page.path == "/unlock"
    assert not kit.recorder.requests()
