"""The service's settings on the page: what they change, and what they can never change."""

import io
import re
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from appliance.casework.clips import choose
from appliance.casework.consent import Consent
from appliance.casework.service_settings import parse, shipped
from appliance.protocol.cards import CardChain
from appliance.protocol.permits import Ceilings, read_ceilings
from appliance.protocol.requests import Enrol
from appliance.records.files import save_fact, to_json
from appliance.vault.keys import PrivateKeys
from tests.support import films
from tests.support.moments import keep_clip
from tests.support.pages import NOW, Page, WebKit, practitioner, service


def give(kit: WebKit, settings: str) -> Page:
    file = (io.BytesIO(settings.encode()), "service.toml")
    return kit.browser.submit("/service", which="file", file=file)


@pytest.mark.parametrize("name", list(shipped()))
def test_a_kit_can_be_given_each_of_the_five_services(kit: WebKit, name: str) -> None:
    page = kit.browser.submit("/service", which=name)
    service = parse(shipped()[name])
    assert page.status == 200 and service.title in page.words
    url = f"/cases/{kit.make_case(limit=str(60 * service.film_minutes[0]))}/consent"
    who = kit.browser.submit(url, f"{url}/promises")
    for role in service.roles:
        assert f'<option value="{role}">' in who.text
    form = kit.browser.get(f"{url}/practical")
    offered = [minutes for minutes in range(1, 61) if f'value="{60 * minutes}"' in form.text]
    assert tuple(offered) == service.film_minutes


def test_settings_with_a_wrong_field_are_refused_by_name_and_the_kit_stays_as_it_was(
    kit: WebKit,
) -> None:
    give(kit, 'title = "Ours"')
    page = give(kit, 'title = "Theirs"\nfilm_minuts = [5]')
    assert page.status == 400 and "film_minuts" in page.words
    assert kit.parts.service.title == "Ours"
    assert kit.browser.submit("/service").status == 400


def test_settings_that_were_damaged_can_be_mended_on_the_page(kit: WebKit) -> None:
    (kit.home.keys / "service.toml").write_text("clips = none")
    assert "are not right" in kit.browser.get("/service").words
    assert give(kit, 'title = "Ours"').status == 200


def test_a_consent_holds_the_retention_that_the_family_was_shown(kit: WebKit) -> None:
    give(kit, "retention_days = 30")
    case = kit.make_case()
    assert "keep your films for 30 days" in kit.browser.get(f"/cases/{case}/consent").words
    give(kit, "retention_days = 400")
    consent = kit.open_case(case).read(Consent)
    assert consent and consent.retention_period == 30


def test_a_length_that_the_service_does_not_film_is_refused(kit: WebKit) -> None:
    give(kit, "film_minutes = [3]")
    case = kit.make_case(limit="300")
    assert kit.open_case(case).read(Consent) is None


def test_what_the_service_does_not_do_is_not_asked_and_not_done(kit: WebKit) -> None:
    give(kit, "offers = []")
    case = kit.make_case()
    kit.browser.submit(f"/cases/{case}/consent", f"/cases/{case}/consent/promises")
    asked = kit.browser.get(f"/cases/{case}/consent/check").text
    assert "/agree/copies" not in asked and "/agree/online-review" not in asked
    assert "/agree/supervisor" in asked
    who = re.search(f"/cases/{case}/consent/[a-z2-7]{{16}}/", asked)
    assert who and kit.browser.get(f"{who[0]}agree/copies").status == 404
    assert kit.browser.get(f"/cases/{case}/copies").status == 403
    assert kit.browser.get(f"/cases/{case}/import").status == 403
    assert f"/cases/{case}/import" not in kit.browser.get(f"/cases/{case}").text


@pytest.mark.parametrize(
    ("offers", "agreed", "said"),
    [
        ("[]", ["filming", "online-review"], "not-offered"),
        ('["online-review"]', ["filming"], "not-agreed"),
        ('["online-review"]', ["filming", "online-review"], "agreed"),
    ],
)
def test_a_review_over_a_video_call_needs_the_services_offer_and_everybodys_agreement(
    kit: WebKit, offers: str, agreed: list[str], said: str
) -> None:
    give(kit, f"offers = {offers}")
    case = kit.make_case(people__0__purposes=agreed)
    data = films.film(60)
    recording = kit.recorder.write_film(case, kit.recipient(case), stream=data)
    opened = kit.open_case(case)
    choose(opened, keep_clip(opened, recording, data, NOW).id)
    page = kit.browser.get(f"/cases/{case}/review")
    assert f'data-online="{said}"' in page.text
    assert ("share that window only" in page.words) is (said == "agreed")


