"""Whom things are sealed to: one check of kinds, and no call that goes past it.

Where a service chose post-quantum keys, one X25519 recipient would be the way in for whoever keeps
a copy for thirty years: nothing falls back to it silently.
"""

import ast
from pathlib import Path

import pytest

from appliance.age.identities import generate_identity
from appliance.age.recipients import parse_recipient
from appliance.base import people
from appliance.base.ledger import Ledger
from appliance.casework.importing import Original
from appliance.casework.shares import share
from appliance.errors import BadInput
from appliance.protocol.cards import Card, sealing_keys
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.permits import PressRefusal, Renewed
from appliance.records.audit import Log
from appliance.records.files import Home, new_id, to_json
from appliance.stores.folder import FolderStore
from appliance.vault.cases import Cases, Details
from appliance.vault.keys import PrivateKeys
from firmware.books import KitBooks
from tests.appliance.protocol.test_permits import changed
from tests.support.clocks import NOON, FakeClock
from tests.support.homes import CLOCK, SendingKit, new_store, practitioner, service
from tests.support.places import PACKAGES, ROOT
from web_ui.recorder import Recorder
from web_ui.session.enrolment import Enrolment

WEAK = {
    "practitioner": PrivateKeys.generate("practitioner", x25519=True),
    "service": PrivateKeys.generate("service", x25519=True),
}
WEAKER = WEAK["practitioner"].card()

# Every call of the programs that seals, by its module: what it seals to. A new one is written down
# here with what holds its kind, or this fails.
SEALED_TO = {
    # Whatever a person who runs a command names; `check_mix` keeps kinds apart.
    "appliance.commands.keys": {"recipients"},
    # `sealing_keys`: to people, and of one kind with the service or the case.
    "firmware.logs.outbox": {"enrolled.chain.recipients()"},
    "appliance.protocol.hold_reasons": {"service.recipients()"},
    "appliance.base.custody.anew": {"keys.chain.recipients()", "keys.chain.recipients(*people)"},
    "appliance.base.custody.reasons": {"keys.chain.recipients()"},
    "appliance.base.keeping.exporting": {"[recipient]"},
    "appliance.base.people": {"keys.chain.recipients(to)"},
    "appliance.vault.cases": {
        "[parse_recipient(self.record.recipient)]",
        "service.recipients(*team)",
    },
    "appliance.casework.consent_draft": {"[parse_recipient(case.record.recipient)]"},
    "appliance.casework.shares": {"recipients"},
    # A passphrase.
    "appliance.vault.keys": {"[ScryptRecipient(normalised(passphrase), work)]"},
    "appliance.casework.copies": {"[ScryptRecipient(passphrase)]"},
    # To the case's own key, which was made like the service's.
    "appliance.casework.repair": {"[recipient]"},
    "web_ui.player.filmstrip": {"[parse_recipient(case.record.recipient)]"},
    "web_ui.pages.films": {"[parse_recipient(opened.record.recipient)]"},
    "web_ui.session.jobs": {"[parse_recipient(case.record.recipient)]"},
    # To the case's own key (a film), or to one that is never written down (what it is made of).
    "appliance.casework.importing": {
        "[self._identity.recipient]",
    },
    # To the practitioner alone.
    "web_ui.session.principles": {"[holder.keys.identity.recipient]"},
    # To what the permit says, which the gate has held against the service's kind.
    "appliance.film.segment": {"[recipient]"},
    "appliance.age.sealing": {"recipients"},
}
# Where somebody's card becomes a recipient at all.
FROM_A_CARD = {
    "appliance.protocol.cards",  # sealing_keys itself
    "appliance.commands.keys",  # a card that is named on the command line
}
MEASURES = "appliance.bench"
"""Its people and their keys are made up."""


def programs() -> list[tuple[str, ast.Module]]:
    return [
        (".".join(path.relative_to(ROOT).with_suffix("").parts), ast.parse(path.read_text()))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
    ]


