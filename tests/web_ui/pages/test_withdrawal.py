"""A family takes everything back: at once, and the certificate claims no more than is so."""

import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.casework.consent import Consent
from appliance.errors import CaseWithdrawn
from appliance.protocol.cards import KitCard
from appliance.protocol.orders import Tombstone, Withdrawal, hold_name
from appliance.protocol.refusals import OrderRefused, What, refusal_path
from appliance.protocol.requests import Stop
from appliance.records.files import save_fact, to_json
from appliance.records.signing import Signer, sign_fact
from appliance.vault.cases import Details, OpenCase
from tests.support.pages import CONSENT, LARGE, PASSPHRASE, Page, WebKit, practitioner, service
from web_ui.keeper import Keeper
from web_ui.player.ranges import PIECE


def withdraw(kit: WebKit, case: str) -> str:
    """Withdraw and return the id of the order."""
    page = kit.browser.submit(f"/cases/{case}/withdraw", confirm="y")
    assert page.path == f"/cases/{case}/certificate"
    return page.words.partition("Request ")[2][:16]


def held_open(place: Path) -> list[str]:
    """Files below `place` that this process has open."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(descriptor.readlink()))
    return [path for path in found if path.startswith(str(place))]


def answer_of_service(
    order: str, case: str, signer: Signer | None = None, whole: bool = True
) -> str:
    fact = Tombstone(
        whole=whole,
        order=order,
        case=case,
        at=datetime(2026, 11, 22, 9, 30, tzinfo=UTC),
        removed=("identity-0001.age",),
    )
    return (signer or service().signer).sign(f"{to_json(fact).decode()}\n")


def test_a_withdrawal_removes_the_key_and_everything_it_opened_at_once(kit: WebKit) -> None:
    case = kit.make_case()
    film = kit.recorder.write_film(case, kit.recipient(case))
    video = f"/cases/{case}/films/{film}/video"
    assert kit.browser.get(video, Range="bytes=-99").status == 206
    assert held_open(kit.home.recordings)
    withdraw(kit, case)
    assert not held_open(kit.home.recordings)
    left = {path.name for path in kit.home.case(case).iterdir()}
    assert left == {"case.json", "withdrawal"}
    assert kit.browser.get(video, Range="bytes=0-99").status == 410
    assert kit.browser.get(f"/cases/{case}/films/{film}").status == 410
    assert kit.browser.get(f"/cases/{case}").path == f"/cases/{case}/certificate"
    assert (kit.home.recording(film) / "0000.mp4.age").exists(), "sealed films are the recorder's"


def test_a_film_that_is_being_sent_ends_with_the_withdrawal(kit: WebKit) -> None:
    case = kit.make_case()
    film = kit.recorder.write_film(case, kit.recipient(case), encoder=LARGE)
    player = kit.app.test_client()
    player.set_cookie("__Host-attune", kit.browser.cookie("__Host-attune"), domain="localhost")
    answer = player.get(
        f"/cases/{case}/films/{film}/video", base_url="https://localhost", buffered=False
    )
    withdraw(kit, case)
    assert len(answer.data) == PIECE < int(answer.headers["Content-Length"])


def test_a_withdrawal_disarms_the_kit_and_stops_the_film(kit: WebKit) -> None:
    case = kit.make_case()
    kit.browser.submit(f"/cases/{case}/arm")
    kit.recorder.show(state="filming", case=case)
    withdraw(kit, case)
    assert kit.recorder.permit() is None
    assert [r for r in kit.recorder.requests() if isinstance(r, Stop)]


def test_withdrawing_one_case_leaves_the_other_armed_and_filmed(kit: WebKit) -> None:
    first, second = kit.make_case("First"), kit.make_case("Second")
    kit.browser.submit(f"/cases/{second}/arm")
    kit.recorder.show(state="filming", case=second)
    withdraw(kit, first)
    permit = kit.recorder.permit()
    assert permit and permit.case == second
    assert not [r for r in kit.recorder.requests() if isinstance(r, Stop)]
    assert kit.browser.get(f"/cases/{second}").status == 200


def test_nothing_is_withdrawn_without_the_tick(kit: WebKit) -> None:
    case = kit.make_case()
    page = kit.browser.submit(f"/cases/{case}/withdraw")
    assert page.status == 400 and "Tick the box" in page.words
    assert isinstance(kit.open_case(case), OpenCase)
    assert kit.browser.get(f"/cases/{case}/certificate").status == 404


def test_before_the_service_has_answered_the_certificate_says_that_it_waits(kit: WebKit) -> None:
    case = kit.make_case()
    withdraw(kit, case)
    page = kit.browser.get(f"/cases/{case}/certificate")
    assert "The service has not deleted its copies yet" in page.words
    assert "could still open" in page.words
    assert "<time" not in page.text


def test_the_services_signed_answer_is_on_the_certificate(kit: WebKit) -> None:
    case = kit.make_case()
    order = withdraw(kit, case)
    (kit.home.inbox / order).write_text(answer_of_service(order, case))
    page = kit.browser.get(f"/cases/{case}/certificate")
    assert "The service destroyed its key on 22 November 2026" in page.words
    assert '<time datetime="2026-11-22T09:30:00+00:00">' in page.text
    assert "waits" not in page.words


@pytest.mark.parametrize("what", ["stranger", "practitioner", "altered", "other case", "garbage"])
def test_an_answer_that_the_service_did_not_give_for_this_case_is_not_believed(
    kit: WebKit, what: str
) -> None:
    case = kit.make_case()
    order = withdraw(kit, case)
    note = {
        "stranger": lambda: answer_of_service(order, case, Signer.generate(service().card().name)),
        "practitioner": lambda: answer_of_service(order, case, practitioner().signer),
        "altered": lambda: answer_of_service(order, case).replace("09:30", "10:30"),
        "other case": lambda: answer_of_service(order, "abcdefghijklmnop"),
        "garbage": lambda: "\0\udcff",
    }[what]()
    (kit.home.inbox / order).write_bytes(note.encode(errors="surrogateescape"))
    page = kit.browser.get(f"/cases/{case}/certificate")
    assert page.status == 200
    assert "The service destroyed its key" not in page.words
    assert "has not deleted its copies yet" in page.words


def test_the_answer_to_another_kits_order_for_this_case_counts(kit: WebKit) -> None:
    case = kit.make_case()
    order = withdraw(kit, case)
    (kit.home.inbox / order).write_text(answer_of_service("abcdefghijklmnop", case))
    page = kit.browser.get(f"/cases/{case}/certificate")
    assert "The service destroyed its key on 22 November 2026" in page.words


def test_a_withdrawal_that_a_pulled_plug_cut_short_is_finished_at_the_next_start(
    kit: WebKit,
) -> None:
    case = kit.make_case()
    order = Withdrawal(
        id="abcdefghijklmnop", case=case, kit="abcdefghijklmnop", at=datetime.now(UTC)
    )
    note = practitioner().signer.sign(f"{to_json(order).decode()}\n")
    (kit.home.case(case) / "withdrawal").write_text(note)
    kit.start()
    assert {path.name for path in kit.home.case(case).iterdir()} == {"case.json", "withdrawal"}


def test_a_withdrawal_that_cannot_be_finished_is_said_on_its_certificate(kit: WebKit) -> None:
    case = kit.make_case()
    withdraw(kit, case)
    # A link is not followed to what it leads to, and not taken for a directory of ours.
    (kit.home.case(case) / "clips").symlink_to(kit.home.permits)
    kit.start()
    kit.unlock()
    page = kit.browser.get(f"/cases/{case}/certificate")
    assert "Something could not be deleted" in page.words


def test_a_damaged_record_of_a_case_keeps_nothing_of_it_from_being_taken_back(kit: WebKit) -> None:
    case = kit.make_case()
    (kit.home.case(case) / "case.json").write_text("damaged")
    kit.browser.submit("/cases", action="/lock")
    kit.unlock()
    assert f"Family {case[:4]}: cannot be read" in kit.browser.get("/cases").words
    assert kit.browser.get(f"/cases/{case}/goals").status == 400
    assert kit.browser.get(f"/cases/{case}/goals").text.count(f"/cases/{case}/withdraw") == 1
    withdraw(kit, case)
    names = {path.name for path in kit.home.case(case).iterdir()}
    assert names == {"case.json", "withdrawal"}


def test_an_order_that_lies_there_counts_even_with_the_key_still_in_memory(kit: WebKit) -> None:
    case = kit.make_case()
    opened = kit.open_case(case)
    assert opened.read(Details)
    (kit.home.case(case) / "withdrawal").write_text("begun")
    with pytest.raises(CaseWithdrawn):
        kit.open_case(case)
    assert kit.browser.get(f"/cases/{case}/goals").status == 410


def test_the_list_shows_a_withdrawn_case_without_its_name(kit: WebKit) -> None:
    case = kit.make_case("The name of the family")
    withdraw(kit, case)
    page = kit.browser.get("/cases")
    assert "The name of the family" not in page.words
    assert f"Family {case[:4]}: withdrawn" in page.words
    assert f"/cases/{case}/certificate" in page.text


def test_another_practitioner_does_not_see_that_a_case_was_withdrawn(kit: WebKit) -> None:
    case = kit.make_case()
    withdraw(kit, case)
    kit.browser.submit("/cases", action="/lock")
    (kit.home.kit / "enrolled.json").unlink()
    for old in kit.home.keys.glob("practitioner-*"):
        old.rename(kit.root / old.name)
    kit.enrol(1)
    assert kit.unlock().path == "/cases"
    assert "Withdrawn" not in kit.browser.get("/cases").words
    assert kit.browser.get(f"/cases/{case}/certificate").status == 404


def test_a_withdrawn_case_cannot_be_worked_on(kit: WebKit) -> None:
    case = kit.make_case()
    withdraw(kit, case)
    for path in ("goals", "consent", "arm"):
        assert kit.browser.get(f"/cases/{case}/{path}").status == 410
    assert kit.browser.get(f"/cases/{case}/withdraw").path == f"/cases/{case}/certificate"
    assert PASSPHRASE not in kit.browser.get(f"/cases/{case}/certificate").text


# One film, one use, a hold.


def filmed(kit: WebKit, case: str) -> str:
    return kit.recorder.write_film(case, kit.recipient(case))


def test_a_film_that_is_taken_back_is_cut_off_at_the_next_piece_and_the_other_plays(
    kit: WebKit,
) -> None:
    case = kit.make_case()
    gone, stays = filmed(kit, case), filmed(kit, case)
    video = f"/cases/{case}/films/{gone}/video"
    assert kit.browser.get(video, Range="bytes=0-99").status == 206
    page = kit.browser.submit(f"/cases/{case}/withdraw", f"/cases/{case}/withdraw/film", film=gone)
    assert page.path == f"/cases/{case}/withdraw/{gone}"
    assert kit.browser.get(video, Range="bytes=100-199").status == 410
    assert kit.browser.get(f"/cases/{case}/films/{gone}").status == 410
    assert kit.browser.get(f"/cases/{case}/films/{stays}/video", Range="bytes=0-9").status == 206
    assert "The service has not answered yet" in page.words
    assert "The film is still on the memory card" in page.words


def test_the_certificate_of_a_film_says_what_was_removed_once_it_is(kit: WebKit) -> None:
    case = kit.make_case()
    film = filmed(kit, case)
    page = kit.browser.submit(f"/cases/{case}/withdraw", f"/cases/{case}/withdraw/film", film=film)
    order = page.words.partition("Request ")[2][:16]
    says_no(kit, "film", case, order)
    words = kit.browser.get(f"/cases/{case}/withdraw/{film}").words
    assert "The service said no" in words and "You still have the right to have it deleted" in words
    shutil.rmtree(kit.home.recording(film))
    (kit.home.inbox / order).write_text(answer_of_service(order, case, whole=False))
    page = kit.browser.get(f"/cases/{case}/withdraw/{film}")
    assert "Deleted from this kit The film." in page.words
    assert "The service deleted its copies on 22 November 2026" in page.words
    assert "Not finished yet" not in page.words
    assert "Certificate of film" in kit.browser.get(f"/cases/{case}/withdraw").words


@pytest.mark.parametrize("film", ["", "abcdefghijklmnop", "../../kit"])
def test_only_a_film_of_this_case_can_be_taken_back(kit: WebKit, film: str) -> None:
    case, other = kit.make_case(), kit.make_case("Other")
    filmed(kit, case)
    name = film or filmed(kit, other)
    page = kit.browser.submit(f"/cases/{case}/withdraw", f"/cases/{case}/withdraw/film", film=name)
    assert page.status == 400 and "Select the film to delete" in page.words
    assert not (kit.home.case(case) / "withdrawn").exists()
    assert not (kit.home.case(other) / "withdrawn").exists()


def take_back(kit: WebKit, case: str, *purposes: str) -> Page:
    action = f"/cases/{case}/withdraw/purpose"
    return kit.browser.submit(f"/cases/{case}/withdraw", action, purposes=list(purposes))


def test_a_use_that_is_taken_back_is_gone_and_the_rest_stays(kit: WebKit) -> None:
    case = kit.make_case(people__0__purposes=["filming", "training", "copies"])
    film = filmed(kit, case)
    page = take_back(kit, case, "training")
    assert "What you have withdrawn" in page.words
    consent = kit.open_case(case).read(Consent)
    assert consent and consent.purposes == ("filming", "copies")
    assert kit.browser.get(f"/cases/{case}/films/{film}/video", Range="bytes=0-9").status == 206
    form = kit.browser.get(f"/cases/{case}/withdraw").text
    assert 'value="training"' not in form and 'value="copies"' in form


def test_filming_that_is_taken_back_stops_the_camera_and_shows_no_film(kit: WebKit) -> None:
    case = kit.make_case()
    film = filmed(kit, case)
    kit.browser.submit(f"/cases/{case}/arm")
    kit.recorder.show(state="filming", case=case)
    take_back(kit, case, "filming")
    assert kit.recorder.permit() is None
    assert [r for r in kit.recorder.requests() if isinstance(r, Stop)]
    assert kit.browser.get(f"/cases/{case}/films/{film}/video", Range="bytes=0-9").status == 410
    kit.recorder.show(state="idle")
    assert "withdrew consent to filming" in kit.browser.get(f"/cases/{case}/arm").words
    kit.browser.consent(case, **CONSENT)
    assert kit.browser.get(f"/cases/{case}/films/{film}/video", Range="bytes=0-9").status == 206


def test_nothing_ticked_takes_nothing_back(kit: WebKit) -> None:
    case = kit.make_case()
    assert take_back(kit, case).status == 400
    consent = kit.open_case(case).read(Consent)
    assert consent and consent.taken_back == ()


def test_films_are_not_shown_after_the_end_of_the_consent(kit: WebKit) -> None:
    case = kit.make_case(valid_until="2026-11-21")
    film = filmed(kit, case)
    assert kit.browser.get(f"/cases/{case}/films/{film}").status == 200
    kit.clock.advance(timedelta(hours=9, minutes=54).total_seconds())
    kit.browser.submit("/unlock", passphrase=PASSPHRASE, time="2026-11-22T01:00:00+00:00")
    page = kit.browser.get(f"/cases/{case}/films/{film}")
    assert page.status == 403 and "consent has ended" in page.words


def hold(kit: WebKit, case: str, **changes: object) -> Page:
    fields = {"role": "safeguarding lead", "reason": "a reason", "review": "2026-12-24"} | changes
    return kit.browser.submit(f"/cases/{case}/hold", **fields)


def test_a_hold_is_named_on_the_certificate_and_lifting_it_removes_everything(kit: WebKit) -> None:
    case = kit.make_case()
    page = hold(kit, case)
    assert "safeguarding lead" in page.words and "24 December 2026" in page.words
    assert "There is a hold" in kit.browser.get(f"/cases/{case}/withdraw").words
    withdraw(kit, case)
    page = kit.browser.get(f"/cases/{case}/certificate")
    assert "look at the hold again by 24 December 2026" in page.words
    assert "was destroyed on this kit" not in page.words
    assert (kit.home.case(case) / "identity-0001.age").exists()
    assert kit.browser.get(f"/cases/{case}/goals").status == 410
    page = kit.browser.submit(f"/cases/{case}/certificate", f"/cases/{case}/hold/lift")
    assert (
        "The key to your films was destroyed on this kit. Without it this kit cannot open them."
    ) in page.words
    assert {p.name for p in kit.home.case(case).iterdir()} == {"case.json", "holds", "withdrawal"}


def test_a_hold_that_is_lifted_in_time_changes_nothing(kit: WebKit) -> None:
    case = kit.make_case()
    hold(kit, case)
    page = kit.browser.submit(f"/cases/{case}/hold", f"/cases/{case}/hold/lift")
    assert "Put on the hold" in page.words
    assert kit.open_case(case).read(Details)


@pytest.mark.parametrize(
    "changes", [{"role": ""}, {"reason": " "}, {"review": ""}, {"review": "2026-11-20"},
                {"review": "2030-01-01"}, {"review": "soon"}, {"reason": "x" * 501}],
)  # fmt: skip
def test_a_hold_needs_a_role_a_reason_and_a_day(kit: WebKit, changes: dict[str, object]) -> None:
    case = kit.make_case()
    assert hold(kit, case, **changes).status == 400
    assert not (kit.home.case(case) / "hold").exists()


def close_at_service(kit: WebKit, case: str) -> None:
    card = KitCard(id=kit.recorder.status.kit, verifier=kit.recorder.status.verifier)
    save_fact(kit.home.kit / "kit.json", card)
    (kit.home.inbox / ("a" * 16)).write_text(answer_of_service("a" * 16, case))
    Keeper(kit.parts).look()


def test_a_case_that_the_service_closed_stays_on_the_list_with_its_certificate(
    kit: WebKit,
) -> None:
    case = kit.make_case()
    close_at_service(kit, case)
    listed = kit.browser.get("/cases")
    assert f"Family {case[:4]}: closed by the service" in listed.words
    assert "The family" not in listed.words
    page = kit.browser.get(f"/cases/{case}")
    assert page.path == f"/cases/{case}/certificate"
    for words in (
        "The service closed this on 22 November 2026",
        "The key to your films was destroyed on this kit. Without it this kit cannot open them.",
        "Your goals, consent, notes and clips were deleted.",
        "identity-0001.age",
        f"Request {'a' * 16}, number {case}",
    ):
        assert words in page.words
    # Whoever writes in the place of the service closes nothing and certifies nothing.
    forged = answer_of_service("b" * 16, case, Signer.generate("stranger"))
    (kit.home.case(case) / "withdrawn-there").write_text(forged)
    assert kit.browser.get(f"/cases/{case}/certificate").status == 404


def test_a_hold_on_a_case_that_the_service_closed_can_be_lifted(kit: WebKit) -> None:
    case = kit.make_case()
    fields = {"role": "safeguarding lead", "reason": "asked for", "review": "2026-12-24"}
    kit.browser.submit(f"/cases/{case}/hold", **fields)
    close_at_service(kit, case)
    assert list(kit.home.case(case).glob("identity-*"))
    page = kit.browser.submit(f"/cases/{case}/certificate", f"/cases/{case}/hold/lift")
    assert page.path == f"/cases/{case}/certificate"
    assert (
        "The key to your films was destroyed on this kit. Without it this kit cannot open them."
    ) in page.words
    assert not list(kit.home.case(case).glob("identity-*"))


def test_what_the_service_orders_is_carried_out_while_the_page_is_open(kit: WebKit) -> None:
    other, case = kit.make_case("Other"), kit.make_case()
    save_fact(
        kit.home.kit / "kit.json",
        KitCard(id=kit.recorder.status.kit, verifier=kit.recorder.status.verifier),
    )
    kit.browser.submit(f"/cases/{case}/arm")
    keeper = Keeper(kit.parts)
    keeper.look()
    assert kit.recorder.permit()
    (kit.home.inbox / "abcdefghijklmnop").write_text(answer_of_service("abcdefghijklmnop", case))
    keeper.look()
    assert kit.recorder.permit() is None
    assert not list(kit.home.case(case).glob("identity-*"))
    assert kit.browser.get(f"/cases/{case}/goals").status == 410
    assert kit.browser.get(f"/cases/{other}").status == 200
    assert "service-order-done" in (kit.home.log("web") / "log").read_text()


# What the service says no to.


def says_no(kit: WebKit, what: What, case: str, order: str, signer: Signer | None = None) -> None:
    at = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
    no = OrderRefused(order=order, case=case, what=what, at=at)
    kit.home.inbox.mkdir(exist_ok=True)
    refusal_path(kit.home, order).write_text(sign_fact(signer or service().signer, no))


def test_a_certificate_says_that_the_service_said_no_and_that_the_right_stays(kit: WebKit) -> None:
    case = kit.make_case()
    order = withdraw(kit, case)
    certificate = f"/cases/{case}/certificate"
    says_no(kit, "case", case, order, practitioner().signer)
    assert "said no" not in kit.browser.get(certificate).words
    says_no(kit, "case", case, order)
    words = kit.browser.get(certificate).words
    assert "The service said no to this on 22 November 2026" in words
    assert (
        "You still have the right to withdraw consent." in words
        and "On this kit everything stays locked." in words
    )
    # Its yes comes later, and is the last word.
    (kit.home.inbox / order).write_text(answer_of_service("abcdefghijklmnop", case))
    words = kit.browser.get(certificate).words
    assert "said no" not in words and "The service destroyed its key" in words


def test_a_hold_that_the_service_refused_says_whom_to_ask(kit: WebKit) -> None:
    case = kit.make_case()
    assert "said no" not in hold(kit, case).words
    name = hold_name((kit.home.case(case) / "hold").read_bytes())
    says_no(kit, "hold", case, name)
    words = kit.browser.get(f"/cases/{case}/hold").words
    assert "The service said no to this hold" in words and "put on a hold itself" in words
