"""Promises 1 and 9, whatever is said in whatever order: hypothesis looks for a way around them.

No film starts, plays, is copied or is sent for a purpose that is not agreed to at that moment. The
page is the real one, with the real gate's rule, library, copies and plan of what is sent; beside it
stands a model of what people said that is so simple that it can be seen to be right.
"""

import tempfile
from collections import Counter
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from appliance.cases import CaseRecord, OpenCase, is_withdrawn
from appliance.clock import Judgement, Trust
from appliance.consent import PURPOSES, Tombstone
from appliance.copies import judge as judge_copies
from appliance.errors import KitError
from appliance.files import load_fact, save_fact, to_json
from appliance.joined import read_manifest
from appliance.permits import Books, Permit, Refusal, judge
from appliance.receipts import KitCard
from appliance.sync.sender import look
from tests.pages import CONSENT, NOW, PASSPHRASE, WebKit, service
from web_ui.keeper import Keeper

SAID = st.just(list(PURPOSES)) | st.sets(st.sampled_from(PURPOSES)).map(sorted)


class WhatIsAgreed(RuleBasedStateMachine):
    """A family that changes its mind, and a practitioner who tries everything all the same."""

    seen: ClassVar[Counter[str]] = Counter()
    """How often something was allowed and refused: a walk that never films shows nothing."""

    def __init__(self) -> None:
        super().__init__()
        # In memory: what a card does is shown elsewhere, and each walk writes hundreds of files.
        memory = Path("/dev/shm")
        self.folder = tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None)
        self.kit = WebKit(Path(self.folder.name))
        self.kit.unlock()
        home = self.kit.home
        verifier = self.kit.recorder.status.verifier
        save_fact(
            home.kit / "kit.json", KitCard(id=self.kit.recorder.status.kit, verifier=verifier)
        )
        page = self.kit.browser.submit("/cases/new", label="A", check_word="b")
        self.case = page.path.split("/")[2]
        self.kit.browser.submit(f"/cases/{self.case}/goals", not_yet="y")
        self.recipient = self.kit.recipient(self.case)
        self.keeper = Keeper(self.kit.parts)
        # The model.
        self.said: list[set[str]] = []
        self.responsible = False
        self.until = NOW
        self.gone: set[str] = set()
        self.films: dict[str, str] = {}
        self.films_gone: set[str] = set()
        self.closed = False
        self.talk_it_through(list(PURPOSES), None, True, 2)
        self.arm()
        self.press()
        assert self.films, "a walk begins with a film that everybody agreed to"

    @property
    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.kit.clock.boottime - 100)

    def agreed(self, purpose: str) -> bool:
        return (
            not self.closed
            and self.responsible
            and bool(self.said)
            and all(purpose in person for person in self.said)
            and purpose not in self.gone
            and self.now < self.until
        )

    # What people do.

    @rule(
        first=SAID,
        second=st.none() | SAID,
        parent=st.sampled_from([True, True, False]),
        days=st.integers(0, 2),
    )
    def talk_it_through(
        self, first: list[str], second: list[str] | None, parent: bool, days: int
    ) -> None:
        day = (self.now + timedelta(days=days)).date()
        fields: dict[str, object] = CONSENT | {
            "people__0__purposes": first or None,
            "people__0__authority": "parent" if parent else "",
            "people__0__child": "Robin" if parent else "",
            "valid_until": day.isoformat(),
        }
        if second is not None:
            other = {"name": "Sam", "relation": "uncle", "purposes": second or None}
            fields |= {f"people__1__{name}": value for name, value in other.items()}
        page = self.submit("consent", **fields)
        if page != f"/cases/{self.case}":
            return
        self.said = [set(one) for one in (first, second) if one is not None]
        self.responsible, self.gone = parent, set()
        self.until = datetime.combine(day, datetime.min.time()).astimezone() + timedelta(days=1)

    @rule(purpose=st.sampled_from(PURPOSES))
    def take_a_use_back(self, purpose: str) -> None:
        if self.said and not self.closed:
            self.post("withdraw/purpose", purposes=[purpose])
            self.gone.add(purpose)

    @precondition(lambda self: set(self.films) - self.films_gone and not self.closed)
    @rule(data=st.data())
    def take_a_film_back(self, data: st.DataObject) -> None:
        film = data.draw(st.sampled_from(sorted(set(self.films) - self.films_gone)))
        self.post("withdraw/film", film=film)
        self.films_gone.add(film)

    @rule(sure=st.sampled_from([False, False, False, True]))
    def withdraw_everything(self, sure: bool) -> None:
        if sure:
            self.post("withdraw", confirm="y")
            self.closed = True

    @rule(sure=st.sampled_from([False, False, False, True]))
    def withdraw_at_the_service(self, sure: bool) -> None:
        if not sure:
            return
        fact = Tombstone(order="a" * 16, case=self.case, at=self.now, removed=())
        note = service().signer.sign(f"{to_json(fact).decode()}\n")
        (self.kit.home.inbox / ("a" * 16)).write_text(note)
        self.keeper.look()
        self.closed = True

    @rule()
    def arm(self) -> None:
        self.submit("arm")

    @rule(who=st.sampled_from(["disarm", "newcomer"]))
    def disarm(self, who: str) -> None:
        self.kit.browser.submit("/cases", action="/lock")
        self.unlock()
        self.post(who, at_front=who == "disarm")
        self.seen["permit left"] += self.kit.recorder.permit() is not None and not self.closed

    @rule(hours=st.sampled_from([1, 7, 13, 26]))
    def time_passes(self, hours: int) -> None:
        self.kit.pass_by(hours * 3600)
        self.unlock()

    @rule()
    def press(self) -> None:
        permit = self.answer()
        if isinstance(permit, Permit):
            film = self.kit.recorder.write_film(self.case, permit.recipient, frames=30)
            self.films[film] = permit.consent

    # What must hold.

    @invariant()
    def nothing_starts_that_is_not_agreed_to(self) -> None:
        answer = self.answer()
        started = isinstance(answer, Permit)
        assert not started or self.agreed("filming")
        self.seen["may film" if started else "may not film"] += 1

    @invariant()
    def nothing_plays_that_is_not_agreed_to(self) -> None:
        for film in self.films:
            video = f"/cases/{self.case}/films/{film}/video"
            status = self.kit.browser.get(video, Range="bytes=0-9").status
            taken = film in self.films_gone or "filming" in self.gone or self.now >= self.until
            assert status != 206 or not (self.closed or taken)
            self.seen["plays" if status == 206 else "does not play"] += 1

    @invariant()
    def nothing_is_copied_that_is_not_agreed_to(self) -> None:
        for film, consent in self.films.items():
            opened = self.opened()
            if opened is None:
                continue
            started = read_manifest(self.kit.home.recording(film)).started
            started = msgspec.structs.replace(started, consent=consent)
            may = judge_copies(opened, started, self.now) is None
            assert not may or self.agreed("copies")
            self.seen["may copy" if may else "may not copy"] += 1

    @invariant()
    def nothing_is_sent_that_was_taken_back(self) -> None:
        card = load_fact(self.kit.home.kit / "kit.json", KitCard)
        assert card is not None
        closed = {self.case} if self.closed else set()
        for sealed in look(self.kit.home, card).here:
            if "/recordings/" in sealed.object:
                assert sealed.object.split("/")[3] not in self.films_gone
            if sealed.object.startswith("cases/") and closed:
                # Of a closed case the films alone lie there still, and the plan leaves them out.
                assert "/recordings/" in sealed.object
        record = load_fact(self.kit.home.case(self.case) / "case.json", CaseRecord)
        assert record is not None and (record.state == "withdrawn") is self.closed

    # The hands.

    def answer(self) -> Permit | Refusal:
        """The recorder's rule, on what lies there, at this moment."""
        current = self.kit.home.permits / "current"
        if is_withdrawn(self.kit.home.case(self.case)):
            return Refusal.WITHDRAWN
        return judge(
            current.read_text() if current.exists() else None,
            kit=self.kit.recorder.status.kit,
            enrolled=self.kit.parts.enrolled,
            books=Books(),
            boot=self.kit.clock.read().boot,
            clock=Judgement(Trust.TRUSTED, self.now),
        )

    def opened(self) -> OpenCase | None:
        with suppress(KitError):
            return self.kit.open_case(self.case)
        return None

    def submit(self, page: str, **fields: object) -> str:
        with suppress(KeyError):  # A page that is not there for a closed case has no form.
            return self.kit.browser.submit(f"/cases/{self.case}/{page}", **fields).path
        return ""

    def post(self, action: str, at_front: bool = False, **fields: object) -> None:
        token = self.kit.browser.get("/cases").form("/lock")["csrf_token"][0]
        where = f"/{action}" if at_front else f"/cases/{self.case}/{action}"
        self.kit.browser.post(where, {"csrf_token": token} | fields)

    def unlock(self) -> None:
        self.kit.browser.submit("/unlock", passphrase=PASSPHRASE, time=self.now.isoformat())
        self.kit.recorder.carry_out()

    def teardown(self) -> None:
        self.kit.parts.seat.leave()
        self.folder.cleanup()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_nothing_is_filmed_shown_copied_or_sent_that_is_not_agreed_to_at_that_moment() -> None:
    WhatIsAgreed.seen.clear()
    run_state_machine_as_test(
        WhatIsAgreed,
        settings=settings(
            max_examples=14,
            stateful_step_count=12,
            # Without shrinking: a failure is told in seconds, and its steps are few anyway.
            phases=(Phase.generate,),
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    seen = WhatIsAgreed.seen
    for what in ("may film", "may not film", "plays", "does not play", "may not copy"):
        assert seen[what], f"no walk came to: {what} ({dict(seen)})"