REACHED = """
name = "Leeds Video Team"
phone = "the number of the service"
email = "post@example.org"
address = "Town Hall"
"""


def test_a_family_reads_on_its_receipt_and_certificate_how_to_reach_the_service(
    kit: WebKit,
) -> None:
    give(kit, REACHED)
    case = kit.make_case()
    kept = [kit.browser.get(f"/cases/{case}/consent/receipt")]
    kept.append(kit.browser.submit(f"/cases/{case}/withdraw", confirm="y"))
    for page in kept:
        assert page.status == 200, page.path
        for words in ("Leeds Video Team", "the number of the service", "post@example.org"):
            assert words in page.words, page.path


@pytest.mark.parametrize("name", list(shipped()))
def test_no_delivered_service_has_an_invented_number_and_the_page_says_what_is_missing(
    kit: WebKit, name: str
) -> None:
    delivered = parse(shipped()[name])
    assert delivered.unreachable and not delivered.name
    kit.browser.submit("/service", which=name)
    assert "Families cannot see how to reach you" in kit.browser.get("/service").words
    case = kit.make_case(limit=60 * delivered.film_minutes[0])
    receipt = kit.browser.get(f"/cases/{case}/consent/receipt")
    assert "Ask your practitioner for the phone number" in receipt.words


def test_goals_are_rated_on_the_scale_of_the_service(kit: WebKit) -> None:
    give(kit, "rating_lowest = 1\nrating_highest = 5")
    case = kit.make_case()
    form = kit.browser.get(f"/cases/{case}/review/close").text
    assert 'value="5"' in form and 'value="0"' not in form and 'value="6"' not in form


def test_the_settings_are_for_who_is_unlocked(kit: WebKit) -> None:
    other = kit.another_browser()
    assert other.get("/service").path == "/unlock"


# --- What the service lets its kits do at most ----------------------------------------------------


def signed(since: datetime, keys: PrivateKeys | None = None, limit: int = 600) -> bytes:
    """A service's file: its card, and beneath it what it has signed."""
    keys = keys or service()
    most = Ceilings(limit=limit, films=2, since=since)
    note = keys.signer.sign(to_json(most).decode() + "\n")
    return to_json(keys.card()) + b"\n" + note.encode()


def bring(kit: WebKit, file: bytes) -> Page:
    card = (io.BytesIO(file), "service-setup.pub")
    return kit.browser.submit("/service", action="/service/ceilings", card=card)


def test_a_newer_file_of_the_service_is_taken_in_with_a_press(kit: WebKit) -> None:
    assert "20 films" in kit.browser.get("/service").words
    page = bring(kit, signed(NOW))
    assert page.path == "/service/press" and "Press the button" in page.words
    (asked,) = [r for r in kit.recorder.requests() if isinstance(r, Enrol) and r.ceilings]
    assert (asked.service, asked.practitioner) == (service().card(), practitioner().card())
    assert read_ceilings(asked.ceilings, CardChain(asked.service)).limit == 600
    before = kit.parts.enrolled
    assert before
    kit.recorder.show(answers={asked.id: "done"})
    save_fact(kit.home.kit / "enrolled.json", replace(before, ceilings=asked.ceilings))
    page = kit.browser.get("/service/press")
    assert page.path == "/service" and "2 films of 10 minutes" in page.words
    # What is no newer is not taken in its place.
    for older in (NOW, NOW - timedelta(days=1)):
        assert bring(kit, signed(older, limit=3600)).status == 400


def test_what_the_service_did_not_sign_is_refused(kit: WebKit) -> None:
    stranger = PrivateKeys.generate("service")
    card = to_json(service().card()) + b"\n"
    altered = signed(NOW).replace(b"600", b"999")
    beneath_ours = card + signed(NOW, stranger).split(b"\n", 1)[1]
    for file in (b"", card, altered, beneath_ours, signed(NOW, stranger)):
        assert bring(kit, file).status == 400
    assert not [r for r in kit.recorder.requests() if isinstance(r, Enrol) and r.ceilings]
