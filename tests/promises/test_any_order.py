"""Promises 1 to 4 whatever happens in whatever order: hypothesis looks for a way around them.

The whole recorder but for its lens and its lamp, on a clock that moves when told: the real runner,
machine, gate, books, light, sink, muxer, seal and card.
"""

import errno
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from appliance.age.sealing import Bytes
from appliance.film.manifest import EndReason, read_manifest
from appliance.film.recording import open_recording
from appliance.film.segment import NewFile, create
from appliance.protocol.orders import Withdrawal
from appliance.protocol.permits import PressRefusal
from appliance.protocol.requests import Enrol, Remove, Stop
from appliance.protocol.status import State
from appliance.records.files import new_id, save, to_json
from firmware.light import CAPTURING, LONGEST_DARK
from firmware.recorder import (
    HOLD_REMOVES,
    LONGEST_PRESS,
    PRESENCE_LASTS,
    PREVIEW_LASTS,
    SHORTEST_PRESS,
)
from firmware.runner import Died
from tests.support.fakes import CASE, PRACTITIONER, SERVICE, Stage

MOMENTS = st.sampled_from([0.01, 0.049, 0.05, 0.2, 0.9, 1.5, 1.6, 2.1, 3.0, 5.1])
LIMIT = 2
"""Seconds of each film."""


OFTEN = (
    "filming",
    "preview",
    "removed by the button",
    "removed by an order",
    "withdrawn in the middle",
    "main loop hung",
)
"""Where the walks must have come many times: one that never films shows nothing."""


