"""A document that cannot be read allows nothing, and it stops no withdrawal, no stop and no lock.

Each document of a case is damaged in turn, in every way; then the family takes everything back.
"""

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appliance.age.sealing import seal
from appliance.casework.clips import Choice, Clip, Marks, Still
from appliance.casework.consent import Consent, Enough, Hold, Newcomer
from appliance.casework.copies import Copies
from appliance.casework.course import Arranged, Course, Rated
from appliance.casework.retention import Warned
from appliance.casework.reviews import Rating, Review
from appliance.casework.shares import Share, share
from appliance.casework.withdrawal import place_hold
from appliance.protocol.case_record import film_order, withdrawal_note
from appliance.protocol.orders import FilmWithdrawal
from appliance.protocol.requests import Stop
from appliance.records.files import Fact, new_id, to_json
from appliance.vault.cases import Details, Goals, OpenCase, Team
from appliance.vault.keys import PrivateKeys
from tests.support import films
from tests.support.moments import keep_clip
from tests.support.pages import NOW, WebKit, practitioner, service
from tests.support.places import ROOT

DOCUMENTS: tuple[type[Fact], ...] = (
    *(Details, Team, Goals, Consent, Hold, Choice, Course, Arranged, Warned),
    *(Clip, Still, Marks, Newcomer, Enough, Copies, Share, Review, Rated),
)


def test_every_document_of_a_case_is_damaged_here() -> None:
    asked = {
        call.args[0].id
        for package in ("appliance", "web_ui")
        for path in (ROOT / package).rglob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr in ("read", "read_all", "read_with_digest", "read_by_digest", "salvage")
        and call.args
        and isinstance(call.args[0], ast.Name)
        # A class, and not a constant that says how much.
        and call.args[0].id[0].isupper()
        and not call.args[0].id.isupper()
    }
    assert asked == {kind.__name__ for kind in DOCUMENTS}


def _again(case: OpenCase, path: Path, keys: PrivateKeys, change: Callable[[str], str]) -> bytes:
    """The document as somebody else signs it, or as another version writes it."""
    kind = next(one for one in DOCUMENTS if path.name.startswith(_tag(one)))
    stem, _, number = path.stem.rpartition("-")
    heading = (
        f'{{"attune":"document/v1","case":"{case.id}","name":"{stem}","number":{int(number)}}}'
    )
    item = stem.partition("-")[2]
    fact = case.read(kind, item)
    assert fact
    note = keys.signer.sign(f"{heading}\n{change(to_json(fact).decode())}\n")
    return seal(note.encode(), [case.identity.recipient])


def _tag(kind: type[Fact]) -> str:
    return str(kind.__struct_config__.tag).partition("/")[0]


DAMAGES: dict[str, Callable[[OpenCase, Path], bytes]] = {
    "garbage": lambda case, path: b"\xff\x00 garbage",
    "empty": lambda case, path: b"",
    "cut short": lambda case, path: path.read_bytes()[:-20],
    "sealed to another": lambda case, path: seal(b"x", [service().identity.recipient]),
    "no text": lambda case, path: seal(b"\xff\xfe\n\xe2\x80\xa8", [case.identity.recipient]),
    "signed by nobody": lambda case, path: _again(
        case, path, PrivateKeys.generate("practitioner"), str
    ),
    "of a newer version": lambda case, path: _again(
        case, path, practitioner(), lambda text: text.replace("/v", "/v9", 1)
    ),
}


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        made.unlock()
        yield made


def a_case(kit: WebKit) -> tuple[str, str, str]:
    """A case with every document there is; returns it and two films of it."""
    every = ["filming", "copies", "supervisor"]
    name = kit.make_case("The family", people__0__purposes=every)
    case, data = kit.open_case(name), films.film(60)
    agreed = case.read_with_digest(Consent)
    assert agreed
    film, other = (
        kit.recorder.write_film(name, kit.recipient(name), stream=data, consent=agreed[1])
        for _ in range(2)
    )
    clip = keep_clip(case, film, data, NOW)
    keep_clip(case, other, data, NOW)
    still = new_id()
    case.write(
        Still(id=still, recording=film, at=0, scale=1, size=1, sha256="0" * 64, made=NOW), still
    )
    (case.clips / f"{still}.jpg.age").write_bytes(b"a picture")
    case.write(Choice(kept=(clip.id, still)))
    case.write(Marks(recording=film, at=(0.5,)), film)
    case.write(Newcomer(recording=other, event_time=NOW), other)
    case.write(Enough(recording=film, event_time=NOW), film)
    copies = Copies(
        id=new_id(),
        made=NOW,
        to="the family",
        way="stick",
        locked=True,
        moments=(clip.id,),
        state="done",
    )
    case.write(copies, copies.id)
    share(case, [clip], practitioner(1).card(), "Kim", "supervisor", NOW, NOW.replace(year=2027))
    said = Review(id=new_id(), held=NOW, shown=(), strengths="", next="", ratings=(), go_on="yes")
    case.write(said, said.id)
    case.write(Course())
    case.write(Arranged(place="at home"))
    goals = case.read(Goals)
    assert goals
    rating = Rating(goals.goals[0].id, goals.goals[0].text, 3)
    case.write(Rated(at=NOW, stage="start", ratings=(rating,)), new_id())
    case.write(Warned(course=1, at=NOW))
    hold = Hold(role="lead", reason="a reason", review=NOW, at=NOW)
    case.write(hold)
    return name, film, other


