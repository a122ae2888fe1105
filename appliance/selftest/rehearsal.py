"""A whole visit without a family, through the real processes, saying what was seen at each step.

Every step checks what it claims. The first thing that is not as promised ends the rehearsal with
exit status 1.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec.structs import replace

from appliance.age.keyfile import load_identities
from appliance.errors import KitError
from appliance.protocol.status import RecorderStatus
from appliance.records.files import Home, lines, save
from appliance.selftest.browser import Answer
from appliance.selftest.consenting import Said
from appliance.selftest.consenting import consent as talk_through
from appliance.selftest.kit import Kit, at_midday, local_time, scene_config, wait_for
from appliance.selftest.seen import PromiseBroken, Seen, Step, Trial, require
from appliance.vault.passphrases import make_passphrase

LABEL = "Rehearsal: nobody's family"
CHECK_WORD = "lantern"
ARMING = {"word": CHECK_WORD, "here": "these", "films": "3"}
"""What the page asks before a film. It takes word and people only where it asks for them."""
GOAL = "I would like to notice when she starts something herself"
PERSON = "Person in the rehearsal"
CHILD = "Child in the rehearsal"
SECRETS = (LABEL, GOAL, PERSON, CHILD)
"""Words that must be found in no file of the kit and nothing at the service."""

PRESSED_FILM = 6.0
"""Seconds until the film that a press ends is ended."""

WORST_LOSS = 1.0
"""Seconds of film that a pulled plug may cost."""


class Rehearsal(Trial):
    """A visit, and what is known as it goes along."""

    def __init__(
        self,
        root: Path,
        film: Path | None,
        limit: int,
        stock_age: list[str],
        show: Callable[[Step], object],
    ) -> None:
        """`limit` of each film, in seconds."""
        super().__init__(show)
        self.root, self.film, self.limit = root, film, limit
        self._stock_age = stock_age
        self.store = self.root / "service"
        self.keys = self.root / "service-keys"
        self.passphrase = make_passphrase()
        config = scene_config(self.root, self.film, self.store)
        self.kit = Kit(replace(config, segment_seconds=5), self.root / "logs")
        self.home = self.kit.home

    def run(self, visit: Callable[[], None] | None = None) -> bool:
        """Walk through the visit, or another. True if every promise was kept."""
        with local_time(at_midday(datetime.now(UTC))), self.kit:
            try:
                (visit or self._visit)()
            except KitError:
                return False  # The last of `steps` says why.
        return True

    def get_ready(self) -> None:
        """What every visit begins with."""
        self.step("keys are made", self.make_keys)
        self.step("the processes start", self.start)
        self.step("first set-up, with a press", self.set_up)
        self.step("unlock, and the time is vouched for", self.unlock)

    def _visit(self) -> None:
        self.get_ready()
        self.step("a press without agreement films nothing", self.press_unarmed)
        self.step("a case with a goal and a consent", self.make_case)
        self.step("the kit is armed", self.arm)
        self.step("a press films, a press ends it", self.film_and_press)
        self.step("a film ends at its limit", self.film_to_limit)
        self.step("the plug is pulled while filming", self.pull_the_plug)
        self.step("what the plug cut is mended at the next unlock", self.mend)
        self.step("the film plays and seeks on the page", self.play)
        self.step("a clip is cut exactly", self.cut)
        self.step("nothing lies in the open", self.search_for_secrets)
        self.step("everything is sent, still sealed", self.send)
        self.step("the service opens the film", self.open_at_service)
        self.step("a stock age opens each segment", self.open_with_stock_age)
        self.step("the family withdraws", self.withdraw)
        self.step("the withdrawal reaches the service", self.withdraw_at_service)
        self.step("no copy opens any more", self.open_after_withdrawal)

    # --- steps ----------------------------------------------------------------------------------

    def make_keys(self) -> str:
        self.keys.mkdir(mode=0o700)
        (self.keys / "practitioners").mkdir()
        self.store.mkdir()
        phrase = self.root / "passphrase"
        save(phrase, self.passphrase.encode(), mode=0o600)
        service = self.keys / "service.key"
        attune("keygen", "--role", "service", "-o", str(service))
        attune(
            "keygen", "--passphrase-file", str(phrase), "-o", str(self.root / "practitioner.key")
        )
        phrase.unlink()
        self.card = self.root / "practitioner.key.pub"
        shutil.copy(self.card, self.keys / "practitioners")
        attune("base", str(self.store), "-i", str(self.keys), "--new", "--once")
        kind = "post-quantum" if b"age1pq1" in self.card.read_bytes() else "X25519"
        return f"service and practitioner, {kind}; the practitioner's under a passphrase"

    def start(self) -> str:
        began = time.monotonic()
        self.kit.start("recorder")
        self.kit.start("web")
        status = self.kit.recorder_shows("the recorder idle", lambda s: s.state == "idle", 20)
        self.page = self.kit.page()
        return f"recorder and page ready in {time.monotonic() - began:.1f} s, light {status.light}"

    def set_up(self) -> str:
        shown = self.kit.set_up(
            self.page,
            (self.keys / "service.key.pub").read_text(),
            (self.root / "practitioner.key").read_bytes(),
            self.passphrase,
        )
        require(
            not secret_of(self.keys / "service.key", self.home.root),
            "the service's key is on the kit",
        )
        return f"light: {shown.light}; enrolled by a press; the service's key is nowhere on the kit"

    def unlock(self) -> str:
        wrong = self.page.submit("/unlock", {"passphrase": "not the right one"})
        require(
            wrong.status in (400, 401, 403, 422, 429), f"a wrong passphrase gave {wrong.status}"
        )
        time.sleep(1.1)
        expect(self.page.submit("/unlock", {"passphrase": self.passphrase}), 200)
        status = self.kit.recorder_shows("a trusted clock", lambda s: s.clock == "trusted")
        return f"a wrong passphrase was refused ({wrong.status}); clock {status.clock}"

    def press_unarmed(self) -> str:
        self.kit.press()
        status = self.kit.recorder_shows("a refusal", lambda s: bool(s.reason))
        require(status.reason == "no-permit", f"the reason given was {status.reason}")
        require(status.frames_in == 0 and not films(self.home), "a film was begun")
        return f"refused: {status.reason}; no camera, no file"

    def make_case(self) -> str:
        made = self.page.submit("/cases/new", {"label": LABEL, "check_word": CHECK_WORD})
        expect(made, 200)
        self.case = made.path.rstrip("/").split("/")[2]
        expect(self.page.submit(f"/cases/{self.case}/goals", {"goal": GOAL}), 200)
        until = (datetime.now(UTC) + timedelta(days=90)).date().isoformat()
        consent: Said = {
            "people-0-name": PERSON,
            "people-0-relation": "parent",
            "people-0-authority": "parent",
            "people-0-child": CHILD,
            "people-0-purposes": ["filming"],
            "limit": "custom",
            "limit_seconds": str(self.limit),
            "valid_until": until,
            "language": "English",
            "given": "signed",
            "choice": "y",
        }
        expect(talk_through(self.case, consent, self.page.get, self.page.send), 200)
        return f"case {self.case}, one goal, consent to filming for {self.limit} s at a time"

    def arm(self) -> str:
        expect(self.page.submit(f"/cases/{self.case}/arm", ARMING), 200)
        status = self.kit.recorder_shows("ready", lambda s: s.state == "ready")
        return f"light: {status.light}"

    def film_and_press(self) -> str:
        self.pressed = self.film_until(
            lambda: time.sleep(min(PRESSED_FILM, self.limit * 0.6)), "button"
        )
        return self._told(self.pressed)

    def film_to_limit(self) -> str:
        self.whole = self.film_until(lambda: None, "limit")
        return self._told(self.whole)

    def pull_the_plug(self) -> str:
        self.kit.recorder_shows("ready", lambda s: s.state == "ready")
        self.kit.press()
        filming = self.kit.recorder_shows(
            "a few seconds of film", lambda s: s.state == "filming" and s.limit - s.remaining > 4
        )
        time.sleep(0.3)
        last = self.kit.status() or filming
        self.kit.pull_the_plug("recorder")
        self.kit.start("recorder")
        after = self.kit.recorder_shows(
            "the recorder again", lambda s: s.boottime > last.boottime, 20
        )
        require(after.state != "filming", "it went on filming by itself")
        self.cut_short = self.home.recording(filming.recording)
        opened = self.page.get(f"/cases/{self.case}/films/{filming.recording}")
        expect(opened, 200)
        found = Seen.of(self.video(filming.recording))
        missing = last.frames_in / found.rate - found.seconds
        require(missing <= WORST_LOSS, f"{missing:.2f} s were lost")
        return (
            f"{last.frames_in} frames were filmed, {found.frames} play: "
            f"{max(missing, 0.0):.2f} s lost; it did not go on by itself"
        )

    def mend(self) -> str:
        before = Seen.of(self.video(self.cut_short.name))
        files = {path: path.read_bytes() for path in self.cut_short.iterdir()}
        expect(self.page.submit("/cases", {}, form="/lock"), 200)
        expect(self.page.submit("/unlock", {"passphrase": self.passphrase}), 200)
        derived = self.home.case(self.case).derived / self.cut_short.name
        wait_for("the mended end", lambda: next(iter(derived.glob("*.mended")), None), 20)
        expect(self.page.get(f"/cases/{self.case}/films/{self.cut_short.name}"), 200)
        found = Seen.of(self.video(self.cut_short.name))
        require(found == before, f"{found.frames} frames play now, {before.frames} before")
        same = files == {path: path.read_bytes() for path in self.cut_short.iterdir()}
        require(same, "the recorder's own files were changed")
        return f"{found} play from the mended end; the recorder's own files are untouched"

    def play(self) -> str:
        recording = self.whole.recording
        url = f"/cases/{self.case}/films/{recording}/video"
        head = self.page.get(url, method="HEAD")
        expect(head, 200)
        size = int(head.headers["Content-Length"])
        middle = self.page.get(url, {"Range": f"bytes={size // 2}-{size // 2 + 99_999}"})
        expect(middle, 206)
        past = self.page.get(url, {"Range": f"bytes={size + 5}-"})
        expect(past, 416)
        data = self.video(recording)
        require(
            data[size // 2 : size // 2 + 100_000] == middle.body, "a part differs from the whole"
        )
        found = Seen.of(data)
        require(
            found.frames == self.whole.frames_out, f"{found.frames} of {self.whole.frames_out} play"
        )
        return f"{found}; a part from the middle fits the whole; past the end is refused"

    def cut(self) -> str:
        start, end = 1.5, min(4.25, self.limit * 0.5)
        url = f"/cases/{self.case}/films/{self.whole.recording}"
        sent = self.page.submit(
            url,
            {"start": f"{start}", "end": f"{end}", "note": "she turns to him"},
            form=f"{url}/clips",
        )
        expect(sent, 200)
        clips = self.home.case(self.case).clips
        sealed = wait_for(
            "the sealed clip", lambda: next(iter(sorted(clips.glob("*.age"))), None), 60
        )
        clip = sealed.name.partition(".")[0]
        address = f"/cases/{self.case}/clips/{clip}/video"
        answer = wait_for(
            "the clip", lambda: a if (a := self.page.get(address)).status == 200 else None, 20
        )
        source, found = Seen.of(self.video(self.whole.recording)), Seen.of(answer.body)
        # What stands at the first mark is seen from there on; marks are told in thousandths.
        stands = max(t for t in source.times if t < start + 0.001)
        expected = [t for t in source.times if stands <= t < end]
        require(found.frames == len(expected), f"{found.frames} frames, not {len(expected)}")
        return f"{start} to {end} s: {found.frames} frames, each one seen between the marks"

    def search_for_secrets(self) -> str:
        searched = 0
        for place in (self.home.root, self.home.run, self.root / "logs"):
            for path in place.rglob("*"):
                if path.is_file():
                    data = path.read_bytes()
                    searched += len(data)
                    for secret in (*SECRETS, self.passphrase):
                        require(secret.encode() not in data, f"{path.name} holds words of the case")
                    require(b"AGE-SECRET-KEY-" not in data, f"{path.name} holds a key in clear")
        return f"{searched:,} bytes of the kit searched for names, words, keys and the passphrase"

    def send(self) -> str:
        self._sync()
        sent = [p for p in (self.store / "cases" / self.case).rglob("*") if p.is_file()]
        receipts = [p for p in self.home.receipts.rglob("*.json") if p.is_file()]
        here = {p.name: p.read_bytes() for p in self.home.recording(self.whole.recording).iterdir()}
        there = self._at_service(self.whole.recording)
        require(here == {p.name: p.read_bytes() for p in there.iterdir()}, "what arrived differs")
        return f"{len(sent)} sealed files there, {len(receipts)} receipts, byte for byte the same"

    def open_at_service(self) -> str:
        whole, _ = self._open(self.whole.recording, 0)
        require(whole.frames == self.whole.frames_out, f"{whole.frames} frames came out")
        part, said = self._open(self.cut_short.name, 3)
        return f"{whole}; the film that the plug cut short: {part} ({lines(said)[0]})"

    def open_with_stock_age(self) -> str:
        if not self._stock_age:
            return "not tried: no age 1.3 on this computer (--stock-age names one)"
        self.aside = self.root / "kept-aside"
        shutil.copytree(self._at_service(self.whole.recording), self.aside)
        service = self.keys / "service.key"
        # The case's key is opened by stock age as well, so that nothing of ours is in the way.
        case = self.store / "cases" / self.case
        identity = self._stock(service, next(iter(sorted(case.glob("identity-*.age")))))
        if identity is None:
            raise PromiseBroken("Stock age did not open the case's key.")
        with tempfile.NamedTemporaryFile(dir=self.root) as case_key:
            case_key.write(identity)
            case_key.flush()
            frames = 0
            segments = sorted(self.aside.glob("[0-9]*.mp4.age"))
            for segment in segments:
                film = self._stock(Path(case_key.name), segment)
                if film is None:
                    raise PromiseBroken(f"Stock age did not open {segment.name}.")
                frames += Seen.of(film).frames
        require(frames == self.whole.frames_out, f"{frames} frames came out of the segments")
        return f"{len(segments)} segments, each a film of its own, {frames} frames in all"

    def withdraw(self) -> str:
        self.copy = self.root / "copy-of-film"
        shutil.copytree(
            self.home.recording(self.whole.recording),
            self.copy / "recordings" / self.whole.recording,
        )
        done = self.page.submit(f"/cases/{self.case}/withdraw", {"confirm": "y"})
        expect(done, 200)
        left = list(self.home.case(self.case).glob("identity-*"))
        require(not left, "the key is still here")
        gone = self.page.get(
            f"/cases/{self.case}/films/{self.whole.recording}/video", {"Range": "bytes=0-99"}
        )
        require(gone.status in (404, 410), f"the film still answers {gone.status}")
        return f"the key is gone from the kit at once; a player's next request gets {gone.status}"

    def withdraw_at_service(self) -> str:
        self._sync()
        attune("base", str(self.store), "-i", str(self.keys), "--once")
        left = list((self.store / "cases" / self.case).glob("identity-*"))
        require(not left, "the key is still at the service")
        self._sync()
        page = self.page.get(f"/cases/{self.case}/certificate")
        expect(page, 200)
        require(
            "<time" in page.text, "the certificate does not say when the service removed its key"
        )
        return "key removed at the service, its signed answer is on the certificate"

    def open_after_withdrawal(self) -> str:
        service = self.keys / "service.key"
        out = self.root / "never.mp4"
        for place in (
            self.copy / "recordings" / self.whole.recording,
            self._at_service(self.whole.recording),
        ):
            attune("open", str(place), "-i", str(service), "-o", str(out), status=1)
        require(not out.exists(), "a film was written")
        tried = "attune open refused twice"
        if self._stock_age:
            for segment in sorted(self.aside.glob("[0-9]*.mp4.age")):
                require(self._stock(service, segment) is None, f"{segment.name} still opens")
            tried += ", stock age refused every segment"
        return f"{tried}, with the service's own key"

    # --- parts ----------------------------------------------------------------------------------

    def film_until(self, meanwhile: Callable[[], None], why: str) -> RecorderStatus:
        """Film while something happens; how the film ended, which must be `why`."""
        self.kit.recorder_shows("ready", lambda s: s.state == "ready")
        began = self.begin()
        meanwhile()
        if why == "button":
            self.kit.press()
        ended = self.kit.recorder_shows(
            f"the film ended by {why}",
            lambda s: s.recording == began.recording and bool(s.ended) and s.state != "filming",
            self.limit + 20,
        )
        require(ended.ended == why, f"the film was ended by {ended.ended}")
        require(
            ended.frames_in == ended.frames_out > 0,
            f"{ended.frames_in} frames in, {ended.frames_out} out",
        )
        return ended

    def begin(self) -> RecorderStatus:
        """Press, and see the light of a film."""
        self.kit.press()
        began = self.kit.recorder_shows("filming", lambda s: s.state == "filming")
        require(began.lit, "it filmed with the light off")
        return began

    @staticmethod
    def _told(film: RecorderStatus) -> str:
        times_ms = ", ".join(
            f"{name.replace('_', ' ')} {value:.0f} ms"
            for name, value in sorted(film.timings_ms.items())
        )
        return (
            f"{film.frames_in} frames in, {film.frames_out} out, {film.segments} segments, "
            f"{film.bytes_sealed:,} bytes sealed; {times_ms}; ended by {film.ended}"
        )

    def video(self, recording: str) -> bytes:
        answer = self.page.get(f"/cases/{self.case}/films/{recording}/video")
        expect(answer, 200)
        return answer.body

    def _sync(self) -> None:
        done = self.kit.run("sync", "--once")
        require(done.returncode == 0, f"sync ended with {done.returncode}: {done.stderr[-500:]}")

    def _open(self, recording: str, status: int) -> tuple[Seen, str]:
        """Open a film at the service with the service's key, as a person there would."""
        out = self.root / f"{recording}.mp4"
        source = str(self._at_service(recording))
        service = str(self.keys / "service.key")
        said = attune("open", source, "-i", service, "-o", str(out), status=status)
        return Seen.of(out.read_bytes()), said

    def _at_service(self, recording: str) -> Path:
        return self.store / "cases" / self.case / "recordings" / recording

    def _stock(self, identity: Path, sealed: Path) -> bytes | None:
        """What a stock age gives for a sealed file, or None if it refuses."""
        done = subprocess.run(
            [*self._stock_age, "-d", "-i", str(identity), str(sealed)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        return done.stdout if done.returncode == 0 else None


def films(home: Home) -> list[Path]:
    """The recordings on a kit."""
    return sorted(home.recordings.iterdir()) if home.recordings.exists() else []


def secret_of(key_file: Path, place: Path) -> bool:
    """True if a key of `key_file` lies in any file below `place`."""
    secrets = [identity.secret_text().encode() for identity in load_identities(key_file)]
    return any(s in p.read_bytes() for p in place.rglob("*") if p.is_file() for s in secrets)


def expect(answer: Answer, status: int) -> None:
    """Raise PromiseBroken unless the page answered with this status."""
    require(answer.status == status, f"{answer.path} answered {answer.status}, not {status}")


def attune(*words: str, status: int = 0) -> str:
    """Run a command of ours as a person would. Raises PromiseBroken at another exit status."""
    done = subprocess.run(
        [sys.executable, "-m", "appliance", *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = done.stderr.strip() or done.stdout.strip()
    require(
        done.returncode == status, f"attune {words[0]} ended with {done.returncode}: {said[-500:]}"
    )
    require("Traceback" not in done.stderr, f"attune {words[0]} fell over: {said[-500:]}")
    return said


def stock_age(named: str | None) -> list[str]:
    """The command of an age that was not written here and knows the post-quantum type, or []."""
    if named:
        return shlex.split(named)
    found = shutil.which("age")
    if not found:
        return []
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"(\d+)\.(\d+)", said)
    return [found] if version and (int(version[1]), int(version[2])) >= (1, 3) else []


def rehearse(
    film: Path | None, minutes: float, stock: str | None, show: Callable[[Step], None]
) -> tuple[bool, list[Step]]:
    """Walk through a visit in a temporary home and say what was seen.

    `film` is the scene (None: the test card), `minutes` the agreed limit of a film. Raises
    KitError only for what makes a rehearsal impossible; a broken promise is an answer.
    """
    with tempfile.TemporaryDirectory(prefix="attune-rehearsal-") as root:
        rehearsal = Rehearsal(
            Path(root), film, max(10, round(minutes * 60)), stock_age(stock), show
        )
        return rehearsal.run(), rehearsal.steps


def as_json(ok: bool, steps: list[Step]) -> str:
    """The one object that `rehearse --json` prints."""
    return json.dumps({"ok": ok, "steps": [msgspec.to_builtins(step) for step in steps]}, indent=1)