class FullCard:
    """A file on a card that is full."""

    def __init__(self, file: NewFile) -> None:
        self.fileno, self.close = file.fileno, file.close

    def write(self, data: Bytes, /) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class AnyOrder(RuleBasedStateMachine):
    """A kit, people, and everything that may break."""

    seen: ClassVar[Counter[str]] = Counter()
    """How often the walks came where it matters."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.kit = Stage(Path(self.folder.name))
        self.kit.arm(limit=LIMIT, films=20)
        self.dead = False
        self.down_at: float | None = None
        self.held = 0.0
        """Seconds of the press under way, or of the last."""
        self.asked_to_remove: set[str] = set()
        self.removed_by_button: set[str] = set()
        self.removed_by_order: set[str] = set()

    def do(self, action: Callable[[], object]) -> None:
        """Let something happen; the end of the process closes the camera."""
        try:
            action()
            if self.kit.state is State.STOPPING:
                self.kit.settle()
            if self.down_at is not None:
                self.held = self.kit.clock.monotonic() - self.down_at
        except Died:
            self.dead = True
            self.kit.camera.fails_to_stop = False
            self.kit.camera.stop()
            # Its writer has a thread of this process, and time of its own: it ends in peace.
            while any(read_manifest(film).ended is None for film in self.kit.films()):
                self.kit.queue.get(timeout=30)

    @precondition(lambda self: self.dead)
    @rule()
    def start_again(self) -> None:
        """As systemd does. Nothing is filmed until somebody presses again."""
        self.kit.close()
        hold_diary(self.kit)
        # What was asked of the one before was not meant for this one.
        self.kit.clock.advance(1)
        self.kit = Stage(Path(self.folder.name), clock=self.kit.clock)
        self.kit.arm(limit=LIMIT, films=20)
        self.dead, self.down_at = False, None
        self.seen["started again"] += 1
        assert not self.kit.camera.open and self.kit.state in (State.IDLE, State.READY)

    # --- people ---------------------------------------------------------------------------------

    @precondition(lambda self: not self.dead)
    @rule(films=st.integers(1, 3), minutes=st.sampled_from([0.02, 60]))
    def arm(self, films: int, minutes: float) -> None:
        now = self.kit.time.now
        assert now is not None
        until = now + timedelta(minutes=minutes)
        self.do(lambda: self.kit.arm(limit=LIMIT, films=films, not_before=now, not_after=until))

    @precondition(lambda self: not self.dead and (self.kit.home.permits / "current").exists())
    @rule()
    def disarm(self) -> None:
        self.do(self.kit.disarm)
        assert not self.kit.camera.open

    @precondition(lambda self: not self.dead and self.down_at is None)
    @rule()
    def press(self) -> None:
        self.down_at = self.kit.clock.monotonic()
        self.do(self.kit.down)
        assert not self.kit.camera.open, "a press did not stop it"

    @precondition(lambda self: not self.dead and self.down_at is not None)
    @rule(wait=MOMENTS)
    def release(self, wait: float) -> None:
        self.do(lambda: self.kit.advance(wait))
        before = self.kit.camera.open
        if self.dead:
            return
        self.down_at = None
        self.do(self.kit.up)
        if self.kit.camera.open and not before:
            assert SHORTEST_PRESS - 1e-6 <= self.held <= LONGEST_PRESS + 1e-6
            assert self.kit.state is State.FILMING

    @precondition(lambda self: not self.dead and self.down_at is None)
    @rule()
    def press_and_let_go(self) -> None:
        self.press()
        if not self.dead:
            self.release(0.2)

    @precondition(lambda self: not self.dead and self.down_at is None)
    @rule(framing=st.booleans())
    def all_is_well_and_agreed(self, framing: bool) -> None:
        """Then there is a film, or a preview: a kit that refuses for ever keeps promises, too."""
        self.open_camera(framing)

    @precondition(lambda self: not self.dead and self.down_at is None)
    @rule()
    def is_filmed_and_removed(self) -> None:
        self.open_camera(framing=False)
        recording = self.kit.status.recording
        self.wait(0.5)
        self.press_and_hold()
        assert recording in self.removed()
        self.release(0.2)

    @precondition(lambda self: not self.dead and self.down_at is None)
    @rule(framing=st.booleans())
    def is_withdrawn_in_the_middle(self, framing: bool) -> None:
        kit, case = self.kit, self.kit.case
        self.open_camera(framing)
        self.wait(0.5)
        self.withdraw(on_hold=False)
        self.quietly(lambda: kit.advance(1.1))
        assert case not in map(case_of, kit.films())
        self.seen["withdrawn in the middle"] += 1

    @precondition(lambda self: not self.dead and self.down_at is None)
    @rule(held=MOMENTS)
    def is_ready_and_pressed(self, held: float) -> None:
        """Only a short press films; `release` looks whether it was one."""
        self.make_ready()
        self.press()
        self.release(held)
        assert self.kit.camera.open or not SHORTEST_PRESS < held < LONGEST_PRESS

    def make_ready(self) -> None:
        kit = self.kit
        self.is_mended()
        if kit.camera.open:
            self.press_and_let_go()
        if kit.state is State.FAULT:
            self.press_and_let_go()
        self.quietly(lambda: kit.advance(PRESENCE_LASTS + 1))
        self.arm(films=3, minutes=60)
        assert kit.state is State.READY, kit.status.reason

    def open_camera(self, framing: bool) -> None:
        self.make_ready()
        if framing:
            self.frame(opened=True)
        else:
            self.press_and_let_go()
        assert self.kit.camera.open
        self.seen["preview" if framing else "filming"] += 1

    @precondition(lambda self: not self.dead and self.down_at is None)
    @rule()
    def press_and_hold(self) -> None:
        self.press()
        self.quietly(lambda: self.kit.advance(HOLD_REMOVES))

    @precondition(lambda self: not self.dead)
    @rule(wait=MOMENTS)
    def wait(self, wait: float) -> None:
        self.quietly(lambda: self.kit.advance(wait))

    @precondition(lambda self: not self.dead)
    @rule(seconds=st.sampled_from([61.0, 121.0]))
    def wait_long(self, seconds: float) -> None:
        self.quietly(lambda: self.kit.advance(seconds))

    @precondition(lambda self: not self.dead)
    @rule(opened=st.booleans())
    def frame(self, opened: bool) -> None:
        request = self.kit.preview(opened)
        was_open = self.kit.camera.open
        self.do(lambda: self.kit.ask(request))
        if self.kit.camera.open and not was_open:
            assert opened and self.kit.state is State.PREVIEW

    @precondition(lambda self: not self.dead)
    @rule(what=st.sampled_from(["stop", "enrol"]))
    def ask(self, what: str) -> None:
        cards = {"service": SERVICE.card(), "practitioner": PRACTITIONER.card()}
        request = Stop(**self.stamp()) if what == "stop" else Enrol(**self.stamp(), **cards)
        self.quietly(lambda: self.kit.ask(request))
        assert what == "enrol" or not self.kit.camera.open

    @precondition(lambda self: not self.dead)
    @rule(on_hold=st.booleans())
    def withdraw(self, on_hold: bool) -> None:
        """The family takes everything back; from here on there is another family."""
        kit, case = self.kit, self.kit.case
        order = Withdrawal(id=new_id(), case=case, kit=kit.books.kit, at=kit.clock.wall)
        note = PRACTITIONER.signer.sign(to_json(order).decode() + "\n")
        if on_hold:
            (kit.home.case(case) / "hold").write_text("")
        else:
            self.asked_to_remove |= {f.name for f in kit.films() if case_of(f) == case}
            if kit.status.case == case:
                self.asked_to_remove.add(kit.status.recording)
        save(kit.home.case(case) / "withdrawal", note.encode())
        self.do(lambda: kit.ask(Remove(**self.stamp(), note=note)))
        assert not kit.camera.open
        kit.case = kit.make_case()

    # --- what breaks ----------------------------------------------------------------------------

    @precondition(lambda self: not self.dead)
    @rule(part=st.sampled_from(["lamp", "eye", "cable", "start", "sound", "card", "power", "heat"]))
    def breaks(self, part: str) -> None:
        kit = self.kit
        kit.lamp.stuck |= part == "lamp"
        kit.camera.stalled |= part == "eye"
        kit.camera.is_present &= part != "cable"
        kit.camera.fails_to_start |= part == "start"
        kit.camera.mute |= part == "sound"
        if part == "card":
            kit.new_file = lambda path: FullCard(create(path))
        if part in ("power", "heat"):
            kit.board.has = PressRefusal.UNDER_VOLTAGE if part == "power" else PressRefusal.TOO_HOT

    @rule()
    def is_mended(self) -> None:
        kit = self.kit
        kit.camera.stalled = kit.camera.fails_to_start = kit.camera.mute = False
        kit.camera.is_present, kit.board.has, kit.new_file = True, None, create
        kit.lamp.stuck = False

    @precondition(lambda self: not self.dead)
    @rule()
    def lamp_goes_out(self) -> None:
        self.kit.lamp.dark()
        self.do(lambda: self.kit.advance(0.5))
        assert not self.kit.camera.open
        self.kit.lamp.stuck = False

    @precondition(lambda self: not self.dead and self.kit.camera.open)
    @rule(why=st.sampled_from([EndReason.CAMERA_FAILED, EndReason.FAULT]))
    def camera_fails(self, why: EndReason) -> None:
        self.kit.camera.on_failure(why)
        self.do(self.kit.work)
        assert not self.kit.camera.open

    @precondition(lambda self: not self.dead and self.kit.camera.open and self.down_at is None)
    @rule()
    def camera_does_not_stop(self) -> None:
        self.kit.camera.fails_to_stop = True
        self.do(self.kit.down)
        assert self.dead and self.kit.light.pattern in CAPTURING

    @precondition(lambda self: not self.dead)
    @rule(days=st.sampled_from([-20_000, -1, 1, 3650]))
    def wall_clock(self, days: int) -> None:
        self.kit.clock.wall += timedelta(days=days)

    @precondition(lambda self: not self.dead and self.down_at is None)
    @rule()
    def main_loop_hangs(self) -> None:
        """Light and camera go on, and nobody asks the runner, for longer than any film."""
        self.open_camera(framing=False)
        for _ in range(4 * LIMIT * 30):
            self.kit.light.step()
            self.kit.clock.advance(1 / 30)
            self.kit.camera.roll()
        self.do(self.kit.work)
        assert not self.kit.camera.open
        self.seen["main loop hung"] += 1

    # --- what must be so ------------------------------------------------------------------------

    def quietly(self, action: Callable[[], object]) -> None:
        """Nothing that opens a camera may come of this."""
        opened = self.kit.happened.count("camera on")
        self.do(action)
        assert self.kit.happened.count("camera on") == opened

    def removed(self) -> set[str]:
        """Recordings that are gone, by the recorder's signed notes."""
        return {path.name for path in self.kit.home.removed.iterdir()}

    def stamp(self) -> dict[str, object]:
        now = self.kit.clock.read()
        return {"id": new_id(), "boot": now.boot, "boottime": now.boottime}

    @invariant()
    def the_camera_is_open_only_with_a_permit_and_under_its_light(self) -> None:
        kit = self.kit
        if self.dead or not kit.camera.open:
            assert kit.seen is None or self.dead
            return
        assert kit.state in (State.FILMING, State.PREVIEW)
        assert kit.light.pattern in CAPTURING
        assert kit.recorder.permit is not None
        assert kit.recorder.permit.id in (kit.home.permits / "current").read_text()

    @invariant()
    def no_film_is_gone_that_nobody_asked_to_remove(self) -> None:
        removed = self.removed()
        by_button = {
            recording
            for recording in removed
            if '"why":"button"' in (self.kit.home.removed / recording).read_text()
        }
        assert removed - by_button <= self.asked_to_remove
        for recording in by_button - self.removed_by_button:
            assert recording == self.kit.status.recording, "not the last film"
            assert self.held >= HOLD_REMOVES - 1e-6
        self.seen["removed by the button"] += len(by_button - self.removed_by_button)
        self.seen["removed by an order"] += len(removed - by_button - self.removed_by_order)
        self.removed_by_button, self.removed_by_order = by_button, removed - by_button
        counted = sum(self.kit.books.books.films.values())
        assert len(self.kit.films()) + len(removed) <= counted

    def teardown(self) -> None:
        kit = self.kit
        if not self.dead:
            kit.lamp.stuck = False
            kit.close()
        hold_diary(kit)
        for film in kit.films():
            hold_film(kit, film)
        self.folder.cleanup()


