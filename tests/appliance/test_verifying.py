"""What happened can be checked by anybody, and the first thing that is not so is named."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from appliance.base.custody.next import Change, next_card
from appliance.commands.films import keys_given
from appliance.commands.main import run
from appliance.errors import BadInput
from appliance.film.manifest import read_manifest
from appliance.protocol.cards import KeyRole
from appliance.protocol.enrolment import Revocation
from appliance.protocol.objects import (
    audit_object,
    hold_object,
    order_object,
    revocation_object,
    service_order_object,
    tombstone_object,
)
from appliance.protocol.orders import (
    HoldEnd,
    HoldNotice,
    Reset,
    Tombstone,
    Withdrawal,
    hold_name,
)
from appliance.protocol.retention import Purged, purged_object
from appliance.records.audit import Log
from appliance.records.files import Fact, new_id, save, to_json
from appliance.records.signing import Signer, sign_fact
from appliance.stores.folder import FolderStore
from appliance.vault.keys import HalfKeys, PrivateKeys
from appliance.verifying import Finding, Folder, Verdict, parse_key, verify
from firmware.logs.checkpoints import Checkpoints
from tests.support.bases import Base
from tests.support.emptying import emptied
from tests.support.homes import (
    CLOCK,
    SendingKit,
    an_audit,
    contents,
    new_store,
    practitioner,
    service,
)
from tests.support.places import ROOT

DOCS = ROOT / "docs" / "verifying.md"


@pytest.fixture
def kit(tmp_path: Path) -> SendingKit:
    """A kit that has filmed, logged and signed its logs."""
    new_store(tmp_path / "store")
    made = SendingKit(tmp_path, tmp_path / "store")
    case = made.case()
    for _ in range(2):
        made.film(case.id)
    happened(made, "web", "unlocked", "armed")
    happened(made, "recorder", "started", "film-begun", "film-ended")
    Checkpoints(made.home, made.signer, CLOCK).sign()
    happened(made, "web", "locked")
    Checkpoints(made.home, made.signer, CLOCK).sign()
    return made


def happened(kit: SendingKit, process: str, *events: str) -> None:
    log = Log(kit.home.log(process), CLOCK)
    for event in events:
        log.write(event)


def film(kit: SendingKit) -> Path:
    return sorted(kit.home.recordings.iterdir())[0]


def test_a_whole_home_holds_and_is_proven_with_the_kits_key(kit: SendingKit) -> None:
    verdict = verify(Folder(kit.home.root), [kit.signer.verifier])
    assert verdict.proven and verdict.broken is None
    said = {finding.what: finding.words for finding in verdict.findings}
    assert len([what for what in said if what.startswith("film")]) == 2
    assert said["log of web"] == "3 entries, each holding the one before"
    assert "recorder to 3 of 3, web to 3 of 3" in said["signed heads in kit/heads"]
    assert kit.signer.verifier.name in verdict.sentence


def test_without_the_kits_key_from_elsewhere_nothing_is_proven(kit: SendingKit) -> None:
    verdict = verify(Folder(kit.home.root))
    assert verdict.broken is None and not verdict.proven
    assert verdict.sentence == "Consistent, signer unproven."


def test_a_forger_who_signs_everything_anew_is_unmasked_by_the_key(kit: SendingKit) -> None:
    forger = Signer.generate(kit.signer.verifier.name)
    for manifest in kit.home.recordings.glob("*/manifest"):
        text = manifest.read_text().rpartition("\n\n")[0] + "\n"
        manifest.write_text(forger.sign(text.replace('"why":"button"', '"why":"limit"')))
    card = kit.home.kit / "kit.json"
    card.write_text(card.read_text().replace(str(kit.signer.verifier), str(forger.verifier)))
    shutil.rmtree(kit.home.kit / "heads")
    Checkpoints(kit.home, forger, CLOCK).sign()
    assert verify(Folder(kit.home.root)).sentence == "Consistent, signer unproven."
    verdict = verify(Folder(kit.home.root), [kit.signer.verifier])
    assert verdict.broken and verdict.broken.what.startswith("film")


def altered(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


BREAKS: dict[str, tuple[Callable[[SendingKit], object], str]] = {
    "a byte of a segment": (
        lambda kit: altered(film(kit) / "0000.mp4.age", lambda d: d[:-1] + bytes([d[-1] ^ 1])),
        "0000.mp4.age is not what was signed",
    ),
    "a segment cut short": (
        lambda kit: altered(film(kit) / "0001.mp4.age", lambda d: d[:-1]),
        "0001.mp4.age is not what was signed",
    ),
    "a segment gone": (
        lambda kit: (film(kit) / "0001.mp4.age").unlink(),
        "0001.mp4.age is missing",
    ),
    "an index gone": (lambda kit: (film(kit) / "0000.index.age").unlink(), "index.age is missing"),
    "a segment put in": (
        lambda kit: shutil.copy(film(kit) / "0000.mp4.age", film(kit) / "0002.mp4.age"),
        "0002.mp4.age lies there and was never signed",
    ),
    "two segments exchanged": (
        lambda kit: (
            (film(kit) / "0000.mp4.age").rename(film(kit) / "x"),
            (film(kit) / "0001.mp4.age").rename(film(kit) / "0000.mp4.age"),
            (film(kit) / "x").rename(film(kit) / "0001.mp4.age"),
        ),
        "0000.mp4.age is not what was signed",
    ),
    "a manifest altered": (
        lambda kit: altered(film(kit) / "manifest", lambda d: d.replace(b"button", b"limit")),
        "altered after it was signed",
    ),
    "a film renamed": (
        lambda kit: film(kit).rename(kit.home.recordings / ("a" * 16)),
        "manifest is of another film",
    ),
    "a log's line altered": (
        lambda kit: altered(
            kit.home.log("web") / "log", lambda d: d.replace(b'"armed"', b'"alarm"')
        ),
        "The log is broken at line 3",
    ),
    "a log's line taken out": (
        lambda kit: altered(
            kit.home.log("recorder") / "log", lambda d: b"".join(d.splitlines(True)[1:])
        ),
        "The log is broken at line 1",
    ),
    "a log written anew": (
        lambda kit: (
            (kit.home.log("web") / "log").unlink(),
            happened(kit, "web", "unlocked", "locked", "locked"),
        ),
        "The log of web is not the one that was signed at 000001",
    ),
    "a log cut short": (
        lambda kit: altered(
            kit.home.log("web") / "log", lambda d: b"".join(d.splitlines(True)[:2])
        ),
        "its entry 3 is another or gone",
    ),
    "a signed head taken out": (
        lambda kit: (kit.home.kit / "heads" / "000001").unlink(),
        "The signed heads are broken at 000002",
    ),
    "a log that the recorder saw written anew": (
        lambda kit: (
            (kit.home.log("web") / "log").unlink(),
            Checkpoints(kit.home, kit.signer, CLOCK).sign(),
        ),
        "another or gone|written anew",
    ),
}


@pytest.mark.parametrize("what", BREAKS)
@pytest.mark.parametrize("with_key", [True, False])
def test_the_first_link_that_does_not_hold_is_named(
    kit: SendingKit, what: str, with_key: bool
) -> None:
    happen, words = BREAKS[what]
    happen(kit)
    verdict = verify(Folder(kit.home.root), [kit.signer.verifier] if with_key else [])
    assert verdict.broken and not verdict.proven
    assert re.search(words, verdict.broken.words), verdict.broken.words
    assert verdict.broken.what in verdict.sentence


def test_a_film_that_is_being_made_is_neither_broken_nor_proven(kit: SendingKit) -> None:
    case = kit.case()
    kit.film(case.id, ended=False)
    verdict = verify(Folder(kit.home.root), [kit.signer.verifier])
    assert verdict.broken is None and not verdict.proven
    assert "1 not signed to the end yet" in verdict.sentence


def test_what_the_power_cut_is_held_against_its_tail(kit: SendingKit) -> None:
    name = kit.film(kit.case().id, tail=True)
    assert verify(Folder(kit.home.root), [kit.signer.verifier]).proven
    altered(kit.home.recording(name) / "0002.mp4.age", lambda data: data[1:])
    broken = verify(Folder(kit.home.root), [kit.signer.verifier]).broken
    assert broken and "0002.mp4.age is not what was signed" in broken.words


def test_one_recording_is_checked_by_itself(kit: SendingKit) -> None:
    verdict = verify(Folder(film(kit)), [kit.signer.verifier])
    assert verdict.proven and len(verdict.findings) == 1


def test_the_services_store_is_checked_likewise(kit: SendingKit) -> None:
    kit.sync()
    store = FolderStore(kit.store)
    verdict = verify(store, [kit.signer.verifier])
    assert verdict.proven
    assert {f.what.partition(" ")[0] for f in verdict.findings} == {"film", "signed"}
    moved = next(kit.store.glob("cases/*"))
    moved.rename(kit.store / "cases" / new_id())
    broken = verify(store, [kit.signer.verifier]).broken
    assert broken and "another case" in broken.words
    store.close()


def test_of_what_was_not_looked_at_nothing_is_said(kit: SendingKit) -> None:
    kit.sync()
    unseen = {name for name in contents(kit.store) if "/recordings/" not in name}
    unseen -= {name for name in unseen if re.search(r"kits/.*(card.json|heads/\d+)$", name)}
    assert any("identity-" in name for name in unseen) and any("documents/" in n for n in unseen)
    store = FolderStore(kit.store)
    said = verify(store, [kit.signer.verifier]).sentence
    assert (
        f"Not looked at: {len(unseen)} other files" in said and "whether a film is missing." in said
    )
    assert "Not looked at" not in verify(Folder(film(kit)), [kit.signer.verifier]).sentence
    store.close()


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    """A service and its folder of cards; a family has withdrawn, and another is held."""
    made = Base(tmp_path / "base")
    made.told("enrol", str(made.kit.home.kit / "kit.json"))
    save(made.keys / "service.pub", to_json(service().card()))
    made.withdrawn()
    held = made.sent()
    made.told("hold", held, "--until", "2099-01-31")
    assert made.run("serve", "--once").returncode == 0
    made.told("audit")
    return made


def of_notes(at_base: Base) -> Verdict:
    keys = [made.signer.verifier for made in (service(), practitioner(), at_base.kit)]
    return verify(at_base.folder, keys)


def test_what_the_service_and_its_people_signed_at_a_store_is_checked_with_their_cards(
    at_base: Base, capsys: pytest.CaptureFixture[str]
) -> None:
    verdict = of_notes(at_base)
    assert verdict.proven
    kinds = {finding.what.split("/")[0] for finding in verdict.findings if "/" in finding.what}
    assert {"tombstones", "orders", "holds", "audits"} <= kinds
    assert run(["verify", str(at_base.store), "--kit-key", str(at_base.keys)]) == 0
    said = capsys.readouterr().out
    assert "tombstones/" in said and "the answer to" in said
    # Without them nothing is said of it, and it is counted.
    alone = verify(at_base.folder, [at_base.kit.signer.verifier])
    assert alone.proven and alone.others == verdict.others + len(kinds_of(verdict))


def kinds_of(verdict: Verdict) -> list[str]:
    places = ("tombstones/", "orders/", "holds/", "audits/", "service/")
    return [f.what for f in verdict.findings if f.what.startswith(places)]


@pytest.mark.parametrize("place", ["tombstones", "orders", "holds", "audits"])
def test_a_note_that_is_forged_or_lies_under_another_name_is_named(
    at_base: Base, place: str
) -> None:
    note = next(path for path in sorted((at_base.store / place).rglob("*")) if path.is_file())
    kept = note.read_text()
    note.write_text(Signer.generate("service-" + "a" * 16).sign(kept.partition("\n\n")[0] + "\n"))
    broken = of_notes(at_base).broken
    assert broken and broken.what.startswith(place), broken
    note.unlink()
    other = "000777" if place == "audits" else "a" * 16
    note.with_name(other).write_text(kept)
    broken = of_notes(at_base).broken
    assert broken and "belongs under another name" in broken.words


def test_what_somebody_signed_after_they_had_left_does_not_hold(at_base: Base) -> None:
    name = practitioner().card().name
    at_base.told("revoke", name)
    verdict = of_notes(at_base)
    assert verdict.proven, "what they signed before still counts"
    order = Withdrawal(id=new_id(), case=new_id(), kit=at_base.kit.id, at=CLOCK.read().wall)
    at_base.place(order, practitioner())
    broken = of_notes(at_base).broken
    assert broken and broken.what == f"orders/{order.id}"
    assert f"{name} had left the service when this was signed" in broken.words


SIGNING = HalfKeys.generate("signing")
NOW = CLOCK.read().wall


class Signed:
    """A store with nothing but what a service signed, and the folder of keys of the service; every
    .pub file lies in it, whatever its cards say."""

    def __init__(self, root: Path) -> None:
        self.place = new_store(root / "store")
        self.store = root / "store"
        self.keys = root / "keys"
        (self.keys / "cards").mkdir(parents=True)
        save(self.keys / "service.key.pub", to_json(service().card()))
        save(self.keys / "signing.key.pub", to_json(SIGNING.card()))

    def card(self, **change: Sequence[str]) -> Path:
        """The service's second card names SIGNING as well, but for what `change` says; it lies in
        the folder and at the store, where it is returned."""
        opening = [HalfKeys.generate("opening").card().key for _ in "12"]
        root, signing = HalfKeys.generate("root").card().key, SIGNING.card().key
        until = NOW + timedelta(days=400)
        named = Change(roots=[root], signing=[signing], until=until, opening=opening, **change)
        note = next_card(service(), named, NOW)
        self.put("service/card/0002", note)
        save(self.keys / "cards" / "0002", note.encode())
        return self.store / "service/card/0002"

    def put(self, name: str, note: str) -> str:
        (self.store / name).parent.mkdir(parents=True, exist_ok=True)
        (self.store / name).write_text(note)
        return name

    def every_note(self, signer: Signer | None, at: datetime = NOW) -> list[str]:
        """One of each kind of note that a service signs; their names."""
        assert signer is not None
        case, by, kit = new_id(), signer.verifier.name, new_id()
        answer = Tombstone(order=new_id(), case=case, at=at, removed=())
        hold = HoldNotice(case=case, signer=by, since=at, until=at)
        held = hold_name(sign_fact(signer, hold).encode())
        gone = Purged(case=case, at=at, objects=1, bytes=1, why="withdrawn")
        asked = Withdrawal(id=new_id(), case=case, kit=kit, at=at)
        facts: dict[str, Fact] = {
            tombstone_object(case): answer,
            purged_object(case): gone,
            revocation_object("practitioner-x"): Revocation(practitioner="practitioner-x", at=at),
            audit_object(1): an_audit(at),
            service_order_object(kit, 1): Reset(number=1, kit=kit, at=at),
            order_object(asked.id): asked,
            hold_object(case, held): hold,
            f"{hold_object(case, held)}-lifted": HoldEnd(case=case, hold=held, signer=by, at=at),
        }
        return [self.put(name, sign_fact(signer, fact)) for name, fact in facts.items()]

    def verified(self) -> dict[str, Finding]:
        """As `attune verify STORE --kit-key KEYS` does it, with the card of a practitioner."""
        keys, cards = keys_given([str(self.keys)])
        verdict = verify(self.place, [*keys, practitioner().signer.verifier], cards)
        return {finding.what: finding for finding in verdict.findings}


@pytest.fixture
def of_service(tmp_path: Path) -> Signed:
    return Signed(tmp_path)


def test_what_a_key_of_the_newest_card_signed_up_to_its_end_holds(of_service: Signed) -> None:
    name = service().signer.verifier.name
    of_service.card(ended=[name])
    of_service.every_note(SIGNING.signer)
    of_service.every_note(service().signer)
    said = of_service.verified()
    assert {finding.state for finding in said.values()} == {"holds"}
    assert said["service/card/0002"].words == "a card of the service"
    late = of_service.every_note(service().signer, NOW + timedelta(seconds=1))
    said = of_service.verified()
    for what in late:
        assert said[what].state == "broken", what
        assert f"{name} signed this after its last day" in said[what].words


def test_nothing_that_a_key_signed_counts_once_the_newest_card_leaves_it_out(
    of_service: Signed,
) -> None:
    name = service().signer.verifier.name
    of_service.card(without=[name])
    for at in (NOW, NOW - timedelta(days=1000)):
        for what in of_service.every_note(service().signer, at):
            found = of_service.verified()[what]
            assert found.state == "broken", what
            assert f"{name} signed this" in found.words and "serve --once" in found.words
            assert "newest card, 0002, leaves that key out" in found.words


def test_a_key_that_no_card_names_does_not_count_because_its_file_lies_there(
    of_service: Signed,
) -> None:
    notes = of_service.every_note(SIGNING.signer)
    assert SIGNING.signer is not None
    keys, cards = keys_given([str(of_service.keys)])
    assert SIGNING.signer.verifier in keys
    assert SIGNING.signer.verifier not in verify(of_service.place, keys, cards).keys
    said = of_service.verified()
    for what in notes:
        assert said[what].state == "broken", what
        assert "no card of the service up to 0001 names that key" in said[what].words
    of_service.card()
    assert {finding.state for finding in of_service.verified().values()} == {"holds"}


def test_what_a_key_of_the_service_signed_and_somebody_altered_is_named_so(
    of_service: Signed,
) -> None:
    (what, *_) = of_service.every_note(service().signer)
    note = of_service.store / what
    note.write_text(note.read_text().replace('"held":false', '"held":true'))
    assert "altered after it was signed" in of_service.verified()[what].words


def test_a_revocation_by_a_key_that_was_left_out_locks_nobody_out(of_service: Signed) -> None:
    people = practitioner()
    left = Revocation(practitioner=people.card().name, at=NOW - timedelta(days=1))
    revoked = revocation_object(left.practitioner)
    of_service.put(revoked, sign_fact(service().signer, left))
    order = Withdrawal(id=new_id(), case=new_id(), kit=new_id(), at=NOW)
    asked = of_service.put(order_object(order.id), sign_fact(people.signer, order))
    said = of_service.verified()
    assert (said[revoked].state, said[asked].state) == ("holds", "broken")
    of_service.card(without=[service().signer.verifier.name])
    said = of_service.verified()
    assert (said[revoked].state, said[asked].state) == ("broken", "holds")


def test_a_store_that_is_older_than_the_cards_in_the_folder_is_judged_by_these(
    of_service: Signed,
) -> None:
    there = of_service.card(without=[service().signer.verifier.name])
    note = of_service.every_note(service().signer)[0]
    there.unlink()
    said = of_service.verified()
    assert "is not there: the store is older" in said["service/card/0002"].words
    assert said[note].state == "broken"
    save(there, (of_service.keys / "cards" / "0002").read_bytes())
    shutil.rmtree(of_service.keys / "cards")
    assert of_service.verified()[note].state == "broken", "the store's own cards are followed"


@pytest.mark.parametrize("lie", ["card.json", "card/0002", "card/0003"])
def test_a_card_at_the_store_that_does_not_follow_is_named_and_nothing_goes_by_it(
    of_service: Signed, lie: str
) -> None:
    notes = of_service.every_note(service().signer)
    other = PrivateKeys.generate("service").card()
    of_service.put(f"service/{lie}", to_json(other).decode())
    said = of_service.verified()
    assert "does not follow" in said[f"service/{lie}"].words
    assert {said[what].state for what in notes} == {"holds"}


def test_without_the_services_first_card_nobody_can_say_which_of_its_keys_count(
    of_service: Signed, capsys: pytest.CaptureFixture[str]
) -> None:
    of_service.card()
    of_service.every_note(SIGNING.signer)
    key = str(of_service.keys / "signing.key.pub")
    assert run(["verify", str(of_service.store), "--kit-key", key]) == 1
    said = capsys.readouterr().err
    assert "first card of this service was not given" in said and "service.key.pub" in said
    # The first card by its key alone: the rest lies at the store.
    assert run(["verify", str(of_service.store), "--kit-key", str(service().signer.verifier)]) == 0


def test_a_card_of_the_service_or_its_people_proves_nothing_of_a_kit(kit: SendingKit) -> None:
    keys = [service().signer.verifier, practitioner().signer.verifier]
    verdict = verify(Folder(kit.home.root), keys)
    assert verdict.broken is None and verdict.sentence == "Consistent, signer unproven."


def test_whatever_else_lies_in_a_services_folder_of_keys_is_no_key(
    at_base: Base, capsys: pytest.CaptureFixture[str]
) -> None:
    roles: tuple[KeyRole, ...] = ("root", "signing", "opening")
    for role in roles:
        card = HalfKeys.generate(role).card()
        save(at_base.keys / f"{role}.key.pub", to_json(card))
        assert (parse_key(to_json(card).decode()) is None) == (role != "signing")
    (at_base.keys / "roster").mkdir(exist_ok=True)
    save(at_base.keys / "roster" / "names.json", b"{}")
    words = ["verify", str(at_base.store), "--kit-key"]
    assert run([*words, str(at_base.keys)]) == 0, capsys.readouterr().err
    assert run([*words, str(at_base.keys / "opening.key.pub")]) == 1
    assert "of what signs" in capsys.readouterr().err


def test_a_folder_without_a_card_is_no_key(
    kit: SendingKit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    words = ["verify", str(kit.home.root), "--kit-key", str(tmp_path / "empty")]
    assert run(words) == 1
    assert "There is no card" in capsys.readouterr().err


def test_a_place_with_nothing_to_check_is_no_proof(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nothing here"):
        verify(Folder(tmp_path))


def test_a_key_is_given_itself_or_as_the_kits_card(kit: SendingKit) -> None:
    assert parse_key(str(kit.signer.verifier)) == kit.signer.verifier
    assert parse_key((kit.home.kit / "kit.json").read_text()) == kit.signer.verifier


def test_the_command_ends_with_0_only_when_it_is_proven(
    kit: SendingKit, capsys: pytest.CaptureFixture[str]
) -> None:
    home, key = str(kit.home.root), str(kit.signer.verifier)
    assert run(["verify", home, "--kit-key", key]) == 0
    assert f"What was looked at holds, and was signed by kit-{kit.id}." in capsys.readouterr().out
    assert run(["verify", kit.home.root.as_uri()]) == 3
    assert "Consistent, signer unproven." in capsys.readouterr().err
    (film(kit) / "0000.mp4.age").unlink()
    assert run(["verify", home, "--kit-key", str(kit.home.kit / "kit.json")]) == 1
    said = capsys.readouterr()
    assert "0000.mp4.age is missing" in said.err and film(kit).name in said.err
    assert run(["verify", home, "--kit-key", "no key"]) == 1
    assert run(["verify", str(kit.root / "nowhere")]) == 1


def blocks(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(found) == 1
    return str(found[0])


@pytest.mark.interop
def test_a_stranger_checks_a_film_with_openssl_as_the_guide_says(
    kit: SendingKit, tmp_path: Path
) -> None:
    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", blocks("sh"), "-", key, str(tmp_path)],
            cwd=film(kit),
            capture_output=True,
            text=True,
            check=False,
        )

    key = str(kit.signer.verifier)
    done = check()
    assert done.returncode == 0, done.stderr
    assert "Signature Verified Successfully" in done.stdout and "0001.mp4.age: OK" in done.stdout
    altered(film(kit) / "0001.mp4.age", lambda data: data[:-1])
    assert check().returncode != 0
    altered(film(kit) / "manifest", lambda data: data.replace(b"button", b"limit"))
    assert "Verified Successfully" not in check().stdout


def test_a_stranger_checks_the_logs_with_a_dozen_lines_as_the_guide_says(kit: SendingKit) -> None:
    def check() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", "-c", blocks("python"), str(kit.signer.verifier)],
            cwd=kit.home.root,
            capture_output=True,
            text=True,
            check=False,
        )

    done = check()
    assert (done.returncode, done.stdout) == (0, "holds\n"), done.stderr
    altered(kit.home.log("web") / "log", lambda data: data.replace(b'"armed"', b'"alarm"'))
    done = check()
    assert done.returncode == 1 and "broken at 3" in done.stderr


def leaves(kit: SendingKit, signer: Signer) -> Path:
    """The sealed files of a film leave the card, as a recorder with this key says."""
    path = film(kit)
    emptied(kit.home, signer, case_of(path), path.name)
    return path


def case_of(path: Path) -> str:
    return read_manifest(path).started.case


def test_a_film_that_left_the_card_by_the_recorders_word_is_told_and_not_missed(
    kit: SendingKit,
) -> None:
    path = leaves(kit, kit.signer)
    verdict = verify(Folder(kit.home.root), [kit.signer.verifier])
    assert verdict.broken is None
    (told,) = [found for found in verdict.findings if found.what == f"film {path.name}"]
    assert "left the card" in told.words and "not seen" in told.words
    # What is there nevertheless is the film's, or does not hold.
    save(path / "0000.mp4.age", b"something else")
    verdict = verify(Folder(kit.home.root), [kit.signer.verifier])
    assert verdict.broken and "0000.mp4.age" in verdict.broken.words


def test_nobody_elses_word_lets_a_film_leave_the_card(kit: SendingKit) -> None:
    path = leaves(kit, Signer.generate(kit.signer.verifier.name))
    verdict = verify(Folder(kit.home.root), [kit.signer.verifier])
    assert verdict.broken and verdict.broken.what == f"film {path.name}"
    # Nor does its word about another film.
    other = sorted(kit.home.recordings.iterdir())[1]
    emptied(kit.home, kit.signer, case_of(other), other.name)
    (kit.home.emptied / other.name).rename(kit.home.emptied / path.name)
    verdict = verify(Folder(kit.home.root), [kit.signer.verifier])
    assert verdict.broken and verdict.broken.what == f"film {path.name}"
