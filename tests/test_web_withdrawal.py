"""A family takes everything back: at once, and the certificate claims no more than is so."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.cases import Details, OpenCase
from appliance.consent import Tombstone, Withdrawal
from appliance.errors import CaseWithdrawn
from appliance.files import to_json
from appliance.requests import Stop
from appliance.signing import Signer
from tests.pages import LARGE, PASSPHRASE, WebKit, practitioner, service
from web_ui.ranges import PIECE


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        made.unlock()
        yield made


def withdraw(kit: WebKit, case: str) -> str:
    """Withdraw and return the id of the order."""
    page = kit.browser.submit(f"/cases/{case}/withdraw", confirm="y")
    assert page.path == f"/cases/{case}/certificate"
    return page.words.partition("Order ")[2][:16]


def held_open(place: Path) -> list[str]:
    """Files below `place` that this process has open."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.append(str(descriptor.readlink()))
    return [path for path in found if path.startswith(str(place))]


def answer_of_service(order: str, case: str, signer: Signer | None = None) -> str:
    fact = Tombstone(
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
    assert "The order waits for the next sending" in page.words
    assert "can still open" in page.words
    assert "<time" not in page.text


def test_the_services_signed_answer_is_on_the_certificate(kit: WebKit) -> None:
    case = kit.make_case()
    order = withdraw(kit, case)
    (kit.home.inbox / order).write_text(answer_of_service(order, case))
    page = kit.browser.get(f"/cases/{case}/certificate")
    assert "The service removed its key on 22 November 2026" in page.words
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
    assert "The service removed its key" not in page.words
    assert "waits for the next sending" in page.words


def test_the_answer_to_another_kits_order_for_this_case_counts(kit: WebKit) -> None:
    case = kit.make_case()
    order = withdraw(kit, case)
    (kit.home.inbox / order).write_text(answer_of_service("abcdefghijklmnop", case))
    page = kit.browser.get(f"/cases/{case}/certificate")
    assert "The service removed its key on 22 November 2026" in page.words


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
    (kit.home.case(case) / "case.json").write_text("damaged")
    (kit.home.case(case) / "clips").mkdir()
    kit.start()
    kit.unlock()
    page = kit.browser.get(f"/cases/{case}/certificate")
    assert "Something could not be removed" in page.words


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
    assert f"Withdrawn case {case[:4]}" in page.words
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