def case_of(film: Path) -> str:
    return read_manifest(film).started.case


def hold_diary(kit: Stage) -> None:
    """The lamp was lit when the camera opened, and while it was open never dark for long."""
    events = list(zip(kit.happened.times, kit.happened, strict=True))
    lit = opened = False
    began = dark_since = 0.0
    for at, what in events:
        if what.startswith("light"):
            if lit and what == "light off":
                dark_since = at
            elif not lit and opened:
                # The clock of a stage steps by a thousandth of a second or more.
                assert at - dark_since <= LONGEST_DARK + 0.002
            lit = what == "light on"
        elif what == "camera on":
            assert lit and not opened
            opened, began = True, at
        else:
            # A lamp that fails ends it within half a second.
            assert lit or at - dark_since <= 0.5
            assert at - began <= max(PREVIEW_LASTS, 5 * LIMIT) + 0.1
            opened = False
    assert not opened


def hold_film(kit: Stage, film: Path) -> None:
    """It is signed, no longer than was agreed, and whatever was sealed of it opens."""
    manifest = read_manifest(film, [kit.books.signer.verifier])
    assert manifest.ended is not None or film.name == kit.status.recording
    frames = sum(segment.frames for segment in manifest.segments)
    assert frames <= LIMIT * 30
    if frames:
        with closing(open_recording(film, [CASE], [kit.books.signer.verifier])) as opened:
            assert len(opened.film.frames) >= frames
            assert opened.film.seconds <= LIMIT


def test_whatever_happens_in_whatever_order_the_promises_hold() -> None:
    run_state_machine_as_test(
        AnyOrder,
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            deadline=None,
            # Making a failure smaller takes minutes here; the walk itself says enough.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
    for what in OFTEN:
        assert AnyOrder.seen[what] >= 2, f"too seldom: {what}: {AnyOrder.seen}"
