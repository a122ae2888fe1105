"""Faults at a visit, rehearsed: each is brought about in the real processes, a kind at a time.

After each one the light must show it, the page must say what to do, and the film must open with
all that was sealed until then.
"""

import html
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Literal, get_args

from appliance.config import Fault, Faults
from appliance.film.manifest import read_manifest
from appliance.media import av_sync
from appliance.protocol.permits import PressRefusal
from appliance.protocol.requests import CorrectTime, SetTime, place_request
from appliance.protocol.status import RecorderStatus
from appliance.records.clock import Correction, SystemClock, Vouch
from appliance.records.files import new_id
from appliance.records.signing import sign_fact
from appliance.selftest.kit import at_midday, local_time, wait_for
from appliance.selftest.rehearsal import ARMING, WORST_LOSS, Rehearsal, expect, films
from appliance.selftest.seen import Seen, Step, require
from appliance.vault.keys import unlock

FaultKind = Literal["light", "camera", "frames", "disk", "clock", "sound"]
FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)

LIGHT_NOTICED = 0.5
FRAMES_NOTICED = 2.0
SOUND_NOTICED = 5.0
"""Seconds within which each must have ended the film."""
_SPARE = 2.0
"""Seconds more that a busy computer may take until all of it is seen."""
APART = 0.040
"""Seconds that sound may be off its picture."""
_CHANGES_AFTER = 20.0
"""Seconds until the clock on the wall jumps: by then the kit is armed and films."""
_READ_BACK_PIN = 22
_LIMIT = 90
"""Seconds of a film: what is to end it comes before its limit does, and before its last minute, in
which the light dips."""


