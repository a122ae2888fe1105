"""The consent page and the family's receipt: what each person said, and nothing beside it."""

from appliance.casework.consent import Consent
from appliance.protocol.permits import recipient_digest
from appliance.records.files import Fact, Timestamp
from tests.support.pages import CONSENT, Page, WebKit

SIGNATURE = "10,20 300,40 512,290|600,10 610,20"
SAM: dict[str, object] = {
    "people__1__name": "Sam",
    "people__1__relation": "uncle",
    "people__1__purposes": ["filming"],
}


def receipt(kit: WebKit, case: str) -> Page:
    return kit.browser.get(f"/cases/{case}/consent/receipt")


def test_each_person_is_recorded_with_what_they_said_themselves(kit: WebKit) -> None:
    case = kit.make_case(
        **SAM,
        people__0__purposes=["filming", "copies"],
        people__0__authority="local-authority",
        worries="Who will see it?",
        given="witnessed",
        witness="Kim",
    )
    consent = kit.open_case(case).read(Consent)
    assert consent is not None
    first, second = consent.people
    assert first.purposes == ("filming", "copies") and second.purposes == ("filming",)
    assert (first.authority, first.on_behalf_of) == ("local-authority", "Robin")
    assert (second.authority, second.on_behalf_of) == ("", "")
    assert consent.purposes == ("filming",)
    assert (consent.worries, consent.witness) == ("Who will see it?", "Kim")
    assert consent.retention_period == 60


def test_a_signature_drawn_on_the_screen_is_kept_sealed_and_shown_on_the_receipt(
    kit: WebKit,
) -> None:
    case = kit.make_case(given="drawn", people__0__signature=SIGNATURE)
    consent = kit.open_case(case).read(Consent)
    assert consent is not None and consent.people[0].signature == SIGNATURE
    page = receipt(kit, case)
    assert '<polyline points="10,20 300,40 512,290"' in page.text
    assert "Signature of Alex" in page.text
    for path in kit.root.rglob("*"):
        if path.is_file():
            assert SIGNATURE.encode() not in path.read_bytes()


def test_a_signature_is_not_kept_where_it_was_given_in_another_way(kit: WebKit) -> None:
    case = kit.make_case(given="signed", people__0__signature=SIGNATURE)
    consent = kit.open_case(case).read(Consent)
    assert consent is not None and consent.people[0].signature == ""


def test_who_agrees_to_nothing_need_not_sign(kit: WebKit) -> None:
    case = kit.make_case(
        given="drawn",
        people__0__signature=SIGNATURE,
        people__1__name="Sam",
        people__1__relation="x",
    )
    consent = kit.open_case(case).read(Consent)
    assert consent is not None and consent.people[1].purposes == ()


def test_the_receipt_says_what_was_agreed_what_was_not_and_how_to_withdraw(kit: WebKit) -> None:
    case = kit.make_case(**SAM, interpreter="Noor", worries="The neighbours")
    page = receipt(kit, case)
    for words in (
        "Alex (mother), also for Robin, with parental responsibility",
        "Sam (uncle)",
        "Yes: Filming us, and watching the film together",
        "No: Some clips can be shown at training events",
        "English, interpreter: Noor",
        "The neighbours",
        "Signed on the paper form",
        "5 minutes",
        "1 February 2027",
        "60 days after we finish working together. If nothing new is agreed, this is 2 April 2027",
        "You do not need a reason",
        f"Your number {case}",
    ):
        assert words in page.words, words
    digest = recipient_digest(kit.recipient(case))
    assert digest[:20] in page.words.replace(" ", "")
    assert "their receipt" in kit.browser.get(f"/cases/{case}").words


def test_the_square_on_the_receipt_names_nobody(kit: WebKit) -> None:
    page = receipt(kit, kit.make_case("The label"))
    square = page.text.partition("<svg")[2].partition("</svg>")[0]
    assert 'class="app-qr"' in square and "style=" not in square
    assert "Alex" not in square and "label" not in square


def test_without_a_consent_there_is_no_receipt(kit: WebKit) -> None:
    case = kit.browser.submit("/cases/new", label="A", check_word="b").path.split("/")[2]
    assert receipt(kit, case).status == 404


class _Older(Fact, frozen=True, kw_only=True, tag="consent/v1"):
    """A consent as it was written before each person was asked for each purpose."""

    purposes: tuple[str, ...]
    valid_until: Timestamp


def test_a_consent_of_an_older_form_allows_nothing_until_it_is_talked_through_again(
    kit: WebKit,
) -> None:
    case = kit.make_case()
    opened = kit.open_case(case)
    found = opened.read(Consent)
    assert found is not None
    opened.write(_Older(purposes=("filming",), valid_until=found.valid_until))
    assert "Record consent first" in kit.browser.get(f"/cases/{case}/arm").words
    kit.browser.consent(case, **CONSENT)
    assert "Record consent first" not in kit.browser.get(f"/cases/{case}/arm").words


def test_a_consent_once_recorded_is_never_changed(kit: WebKit) -> None:
    case = kit.make_case()
    first = kit.home.case(case) / "documents" / "consent-0001.age"
    before = first.read_bytes()
    kit.browser.consent(case, **(CONSENT | {"language": "Welsh"}))
    assert first.read_bytes() == before
    found = kit.open_case(case).read(Consent)
    assert found is not None and found.language == "Welsh"