def seals(tree: ast.Module) -> set[str]:
    """What every call in it seals to."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in (
            "seal",
            "SealedWriter",
        ):
            found.add(ast.unparse(node.args[1]))
    return found


def test_every_call_that_seals_is_known_with_whom_it_seals_to() -> None:
    found = {
        name: calls
        for name, tree in programs()
        if not name.startswith(MEASURES) and (calls := seals(tree))
    }
    assert found == SEALED_TO


def test_a_persons_card_becomes_a_recipient_in_one_place() -> None:
    """Elsewhere its key is only asked for its kind, or is what `sealing_keys` compares with."""
    loose = []
    for name, tree in programs():
        if name.startswith(MEASURES):
            continue
        allowed = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr == "kind":
                allowed.add(node.value)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "sealing_keys":
                allowed.add(node.args[0])
        for node in ast.walk(tree):
            called = isinstance(node, ast.Call) and ast.unparse(node.func).endswith("sealing_key")
            if called and node not in allowed and name not in FROM_A_CARD:
                loose.append(f"{name}:{node.lineno}")
    assert not loose, f"sealing_keys compares their kinds: {', '.join(loose)}"


def test_people_of_one_kind_share_a_file_and_a_weaker_one_is_told_what_to_do() -> None:
    like = service().card().sealing_key()
    cards = [practitioner().card(), service().card()]
    assert [str(key) for key in sealing_keys(like, *cards)] == [card.recipient for card in cards]
    with pytest.raises(BadInput, match="not of the type that this service chose") as refused:
        sealing_keys(like, *cards, WEAKER)
    assert "attune keygen --role practitioner" in refused.value.hint
    with pytest.raises(BadInput) as refused:
        sealing_keys(WEAKER.sealing_key(), practitioner().card())
    assert "--x25519" in refused.value.hint


@pytest.fixture
def kit(tmp_path: Path) -> SendingKit:
    new_store(tmp_path / "service")
    return SendingKit(tmp_path / "kit", tmp_path / "service")


def enrolled(*cards: Card, by: Card | None = None) -> Enrolled:
    return Enrolled(service=by or service().card(), practitioners=cards)


def test_no_case_is_sealed_to_a_weaker_key_than_the_services(kit: SendingKit) -> None:
    case, both = kit.case(), enrolled(practitioner().card(), WEAKER)
    before = sorted(case.directory.rglob("*"))
    with pytest.raises(BadInput, match="not of the type"):
        kit.cases.admit(case, WEAKER, both)
    details = Details(label="x", check_word="y")
    with pytest.raises(BadInput, match="not of the type"):
        kit.cases.create(details, WEAK["practitioner"], service().chain, [])
    with pytest.raises(BadInput, match="not of the type"):
        kit.cases.create(details, practitioner(), WEAK["service"].chain, [])
    weaker_service = enrolled(practitioner().card(), by=WEAK["service"].card())
    with pytest.raises(BadInput, match="not of the type"):
        kit.cases.release(case, "practitioner-x", weaker_service)
    assert sorted(case.directory.rglob("*")) == before


def test_nothing_is_shared_under_a_weaker_key_than_the_cases(kit: SendingKit) -> None:
    """Silently sealed to X25519, a share lay at the service's store for whoever has time."""
    case = kit.case()
    with pytest.raises(BadInput, match="not of the type"):
        share(case, [], WEAKER, "my supervisor", "supervisor", NOON, NOON)
    assert not (case.directory / "shares").exists() and not (case.directory / "ends").exists()


def test_the_service_lets_nobody_in_again_with_a_weaker_key(
    kit: SendingKit, tmp_path: Path
) -> None:
    kit.case()
    store = FolderStore(tmp_path / "service")
    with pytest.raises(BadInput, match="not of the type"):
        ledger = Ledger(tmp_path, service().signer, CLOCK)
        people.recover(store, service(), WEAKER, [new_id()], "", CLOCK, ledger)


def test_no_practitioner_is_brought_with_a_weaker_key_than_the_services(tmp_path: Path) -> None:
    home, clock = Home(tmp_path / "home", tmp_path / "run"), FakeClock()
    recorder = Recorder(home, clock, Log(tmp_path / "log", clock))
    with pytest.raises(BadInput, match="not of the type"):
        Enrolment(home, clock, recorder).bring(service().card(), WEAK["practitioner"], b"")
    assert not home.keys.exists()


def test_the_recorder_films_to_no_other_kind_of_key_than_the_services() -> None:
    """A page that was taken over could have made one up: the first that is seen is believed."""
    world = changed(recipient=str(generate_identity().recipient))
    assert world.answer() is PressRefusal.RECIPIENT_CHANGED


def test_no_press_makes_the_recorder_film_to_another_kind_of_key(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "run")
    books = KitBooks(home)
    books.enrol(service().card(), practitioner().card())
    for identity, believed in ((generate_identity(), True), (generate_identity(True), False)):
        said = Renewed(kit=books.kit, case=new_id(), recipient=str(identity.recipient))
        note = practitioner().signer.sign(f"{to_json(said).decode()}\n")
        assert (books.read_renewed(note) is not None) is believed


def test_a_film_that_is_brought_in_lies_on_the_card_under_a_post_quantum_key(
    tmp_path: Path,
) -> None:
    original = Original(tmp_path)
    assert parse_recipient(str(original._identity.recipient)).kind == "hybrid"
    original.write(b"a film")
    assert original.read_at(0, 6) == b"a film"
    original.close()


def test_a_case_that_the_service_chose_x25519_for_opens_with_every_age(tmp_path: Path) -> None:
    home = Home(tmp_path / "home", tmp_path / "run")
    card = WEAK["service"].chain
    details = Details(label="x", check_word="y")
    case = Cases(home).create(details, WEAK["practitioner"], card, [])
    assert parse_recipient(case.record.recipient).kind == "x25519"