class FaultRehearsal:
    """Each fault of the kinds that were asked for, on a kit that is set up."""

    def __init__(self, on: Rehearsal, kinds: tuple[FaultKind, ...]) -> None:
        self._on, self._kit, self._home = on, on.kit, on.home
        self._kinds = kinds
        self._kit.configure(read_back_pin=_READ_BACK_PIN)

    def run(self) -> bool:
        """True if every promise was kept."""
        return self._on.run(self._bring_about)

    def _bring_about(self) -> None:
        self._on.get_ready()
        self._on.step("a case with a goal and a consent", self._on.make_case)
        steps: dict[FaultKind, tuple[tuple[str, Callable[[], str]], ...]] = {
            "light": (("the light goes out while filming", self.light_goes_out),),
            "camera": (
                ("the camera is not there", self.camera_missing),
                ("the camera does not start", self.camera_does_not_start),
                ("the camera fails while filming", self.camera_fails),
                ("the camera does not stop", self.camera_does_not_stop),
            ),
            "frames": (("the camera gives no more pictures", self.frames_stop),),
            "disk": (
                ("the card has no room for a whole film", self.no_room),
                ("the card is full while filming", lambda: self.card_refuses("card-full")),
                ("the card breaks while filming", lambda: self.card_refuses("card-broken")),
                ("the card turns read-only", lambda: self.card_refuses("card-read-only")),
                ("the card is too slow", self.card_slow),
            ),
            "clock": (
                ("the kit does not know what time it is", self.clock_in_doubt),
                ("a page that woke in 1970 says what time it is", self.wrong_vouch),
                ("summer time begins while filming", lambda: self.hour_changes(1)),
                ("summer time ends while filming", lambda: self.hour_changes(-1)),
                ("the clock is set while filming", self.clock_set_while_filming),
            ),
            "sound": (
                ("the microphone goes silent", self.sound_stops),
                ("the sound's clock is wrong, and sound is lost", self.sound_drifts),
            ),
        }
        for kind in self._kinds:
            for name, act in steps[kind]:
                self._on.step(name, act)
        self._on.step("when all is well again, a film is whole", self.all_well)

    # --- steps ----------------------------------------------------------------------------------

    def light_goes_out(self) -> str:
        self._prepare("light-goes-out")
        ended, _ = self._ended_by("light-failed")
        kept = self._kept(ended)
        dark = kept.seconds - self._kit.config.faults.after
        require(dark <= LIGHT_NOTICED, f"it filmed {dark:.2f} s without a light")
        return f"{self._saw(ended)}; filmed without a light: {max(dark, 0.0):.2f} s"

    def camera_missing(self) -> str:
        self._prepare("camera-missing", in_vain=True)
        return self._refused(PressRefusal.CAMERA_MISSING)

    def camera_does_not_start(self) -> str:
        self._prepare("camera-does-not-start")
        self._kit.press()
        ended = self._fault("camera-failed", 10)
        require(ended.frames_in == 0, "there were pictures")
        return f"light: {ended.light}; {self._words('camera-failed')}; no picture was taken"

    def camera_fails(self) -> str:
        self._prepare("camera-fails")
        ended, _ = self._ended_by("camera-failed")
        self._kept(ended)
        return self._saw(ended)

    def camera_does_not_stop(self) -> str:
        self._prepare("camera-does-not-stop")
        began = self._on.begin()
        self._kit.recorder_shows("three seconds", lambda s: s.limit - s.remaining > 3)
        self._kit.press()
        wait_for("the recorder to end", lambda: "recorder" in self._kit.ended(), 30)
        status = self._kit.stop("recorder")
        require(status != 0, "the recorder ended as if all were well")
        last = self._kit.status() or began
        self._prepare()
        found = Seen.of(self._on.video(began.recording))
        lost = (last.frames_in - found.frames) / found.rate
        require(lost <= WORST_LOSS, f"{lost:.2f} s of {last.frames_in} frames were lost")
        return (
            f"the recorder ended itself (status {status}), which closes every camera, and was "
            f"started anew; {last.frames_in} frames in, {found.frames} open"
        )

    def frames_stop(self) -> str:
        self._prepare("frames-stop")
        ended, lasted = self._ended_by("frames-stopped")
        self._kept(ended)
        noticed = lasted - self._kit.config.faults.after
        require(noticed <= FRAMES_NOTICED + _SPARE, f"it took {noticed:.1f} s")
        return f"{self._saw(ended)}; noticed after {noticed:.1f} s"

    def no_room(self) -> str:
        self._prepare()
        free = self._kit.recorder_shows("the kit", lambda s: True).minutes_free * 60
        usual = self._kit.config.bits_a_second
        self._kit.configure(bit_rate=round(usual * 2 * free / self._on.limit))
        try:
            self._prepare(in_vain=True)
            refused = self._refused(PressRefusal.CARD_FULL)
        finally:
            self._kit.configure(bit_rate=usual)
        return f"a film of twice what is free: {refused}"

    def card_refuses(self, fault: Fault) -> str:
        self._prepare(fault)
        ended, _ = self._ended_by("disk-failed")
        self._kept(ended)
        return self._saw(ended)

    def card_slow(self) -> str:
        self._prepare("card-slow")
        ended, _ = self._ended_by("slow-card", 60)
        self._kept(ended)
        return self._saw(ended)

    def clock_in_doubt(self) -> str:
        self._prepare()
        for vouch in self._home.web_requests.glob("*.json"):
            vouch.unlink()
        self._restart(Faults())
        self._kit.recorder_shows("a clock in doubt", lambda s: s.clock == "doubtful")
        refused = self._refused(PressRefusal.CLOCK_NOT_TRUSTED)
        return f"the recorder starts anew, nobody vouches: {refused}"

    def wrong_vouch(self) -> str:
        told = self._say(Vouch, datetime(1970, 1, 1, tzinfo=UTC))
        require(told == "refused", "1970 was believed")
        return f"not believed, though it is signed: {self._refused(PressRefusal.CLOCK_NOT_TRUSTED)}"

    def hour_changes(self, hours: int) -> str:
        """The local time skips an hour, or repeats one."""
        with _hour_changes(hours, _CHANGES_AFTER) as change:
            self._prepare()
            before = (change - datetime.now(UTC)).total_seconds()
            require(before > 1, "the kit was not armed before the hour changed")
            ended = self._on.film_until(lambda: self._wait_for_film(before + 2), "button")
        self._kept(ended)
        manifest = read_manifest(self._home.recording(ended.recording))
        require(manifest.ended is not None and manifest.ended.ended is not None, "it has no end")
        assert manifest.ended is not None and manifest.ended.ended is not None
        lasted = (manifest.ended.ended - manifest.started.started).total_seconds()
        off = abs(lasted - manifest.ended.seconds)
        # The camera opens in between, and the card is closed: seconds, where an hour is looked for.
        require(off < 60, f"from beginning to end it is {lasted:.0f} s by its own times")
        return f"{self._saw(ended)}; its beginning and its end are {lasted:.1f} s apart"

    def clock_set_while_filming(self) -> str:
        """A practitioner's word moves the kit's time by an hour; the film ends when it would."""
        self._prepare()
        found: list[float] = []

        def set_it() -> None:
            self._wait_for_film(3)
            usual = self._kit.recorder_shows("the film", lambda s: s.state == "filming")
            now = datetime.now(UTC)
            require(self._say(Vouch, now + timedelta(hours=1)) == "done", "it was not believed")
            moved = self._kit.recorder_shows(
                "the other time",
                lambda s: s.now is not None and s.now > now + timedelta(minutes=59),
            )
            require(moved.state == "filming", "the film was ended by it")
            ends = (status.boottime + status.remaining for status in (usual, moved))
            found.extend(ends)

        ended = self._on.film_until(set_it, "button")
        self._kept(ended)
        moved = abs(found[1] - found[0])
        require(moved < 0.5, f"its end moved by {moved:.1f} s")
        # Put right as a person does: with nothing armed, and a press.
        self._home.permit.unlink()
        told = self._say(Correction, datetime.now(UTC))
        require(told == "done", f"the time was not put right: {told}")
        return f"an hour later: {self._saw(ended)}; its end moved by {moved:.1f} s"

    def sound_stops(self) -> str:
        self._prepare("sound-stops")
        ended, lasted = self._ended_by("sound-failed")
        kept = self._kept(ended)
        noticed = lasted - self._kit.config.faults.after
        require(noticed <= SOUND_NOTICED + _SPARE, f"it took {noticed:.1f} s")
        require(kept.sound_seconds < kept.seconds - 3, "the sound did not stop")
        return f"{self._saw(ended)}; noticed after {noticed:.1f} s"

    def sound_drifts(self) -> str:
        self._prepare(sound_ppm=1000.0, sound_lost=0.5)
        ended = self._on.film_until(lambda: self._wait_for_film(11.5), "button")
        if self._on.film:
            return f"{self._saw(ended)}; only the test card shows whether it is in time"
        with BytesIO(self._on.video(ended.recording)) as film:
            apart = av_sync.worst(film, 7)
        require(apart <= APART, f"sound and picture are {1000 * apart:.0f} ms apart")
        return (
            f"1000 ppm fast and half a second lost: beep and flash are {1000 * apart:.0f} ms apart "
            "after it"
        )

    def all_well(self) -> str:
        self._prepare()
        ended = self._on.film_until(lambda: self._wait_for_film(3), "button")
        self._kept(ended)
        return self._saw(ended)

    # --- parts ----------------------------------------------------------------------------------

    def _say(self, kind: type[Vouch] | type[Correction], time: datetime) -> str:
        """What became of a practitioner's signed word for the time; a correction with a press."""
        keys = unlock((self._on.root / "practitioner.key").read_bytes(), self._on.passphrase)
        now, status = SystemClock().read(), self._kit.recorder_shows("the kit", lambda s: True)
        word = kind(kit=status.kit, time=time, boot=now.boot, boottime=now.boottime)
        note = sign_fact(keys.signer, word)
        asks = SetTime if kind is Vouch else CorrectTime
        request = asks(id=new_id(), boot=now.boot, boottime=now.boottime, note=note)
        place_request(self._home, request)
        if kind is Correction:
            self._kit.recorder_shows("presence asked for", lambda s: s.state == "presence")
            self._kit.press()
        over = ("done", "refused", "timed-out")
        told = self._kit.recorder_shows("an answer", lambda s: s.answers.get(request.id) in over)
        return told.answers[request.id]

    def _prepare(self, *happen: Fault, in_vain: bool = False, **sound: float) -> None:
        """Arm the kit with these faults to come; `in_vain`: it will refuse to be ready."""
        self._restart(Faults(happen=happen, **sound))
        if self._kit.recorder_shows("its clock", lambda s: True).clock != "trusted":
            expect(self._on.page.submit("/cases", {}, form="/lock"), 200)
            expect(self._on.page.submit("/unlock", {"passphrase": self._on.passphrase}), 200)
            self._kit.recorder_shows("a trusted clock", lambda s: s.clock == "trusted")
        if in_vain:
            expect(self._on.page.submit(f"/cases/{self._on.case}/arm", ARMING), 200)
            loaded = ("", PressRefusal.CAMERA_LOADING.value)
            self._kit.recorder_shows(
                "why not", lambda s: s.state == "idle" and s.reason not in loaded
            )
        else:
            self._on.arm()

    def _restart(self, faults: Faults) -> None:
        self._kit.configure(faults=faults)
        if self._kit.runs("recorder"):
            self._kit.stop("recorder")
        now = SystemClock().read().boottime
        self._kit.start("recorder")
        self._kit.recorder_shows("the recorder again", lambda s: s.boottime > now, 20)

    def _wait_for_film(self, seconds: float) -> None:
        self._kit.recorder_shows(
            f"{seconds} s of film", lambda s: s.limit - s.remaining > seconds, seconds + 10
        )

    def _ended_by(self, why: str, seconds: float = 20) -> tuple[RecorderStatus, float]:
        """Film until it ends by itself; how it ended, and how many seconds it took."""
        self._on.begin()
        began = time.monotonic()
        ended = self._fault(why, seconds)
        return ended, time.monotonic() - began

    def _fault(self, why: str, seconds: float) -> RecorderStatus:
        ended = self._kit.recorder_shows("a fault", lambda s: s.state == "fault", seconds)
        require(ended.reason == why, f"it says {ended.reason}, not {why}")
        require(ended.light == "fault", f"the light shows {ended.light}")
        require(ended.ended == why, f"the film was ended by {ended.ended}")
        return ended

    def _refused(self, reason: PressRefusal) -> str:
        before = films(self._home)
        # A press while an earlier refusal is being shown is not answered anew.
        self._kit.recorder_shows("rest", lambda s: s.state != "refused")
        self._kit.press()
        status = self._kit.recorder_shows(
            "a refusal", lambda s: s.state == "refused" and bool(s.reason)
        )
        require(status.reason == reason.value, f"the reason given was {status.reason}")
        require(status.light == "refused", f"the light shows {status.light}")
        require(films(self._home) == before, "a film was begun")
        return f"light: {status.light}; {self._words(reason.value)}; no film was begun"

    def _kept(self, ended: RecorderStatus) -> Seen:
        """The film as the page opens it, which must be what was sealed, frame by frame."""
        found = Seen.of(self._on.video(ended.recording))
        require(
            found.frames == ended.frames_out,
            f"{found.frames} frames open, {ended.frames_out} were sealed",
        )
        return found

    def _saw(self, film: RecorderStatus) -> str:
        told = f"{film.frames_in} frames in, {film.frames_out} sealed, and so many open"
        if film.reason:
            return f"light: {film.light}; {self._words(film.reason)}; {told}"
        return f"{told}; ended by {film.ended}"

    def _words(self, code: str) -> str:
        """A code, and what the page says for it."""
        found = re.search(r'id="line-reason"[^>]*>([^<]*)<', self._on.page.get("/cases").text)
        words = html.unescape(found[1]).strip() if found else ""
        require(len(words.split()) > 3, f"the page has no words for {code}")
        return f"{code}: {words}"