def damage(case: OpenCase, kind: type[Fact], how: str) -> None:
    found = [
        path
        for path in (case.directory / "documents").glob(f"{_tag(kind)}-*.age")
        if path.stem == f"{_tag(kind)}-0001" or len(path.stem) > len(_tag(kind)) + 6
    ] or sorted((case.directory / "documents").glob(f"{_tag(kind)}-*.age"))
    assert found, kind
    for path in found:
        path.write_bytes(DAMAGES[how](case, path))


def token(kit: WebKit) -> str:
    return kit.browser.get("/cases/new").form("/cases/new")["csrf_token"][0]


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("kind", DOCUMENTS, ids=lambda kind: kind.__name__)
def test_what_cannot_be_read_stops_no_stop_no_taking_back_and_no_lock(
    kit: WebKit, kind: type[Fact], how: str
) -> None:
    name, film, other = a_case(kit)
    kit.browser.submit(f"/cases/{name}/arm")
    assert kit.recorder.permit()
    damage(kit.open_case(name), kind, how)
    # As after the next unlock: nothing that was read before is in memory any more.
    kit.browser.post("/lock", {"csrf_token": token(kit)})
    assert kit.parts.session.holder is None
    kit.unlock()
    url, sent = f"/cases/{name}", {"csrf_token": token(kit)}
    kit.recorder.show(state="filming", light="filming", case=name, recording=other)

    # A stop.
    kit.browser.post("/stop", dict(sent))
    assert [request for request in kit.recorder.requests() if isinstance(request, Stop)]
    kit.recorder.carry_out()

    # One kind of use. Of a consent that cannot be read, nothing is left.
    assert kit.browser.get(f"{url}/withdraw").status == 200
    page = kit.browser.post(f"{url}/withdraw/purpose", sent | {"purposes": ["supervisor"]})
    assert page.status == 200, page.words
    case = kit.open_case(name)
    agreed = case.read(Consent)
    assert agreed and "supervisor" not in agreed.purposes
    if kind is Consent:
        assert not agreed.purposes and kit.recorder.permit() is None
    assert not any((case.directory / "shares").glob("*")), "what was shared ends"

    # One film, with every moment that was cut from it.
    page = kit.browser.post(f"{url}/withdraw/film", sent | {"film": film})
    assert page.status == 200, page.words
    order = film_order(case.directory, film)
    assert isinstance(order, FilmWithdrawal)
    assert not list(case.clips.glob(f"{order.clips[0]}.*"))
    left = {path.name.partition(".")[0] for path in case.clips.glob("*")}
    assert not left & set(order.clips) and len(order.clips) >= 2
    assert "Withdraw consent" in kit.browser.get(f"{url}/withdraw").words

    # A hold, and its end.
    hold = Hold(role="lead", reason="a reason", review=NOW, at=NOW)
    place_hold(case, hold, service().chain)
    damage(case, Hold, "garbage")
    assert "End the hold" in kit.browser.get(f"{url}/hold").words
    assert kit.browser.post(f"{url}/hold/lift", dict(sent)).status == 200

    # Everything.
    page = kit.browser.post(f"{url}/withdraw", sent | {"confirm": "y"})
    assert page.status == 200 and page.path == f"{url}/certificate", page.words
    found = withdrawal_note(kit.home.case(name))
    assert found and not list(kit.home.case(name).glob("identity-*"))
    assert not (kit.home.case(name) / "documents").exists()
    ways = [out.way for out in found[0].copies]
    assert len(ways) == 2 and "share" in ways, "copies are named, or said to be uncounted"
    kit.browser.post("/lock", dict(sent))
    assert kit.parts.session.holder is None
