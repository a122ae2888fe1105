"""A practitioner leaves: the service's word takes them from every kit, and nobody else's does."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.age.unsealing import unseal
from appliance.casework.shares import is_over, share
from appliance.errors import NoMatch
from appliance.protocol.enrolment import Enrolled, Revocation, read_revocation
from appliance.protocol.objects import revocation_name, revocation_object
from appliance.protocol.permits import Books, PressRefusal, recipient_digest
from appliance.protocol.status import State
from appliance.records.files import Home, from_json, load_fact, new_id, save, save_fact, to_json
from appliance.vault.cases import Cases, OpenCase, open_case_identities
from appliance.vault.keys import PrivateKeys
from tests.support import homes
from tests.support.clocks import NOON
from tests.support.fakes import PRACTITIONER, SERVICE, Stage
from tests.support.pages import PASSPHRASE, Browser, Page, WebKit, practitioner
from web_ui.app import create_app
from web_ui.keeper import Keeper

NAME = PRACTITIONER.card().name


def word(keys: PrivateKeys, name: str) -> bytes:
    return keys.signer.sign(
        f"{to_json(Revocation(practitioner=name, at=NOON)).decode()}\n"
    ).encode()


# --- The service and the sender -----------------------------------------------------------------


@pytest.fixture
def kit(tmp_path: Path) -> homes.SendingKit:
    homes.new_store(tmp_path / "service")
    return homes.SendingKit(tmp_path / "kit", tmp_path / "service")


def base(kit: homes.SendingKit, keys: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "appliance.base", kit.store.as_uri(), "-i", str(keys)]
    return subprocess.run(
        [*command, "--once", *options], capture_output=True, text=True, check=False
    )


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    (folder / "practitioners").mkdir(parents=True)
    save(folder / "service.key", homes.service().text().encode(), mode=0o600)
    save(folder / "practitioners" / "one.pub", to_json(homes.practitioner().card()))
    return folder


def test_whom_the_service_revokes_every_kit_of_theirs_hears_of(
    kit: homes.SendingKit, keys: Path
) -> None:
    name = homes.practitioner().card().name
    kit.sync()
    assert list(kit.home.inbox.iterdir()) == []
    done = base(kit, keys, "--revoke", name)
    assert done.returncode == 0, done.stderr
    kit.sync()
    note = (kit.home.inbox / revocation_name(name)).read_text()
    assert read_revocation(note, homes.service().chain).practitioner == name


def test_who_was_revoked_is_not_enrolled_again_with_the_same_keys(
    kit: homes.SendingKit, keys: Path, tmp_path: Path
) -> None:
    card = homes.practitioner().card()
    assert base(kit, keys, "--revoke", card.name).returncode == 0
    save(tmp_path / "again.pub", to_json(card))
    done = base(kit, keys, "--enrol", str(tmp_path / "again.pub"))
    assert (done.returncode, "was revoked" in done.stderr) == (1, True)


def test_a_revocation_that_the_service_did_not_sign_for_this_name_is_told_and_not_taken_in(
    kit: homes.SendingKit,
) -> None:
    name = homes.practitioner().card().name
    for note in (
        word(homes.practitioner(), name),
        word(homes.service(), "practitioner-x"),
        b"\xff",
    ):
        save_in(kit.store, revocation_object(name), note)
        status = kit.sync()
        assert [(p.object, p.code) for p in status.problems] == [
            (revocation_object(name), "false-order")
        ]
        assert list(kit.home.inbox.iterdir()) == []


def save_in(store: Path, name: str, data: bytes) -> None:
    (store / name).parent.mkdir(exist_ok=True)
    save(store / name, data)


# --- The recorder -------------------------------------------------------------------------------


def hear(stage: Stage, note: bytes) -> None:
    stage.home.prepare(stage.home.inbox)
    save(stage.home.inbox / revocation_name(NAME), note)
    stage.advance(2)


def enrolled(home: Home) -> Enrolled:
    found = load_fact(home.kit / "enrolled.json", Enrolled)
    assert found
    return found


def test_a_kit_obeys_a_revoked_practitioner_no_more(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    assert stage.state is State.READY
    hear(stage, word(SERVICE, NAME))
    assert enrolled(stage.home).practitioners == ()
    assert enrolled(stage.home).former == (PRACTITIONER.card(),)
    assert "revoked" in stage.events()
    stage.press()
    assert stage.status.reason == PressRefusal.PERMIT_NOT_SIGNED.value
    assert "camera on" not in stage.happened
    stage.close()


def test_nobody_but_the_service_revokes_and_only_whom_it_names(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.arm()
    other = PrivateKeys.generate("service", x25519=True)
    for note in (word(PRACTITIONER, NAME), word(other, NAME), word(SERVICE, "practitioner-x"), b""):
        hear(stage, note)
    assert enrolled(stage.home).practitioners == (PRACTITIONER.card(),)
    assert stage.state is State.READY
    stage.close()


def test_another_practitioner_of_the_kit_stays_and_an_enrolment_does_not_forget_the_former(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    colleague, third = (PrivateKeys.generate("practitioner", x25519=True).card() for _ in range(2))
    stage.books.enrol(SERVICE.card(), colleague)
    hear(stage, word(SERVICE, NAME))
    assert enrolled(stage.home).practitioners == (colleague,)
    stage.books.enrol(SERVICE.card(), third)
    assert enrolled(stage.home).practitioners == (colleague, third)
    assert enrolled(stage.home).former == (PRACTITIONER.card(),)
    stage.close()


# --- The page -----------------------------------------------------------------------------------


def revoke_on_page(web: WebKit, card_number: int = 0) -> None:
    """As the recorder does."""
    data = from_json((web.home.kit / "enrolled.json").read_bytes(), Enrolled)
    gone = practitioner(card_number).card()
    stay = tuple(card for card in data.practitioners if card != gone)
    fact = Enrolled(service=data.service, practitioners=stay, former=(gone,))
    save(web.home.kit / "enrolled.json", to_json(fact))


def test_whoever_is_revoked_while_unlocked_is_locked_out_and_does_not_come_in_again(
    tmp_path: Path,
) -> None:
    web = WebKit(tmp_path)
    web.unlock()
    keeper = Keeper(web.parts)
    keeper.look()
    assert web.parts.session.unlocked
    revoke_on_page(web)
    keeper.look()
    assert not web.parts.session.unlocked
    web.browser.submit("/unlock", passphrase=PASSPHRASE)
    assert not web.parts.session.unlocked


def test_what_a_revoked_practitioner_wrote_before_is_still_read_by_their_colleague(
    tmp_path: Path,
) -> None:
    web = WebKit(tmp_path)
    web.enrol(0, 1)
    web.unlock()
    case = web.make_case("Saved before")
    holder = web.parts.session.holder
    assert holder
    enrolled = web.parts.enrolled
    assert enrolled
    web.parts.cases.admit(holder.case(case), practitioner(1).card(), enrolled)
    web.browser.submit("/cases", action="/lock")
    revoke_on_page(web)
    web.unlock()
    assert "Saved before" in web.browser.get("/cases").words


# --- What follows for the cases they worked in --------------------------------------------------

GONE = practitioner(1)
A_DAY = timedelta(days=1)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[WebKit]:
    """A kit of two, the first of them unlocked."""
    with WebKit(tmp_path) as made:
        made.enrol(0, 1)
        made.unlock()
        yield made


def shared_case(web: WebKit) -> str:
    """A case of both."""
    case = web.make_case("R and K")
    url = f"/cases/{case}/team"
    web.browser.submit(url, action=f"{url}/join", who=GONE.card().name, confirm="y")
    return case


def meet(web: WebKit, case: str) -> Page:
    """The family says its word, everybody who is here was asked, and the kit is armed."""
    return web.browser.submit(f"/cases/{case}/arm", word="lantern", here="these")


def opens_for_gone(web: WebKit, case: str) -> set[str]:
    """The recipients of the case whose secrets the one who is revoked can have."""
    found = open_case_identities(web.home.case(case), [GONE.identity])
    return {str(identity.recipient) for identity in found}


def test_after_a_revocation_every_case_of_theirs_has_a_new_key_before_anything_is_written(
    web: WebKit,
) -> None:
    cases = [shared_case(web), shared_case(web)]
    alone = web.make_case("Only mine")
    before = {case: web.recipient(case) for case in (*cases, alone)}
    web.browser.submit("/cases", action="/lock")
    revoke_on_page(web, 1)
    web.unlock()
    for case in cases:
        web.browser.submit(f"/cases/{case}/goals", goal="Said after the revocation")
        assert web.recipient(case) != before[case]
        assert opens_for_gone(web, case) == {before[case]}
        written = max((web.home.case(case) / "documents").glob("goals-*.age")).read_bytes()
        with pytest.raises(NoMatch):
            unseal(written, open_case_identities(web.home.case(case), [GONE.identity]))
        assert GONE.card().name not in web.browser.get(f"/cases/{case}/team").words
    web.browser.get(f"/cases/{alone}")
    assert web.recipient(alone) == before[alone]
    page = meet(web, cases[0])
    permit = web.recorder.permit()
    assert permit and permit.recipient == web.recipient(cases[0]), page.words
    assert (
        "removed from a family by the service: the family has a new key"
        in web.browser.get("/log").words
    )


def test_a_revocation_that_comes_while_a_case_is_open_and_armed_changes_its_key_at_once(
    web: WebKit,
) -> None:
    case = shared_case(web)
    web.browser.submit(f"/cases/{case}/arm")
    assert web.recorder.permit()
    before = web.recipient(case)
    keeper = Keeper(web.parts)
    keeper.look()
    assert web.recipient(case) == before and web.recorder.permit()
    revoke_on_page(web, 1)
    keeper.look()
    assert web.recipient(case) != before and web.recorder.permit() is None
    assert opens_for_gone(web, case) == {before}
    # The recorder knows the old one, and takes the new one for true only with a press.
    books = Books(recipients={case: recipient_digest(before)})
    save_fact(web.home.kit / "books.json", books)
    page = web.browser.get(f"/cases/{case}/arm")
    assert "has a new key" in page.words and web.recorder.permit() is None


class FullCard(Cases):
    """A card on which no new key finds room."""

    full = True

    def renew(self, case: OpenCase, enrolled: Enrolled) -> OpenCase:
        if self.full:
            raise OSError(errno.ENOSPC, "full")
        return super().renew(case, enrolled)


def test_until_a_case_has_its_new_key_it_opens_and_nothing_is_filmed_or_brought_in(
    web: WebKit,
) -> None:
    case = shared_case(web)
    before = web.recipient(case)
    cards = FullCard(web.home)
    web.parts = replace(web.parts, cases=cards)
    web.browser = Browser((app := create_app(web.parts)).test_client())
    web.app = app
    web.parts.session.end()
    revoke_on_page(web, 1)
    web.unlock()
    page = web.browser.get(f"/cases/{case}/arm")
    assert "Give the family a new key first" in page.words and web.recorder.permit() is None
    page = web.browser.get(f"/cases/{case}/import")
    assert "Give the family a new key first" in page.words
    # It is looked at and can be withdrawn, whatever the card says.
    assert web.browser.get(f"/cases/{case}/withdraw").status == 200
    url = f"/cases/{case}/team"
    assert "removed by your service" in web.browser.get(url).words
    assert web.recipient(case) == before
    cards.full = False
    page = web.browser.submit(url, action=f"{url}/renew")
    assert "needs a new key" not in page.words and GONE.card().name not in page.words
    assert web.recipient(case) != before
    meet(web, case)
    assert web.recorder.permit()


def test_what_was_armed_before_a_revocation_films_nothing_whoever_armed_it(tmp_path: Path) -> None:
    """It may be armed for a case whose key the one who was revoked has kept."""
    stage = Stage(tmp_path)
    colleague = PrivateKeys.generate("practitioner", x25519=True)
    stage.books.enrol(SERVICE.card(), colleague.card())
    stage.arm(colleague.signer)
    assert stage.state is State.READY
    hear(stage, word(SERVICE, NAME))
    stage.press()
    assert stage.status.reason == PressRefusal.DISARMED.value
    assert "camera on" not in stage.happened
    stage.advance(10)
    stage.arm(colleague.signer, id=new_id())
    assert stage.state is State.READY, "a new permit of a colleague who stays counts"
    stage.close()


def test_a_browser_that_was_paired_before_a_revocation_is_a_strangers_after_it(
    web: WebKit,
) -> None:
    """Nobody knows whose it is: it may be theirs."""
    web.browser.submit("/cases", action="/lock")
    assert "new ID file" in web.browser.get("/forgotten").words
    assert web.browser.get("/stop").status != 403
    known = web.browser.get("/forgotten").form("/forgotten")
    revoke_on_page(web, 1)
    assert web.browser.post("/forgotten", dict(known)).path == "/unlock"
    assert not list(web.home.keys.glob("*/new-card.json"))
    web.unlock()
    web.browser.submit("/cases", action="/lock")
    assert "/forgotten" in web.browser.get("/forgotten").text
    web.start_again_with_cookies()
    known = web.browser.get("/forgotten").form("/forgotten")
    assert web.browser.post("/forgotten", dict(known)).status == 200, "paired again by the unlock"


def test_who_was_revoked_sees_nothing_more_that_was_shared_with_them(tmp_path: Path) -> None:
    with WebKit(tmp_path) as web:
        web.enrol(0, 1)
        web.unlock()
        purposes = {"people__0__purposes": ["filming", "supervisor"]}
        case = web.make_case("R and K", **purposes)
        now = web.clock.wall
        opened = web.open_case(case)
        made = share(opened, [], GONE.card(), "my supervisor", "supervisor", now, now + A_DAY)
        other = share(opened, [], practitioner(2).card(), "another", "supervisor", now, now + A_DAY)
        web.browser.submit("/cases", action="/lock")
        revoke_on_page(web, 1)
        web.unlock()
        web.browser.get(f"/cases/{case}")
        assert is_over(opened.directory, made, now)
        assert not (opened.directory / "shares" / made.id).exists()
        assert (opened.directory / "ends" / f"{made.id}-now").exists(), "the service hears of it"
        assert not is_over(opened.directory, other, now)