@contextmanager
def _hour_changes(hours: int, seconds: float) -> Iterator[datetime]:
    """Summer time begins (1) or ends (-1) in so many seconds for processes started inside. Yields
    the time of the change."""
    now = datetime.now(UTC)
    standard = now.replace(hour=12, minute=0) + timedelta(seconds=seconds)
    # POSIX.1-2017, 8.3: days count from 0, each time is by the clock that is in force then.
    other = (standard.timetuple().tm_yday + 180) % 365
    clock = standard if hours > 0 else standard + timedelta(hours=1)
    change = f"{clock.timetuple().tm_yday - 1}/{clock:%H:%M:%S}"
    rules = f"{change},{other}/0" if hours > 0 else f"{other}/0,{change}"
    with local_time(f"{at_midday(now)}<summer>,{rules}"):
        yield now + timedelta(seconds=seconds)


def rehearse(
    film: Path | None, kinds: tuple[FaultKind, ...], show: Callable[[Step], None]
) -> tuple[bool, list[Step]]:
    """Bring about these faults in a temporary home and say what was seen.

    `film` is the scene (None: the test card). Raises KitError only for what makes a rehearsal
    impossible; a broken promise is an answer.
    """
    with tempfile.TemporaryDirectory(prefix="attune-rehearsal-") as root:
        rehearsal = Rehearsal(Path(root), film, _LIMIT, [], show)
        return FaultRehearsal(rehearsal, kinds).run(), rehearsal.steps
