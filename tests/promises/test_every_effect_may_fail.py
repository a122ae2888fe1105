"""A fault at every effect of the machine, carried out by the real runner: each ends in its promise.

What cannot be shown, written, opened or closed here is a real part that refuses: a stuck lamp, a
camera, a card on which something is in the way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import NotPossible
from appliance.film.manifest import EndReason
from appliance.protocol.requests import Enrol
from appliance.protocol.status import Pattern, State
from appliance.records.files import new_id
from appliance.vault.keys import PrivateKeys
from firmware.filming import Film
from firmware.light import CAPTURING
from firmware.recorder import (
    HOLD_REMOVES,
    PRESENCE_COUNTS_AFTER,
    BeginFilm,
    CloseCamera,
    Confirm,
    Decline,
    Die,
    Effect,
    FinishFilm,
    Judge,
    OpenCamera,
    OpenPreview,
    Refuse,
    RemoveFilm,
    Show,
)
from firmware.runner import Died
from tests.promises.test_any_order import LIMIT, hold_diary, hold_film
from tests.support.fakes import SERVICE, Stage

Act = Callable[[Stage], object]

CANNOT_FAIL = {Decline, Die}
"""They touch nothing but memory."""


class UnfinishedFilm(Film):
    """A film that cannot be closed."""

    def finish(self, why: EndReason) -> None:
        raise NotPossible("The film cannot be closed.")


# --- what was before ----------------------------------------------------------------------------


def idle(kit: Stage) -> None:
    assert kit.state is State.IDLE


def ready(kit: Stage) -> None:
    kit.arm(limit=LIMIT, films=9)
    assert kit.state is State.READY


def filming(kit: Stage) -> None:
    ready(kit)
    kit.press()
    kit.advance(1)
    assert kit.state is State.FILMING


def filmed(kit: Stage) -> None:
    filming(kit)
    kit.press()
    assert kit.state is State.READY and kit.status.removable > 0


def framing(kit: Stage) -> None:
    ready(kit)
    frame(kit)
    assert kit.state is State.PREVIEW


def asked(kit: Stage) -> None:
    enrol(kit)
    kit.advance(PRESENCE_COUNTS_AFTER)
    assert kit.state is State.PRESENCE


# --- what breaks --------------------------------------------------------------------------------


def lamp_sticks(kit: Stage) -> None:
    kit.lamp.stuck = True


def camera_does_not_start(kit: Stage) -> None:
    kit.camera.fails_to_start = True


def microphone_does_not_start(kit: Stage) -> None:
    kit.camera.fails_to_hear = True


def camera_does_not_stop(kit: Stage) -> None:
    kit.camera.fails_to_stop = True


def film_does_not_end(kit: Stage) -> None:
    kit.film_type = UnfinishedFilm


@dataclass(frozen=True)
class InTheWay:
    """A directory lies where the recorder wants to have a file, or the other way round."""

    part: str

    def __call__(self, kit: Stage) -> None:
        path = kit.home.root / self.part
        if path.is_dir():
            path.rename(kit.home.root / "put aside")
            path.write_text("in the way")
        else:
            if path.exists():
                path.rename(kit.home.root / "put aside")
            (path / "in the way").mkdir(parents=True)

    def mend(self, kit: Stage) -> None:
        path, aside = kit.home.root / self.part, kit.home.root / "put aside"
        path.rename(kit.home.root / "was in the way")
        if aside.exists():
            aside.rename(path)


# --- what is done -------------------------------------------------------------------------------


def arm(kit: Stage) -> None:
    kit.arm(limit=LIMIT, films=9)


def press(kit: Stage) -> None:
    kit.press()


def press_twice(kit: Stage) -> None:
    kit.press()
    kit.press()


def stamp(kit: Stage) -> dict[str, Any]:
    now = kit.clock.read()
    return {"id": new_id(), "boot": now.boot, "boottime": now.boottime}


def frame(kit: Stage) -> None:
    kit.ask(kit.preview())


def enrol(kit: Stage) -> None:
    stranger = PrivateKeys.generate("practitioner", x25519=True)
    kit.ask(Enrol(**stamp(kit), service=SERVICE.card(), practitioner=stranger.card()))


def hold_on(kit: Stage) -> None:
    kit.down()
    kit.advance(HOLD_REMOVES + 0.1)
    kit.up()


LIGHT, CAMERA, SOUND, CARD = (
    EndReason.LIGHT_FAILED,
    EndReason.CAMERA_FAILED,
    EndReason.SOUND_FAILED,
    EndReason.DISK_FAILED,
)

FAILING: list[tuple[type[Effect], Act, Act, Act, EndReason]] = [
    # What fails, what was before, what breaks, what is done, and what the kit says of it.
    (Show, idle, lamp_sticks, arm, LIGHT),
    (Show, ready, lamp_sticks, press, LIGHT),
    (Show, ready, lamp_sticks, frame, LIGHT),
    (Show, filming, lamp_sticks, press, LIGHT),
    (Show, framing, lamp_sticks, press, LIGHT),
    (Show, idle, lamp_sticks, press, LIGHT),
    (Show, idle, lamp_sticks, enrol, LIGHT),
    (Judge, ready, InTheWay("kit/room"), press, CARD),
    (Refuse, idle, InTheWay("log/recorder/log"), press, CARD),
    (BeginFilm, ready, InTheWay("kit/books.json"), press, CARD),
    (BeginFilm, ready, InTheWay("recordings"), press, CARD),
    (OpenCamera, ready, camera_does_not_start, press, CAMERA),
    (OpenCamera, ready, microphone_does_not_start, press, SOUND),
    (OpenPreview, ready, camera_does_not_start, frame, CAMERA),
    (CloseCamera, filming, camera_does_not_stop, press, CAMERA),
    (CloseCamera, framing, camera_does_not_stop, press, CAMERA),
    (FinishFilm, ready, film_does_not_end, press_twice, CARD),
    (RemoveFilm, filmed, InTheWay("kit/removed"), hold_on, CARD),
    (Confirm, asked, InTheWay("kit/enrolled.json"), press, CARD),
]


def test_every_effect_that_can_fail_is_made_to_fail() -> None:
    assert {row[0] for row in FAILING} | CANNOT_FAIL == set(Effect.__subclasses__())


@pytest.mark.parametrize(("effect", "before", "breaks", "act", "says"), FAILING)
def test_an_effect_that_fails_ends_in_its_promise(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    effect: type[Effect],
    before: Act,
    breaks: Act,
    act: Act,
    says: EndReason,
) -> None:
    kit = Stage(tmp_path)
    before(kit)
    practitioners = kit.books.enrolled.practitioners if kit.books.enrolled else ()
    breaks(kit)
    died = False
    try:
        act(kit)
        kit.settle()
    except Died:
        died = True
    assert f"{effect.__name__} could not be done" in caplog.text or effect is Judge
    assert died is (effect in (CloseCamera, FinishFilm))
    # It says so, and nobody is seen by it any more.
    assert (kit.state, kit.status.reason) == (State.FAULT, says.value)
    if effect is CloseCamera:
        # The end of the process closes what does not close otherwise; until then it is lit.
        assert kit.lamp.lit and kit.light.pattern in CAPTURING
        kit.camera.fails_to_stop = False
        kit.camera.stop()
    assert not kit.camera.open and (died or kit.seen is None)
    if not died:
        assert kit.light.pattern is Pattern.FAULT
    # A practitioner whom the card did not take in is not obeyed.
    assert kit.books.enrolled is not None
    assert kit.books.enrolled.practitioners == practitioners
    assert "waiting" not in kit.inbox.answers.values()
    kit.lamp.stuck = False
    if isinstance(breaks, InTheWay):
        breaks.mend(kit)
    hold_diary(kit)

    # And once that is mended it films, though nobody forgets what was before.
    kit.clock.advance(1)
    again = Stage(tmp_path, clock=kit.clock)
    for film in again.films():
        hold_film(again, film)
    assert not again.camera.open and again.state in (State.IDLE, State.READY)
    ready(again)
    again.press()
    assert again.state is State.FILMING
    again.close()
    hold_diary(again)
