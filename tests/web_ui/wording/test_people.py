"""Colleagues have names on every page; files and the log keep their ids."""

from datetime import timedelta

from appliance.protocol.roster import Person, Roster
from appliance.records.signing import sign_fact
from appliance.vault.keys import PrivateKeys
from tests.support.pages import NOW, WebKit, practitioner, service
from web_ui.wording.people import named, names_in

ANOTHER = PrivateKeys.generate("practitioner").card()


def roster(*people: Person) -> Roster:
    return Roster(number=1, at=NOW, ends=NOW + timedelta(days=90), people=people, kits=(), left=())


def test_a_page_and_the_log_show_the_name_and_the_log_keeps_the_id(kit: WebKit) -> None:
    own = practitioner().card()
    signed = sign_fact(service().signer, roster(Person(card=own, name="Priya Patel")))
    kit.home.roster.write_text(signed)
    kit.unlock()
    case = kit.make_case()
    for path in ("/practitioners", f"/cases/{case}/team", "/log"):
        page = kit.browser.get(path)
        assert "Priya Patel" in page.words, path
        assert own.name not in page.words, path
    logged = "".join(file.read_text() for file in kit.home.log("web").iterdir())
    assert own.name in logged and "Priya" not in logged


def test_without_a_roster_nobody_is_a_row_of_random_letters(kit: WebKit) -> None:
    kit.unlock()
    own = practitioner().card().name
    page = kit.browser.get("/practitioners")
    assert f"Practitioner {own.partition('-')[2][:4]} (you)" in page.words
    assert own not in page.words


def test_a_roster_of_somebody_else_names_nobody(kit: WebKit) -> None:
    own = practitioner().card()
    stranger = PrivateKeys.generate("service")
    kit.home.roster.write_text(sign_fact(stranger.signer, roster(Person(card=own, name="Mallory"))))
    kit.unlock()
    assert "Mallory" not in kit.browser.get("/practitioners").words


def test_two_people_of_one_name_are_told_apart() -> None:
    both = [practitioner().card(), ANOTHER]
    names = names_in(roster(*(Person(card=card, name="Sam Jones") for card in both)))
    shown = {named(card.name, names) for card in both}
    assert len(shown) == 2 and all(one.startswith("Sam Jones (") for one in shown)
