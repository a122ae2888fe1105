"""The page as a browser meets it: a sealed film against the same film in clear from nginx.

Real Chromium, real TLS, a film of 45 minutes at 1080p; both are opened alike, as a document of
their own, without anything remembered from before. Frames are told by the numbers burned into them.
"""

import contextlib
import random
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from appliance.age.recipients import parse_recipient
from appliance.bench import Row, films, in_turn, median_ratio, need, row
from appliance.bench.browser import chromium
from appliance.bench.films import RATE
from appliance.casework.consent import PURPOSES, Consent, Person
from appliance.config import Config
from appliance.errors import NotPossible
from appliance.film.manifest import manifest_lines
from appliance.film.recording import open_recording, write_film
from appliance.records.files import new_id
from appliance.records.signing import Signer
from appliance.selftest.kit import Kit, free_port, is_taken, spawn, wait_for
from appliance.selftest.visit import Visit
from appliance.vault.cases import Cases, Details
from appliance.vault.passphrases import make_passphrase

MINUTES = 45
PLACE = 40 * 60
"""Seconds of the film that are sought."""
TIMES, EXACT, PAIRS, STEADY = 20, 50, 80, 40
REST = 0.25
"""Seconds from one seek to the next where two look: a browser decodes and reads ahead for a while
after a picture stands, and this must not count for what follows."""
FEW, MANY, FILMS_EACH = 5, 500, 10
HEAVIEST, MEMORY = 400, 120
"""kB that the first page may weigh, MiB that the web process may take."""

_NGINX = """
user root; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log; worker_processes 2;
events {{ }}
http {{
  types {{ video/mp4 mp4; }}
  access_log off; sendfile on;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {keys}/tls.crt; ssl_certificate_key {keys}/tls.key;
    root {folder}/plain; add_header Cache-Control no-store;
  }}
}}
"""

_SHOWN = """video => new Promise((done, fail) => {
  video.pause();
  const failed = () => fail(video.error.message);
  if (video.error) failed();
  if (video.readyState >= video.HAVE_CURRENT_DATA) done();
  video.addEventListener("loadeddata", done, { once: true });
  video.addEventListener("error", failed, { once: true });
})"""
_SEEK = """(video, seconds) => new Promise((done, fail) => {
  const began = performance.now();
  video.addEventListener("error", () => fail(video.error.message), { once: true });
  video.requestVideoFrameCallback(() => done(performance.now() - began));
  video.currentTime = seconds;
})"""
_NUMBER = """video => {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  const pen = canvas.getContext("2d");
  pen.drawImage(video, 0, 0);
  let number = 0;
  for (let place = 2; place < 26; place++) {
    const x = Math.floor((place + 0.5) * canvas.width / 34);
    number = 2 * number + (pen.getImageData(x, canvas.height / 24, 1, 1).data[0] > 128);
  }
  return number;
}"""
_THERE = """video => {
  window.there = new Promise((done) => video.addEventListener("seeked", done, { once: true }));
}"""


def rows() -> list[Row]:
    """Every measure of the part. Takes about ten minutes and 4 GiB in the temporary directory.

    Raises NotPossible where Chromium, Playwright or nginx is missing.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="attune-bench-")))
        browser = stack.enter_context(chromium())
        bench = _Bench(folder, browser, stack)
        found = [*bench.against_nginx(), bench.exact(), *bench.viewers_and_memory()]
        return [*found, bench.weight(), bench.home_page()]


class _Bench:
    def __init__(self, folder: Path, browser: Any, stack: contextlib.ExitStack) -> None:
        self._dice = random.Random(7)  # noqa: S311 - places to look at
        self._browser = browser
        self._folder = folder
        config = Config(
            home=str(folder / "home"), run=str(folder / "run"), camera="scene", port=free_port()
        )
        self._kit = stack.enter_context(Kit(config, folder / "logs"))
        self._visit = Visit.begin(self._kit)
        self._film = self._put_film()
        self._passphrase = make_passphrase()
        _let_in(self._visit, self._passphrase)
        self._kit.start("web")
        self._kit.page()
        self._ours = f"https://127.0.0.1:{config.port}"
        self._theirs = f"https://127.0.0.1:{stack.enter_context(_nginx(folder, self._kit))}"
        self._context = browser.new_context(ignore_https_errors=True)
        self._unlock()
        self._address = f"{self._ours}/cases/{self._visit.case.id}/films/{self._film}"

    # --- What is looked at ----------------------------------------------------------------------

    def _put_film(self) -> str:
        """The film, sealed to the case on the kit, and in clear for nginx. Returns its name."""
        raw, plain = self._folder / "raw.mp4", self._folder / "plain"
        films.make((raw, MINUTES))
        case, kit = self._visit.case, self._kit
        name, recipient = new_id(), parse_recipient(case.record.recipient)
        signer = Signer.parse(kit.home.signing_key.read_text())
        started = films.beginning(name, recipient, case.id, self._visit.status.kit)
        films.keep(raw, kit.home.recording(name), recipient, started, signer.sign)
        raw.unlink()
        plain.mkdir()
        opened = open_recording(kit.home.recording(name), case.identities, [signer.verifier])
        with contextlib.closing(opened), (plain / "film.mp4").open("wb") as file:
            write_film(opened, file)
        return name

    def _unlock(self) -> None:
        page = self._context.new_page()
        page.goto(f"{self._ours}/unlock")
        page.fill("#passphrase", self._passphrase)
        page.get_by_role("button", name="Unlock").click()
        page.wait_for_url("**/cases")
        page.close()

    # --- Time -----------------------------------------------------------------------------------

    def against_nginx(self) -> list[Row]:
        """From asking for the film to its first picture, and from there to minute 40."""
        sought: dict[str, list[float]] = {}

        def opening(address: str) -> float:
            page = self._context.new_page()
            began = time.perf_counter()
            page.goto(address, wait_until="commit")
            video = page.locator("video")
            video.evaluate(_SHOWN)
            first = time.perf_counter() - began
            # Nothing of the place is there yet, and never the very same one.
            place = PLACE + self._dice.random() * 20
            sought.setdefault(address, []).append(video.evaluate(_SEEK, place))
            page.close()
            return first

        ours, theirs = f"{self._address}/video", f"{self._theirs}/film.mp4"
        taken = in_turn(lambda: opening(ours), lambda: opening(theirs), times=TIMES)
        places = sought[ours][1:], sought[theirs][1:]
        against = "the same film in clear from nginx"
        return [
            row("first picture", against, median_ratio(*taken), "<= 1.30"),
            row("seek to 40:00", against, median_ratio(*places), "<= 1.30"),
        ]

    def exact(self) -> Row:
        """The page's own player: the frame of a typed time, and one step on from it."""
        page = self._film_page()
        video = page.locator("#player video")
        right = 0
        for _ in range(EXACT):
            frame = self._dice.randrange(MINUTES * films.MINUTE - 1)
            minutes, rest = divmod(int(1000 * frame / RATE), 60_000)
            page.fill("#start", f"{minutes}:{rest / 1000:06.3f}")
            page.locator("h1").click()
            seen = []
            for key in ("[", "."):
                video.evaluate(_THERE)
                page.keyboard.press(key)
                page.evaluate("() => window.there")
                seen.append(video.evaluate(_NUMBER))
            right += seen == [(frame + step) % films.MINUTE for step in (0, 1)]
        page.close()
        what = f"{EXACT} random places, and a step on from each"
        return row("frames exact", what, right / EXACT, ">= 1.00")

    def viewers_and_memory(self) -> list[Row]:
        """One viewer, in turn alone and beside another who seeks at the same moment."""
        first, second = self._viewer(), self._viewer()
        alone, beside = [], []
        for _ in range(PAIRS):
            time.sleep(REST)
            alone.append(self._seek(first))
            time.sleep(REST)
            second.evaluate(_THERE)
            place = self._dice.random() * (60 * MINUTES - 10)
            second.evaluate("(video, seconds) => { video.currentTime = seconds; }", place)
            beside.append(self._seek(first))
            second.evaluate("() => window.there")
        before = self._memory()
        for _ in range(STEADY):
            self._seek(first)
        after = self._memory()
        first.page.context.close()
        second.page.context.close()
        ratio = statistics.median(beside) / statistics.median(alone)
        return [
            row("seek while another viewer seeks", "alone", ratio, "<= 1.50"),
            row("memory of the web process", f"{MEMORY} MiB", after / MEMORY, "<= 1.00"),
            row(f"memory after {STEADY} seeks more", "before", after / before, "<= 1.05"),
        ]

    def _viewer(self) -> Any:
        # In a window of its own: one that is behind another is shown once a second at most.
        context = self._browser.new_context(
            ignore_https_errors=True, storage_state=self._context.storage_state()
        )
        page = context.new_page()
        page.goto(f"{self._address}/video", wait_until="commit")
        video = page.locator("video")
        video.evaluate(_SHOWN)
        return video

    def _seek(self, video: Any) -> float:
        taken: float = video.evaluate(_SEEK, self._dice.random() * (60 * MINUTES - 10))
        return taken

    def _film_page(self) -> Any:
        """The page of the film, when it has been looked through."""
        page = self._context.new_page()
        page.goto(self._address)
        page.locator("#timeline").wait_for()
        page.locator("#glance-making").wait_for(state="hidden", timeout=300_000)
        return page

    def _memory(self) -> float:
        """MiB of the web process and its worker; what they share counts once."""
        web = self._kit.pid("web")
        processes, rolled = [web], []
        for pid in processes:
            try:
                rolled.append(Path(f"/proc/{pid}/smaps_rollup").read_text())
                for children in Path(f"/proc/{pid}/task").glob("*/children"):
                    processes += map(int, children.read_text().split())
            except (FileNotFoundError, ProcessLookupError):
                # A decoder of a filmstrip may end meanwhile. Without the web process nothing is
                # measured.
                if pid == web:
                    raise
        return sum(int(re.findall(r"^Pss: +(\d+)", text, re.M)[0]) for text in rolled) / 1024

    # --- Pages ----------------------------------------------------------------------------------

    def weight(self) -> Row:
        """Bytes of the front page of a browser that was never here before, and from where."""
        context = self._browser.new_context(ignore_https_errors=True)
        page = context.new_page()
        weights: list[int] = []
        page.on("response", lambda answer: weights.append(len(answer.body())))
        elsewhere: list[str] = []
        page.on("request", lambda asked: elsewhere.append(asked.url))
        page.goto(f"{self._ours}/unlock", wait_until="networkidle")
        context.close()
        if any(not url.startswith((self._ours, "data:")) for url in elsewhere):
            raise NotPossible("The page asked another host for something.")
        return row("first load", f"{HEAVIEST} kB", sum(weights) / 1000 / HEAVIEST, "<= 1.00")

    def home_page(self) -> Row:
        """The list of cases with many, and with few."""

        def opening() -> float:
            page = self._context.new_page()
            began = time.perf_counter()
            page.goto(f"{self._ours}/cases", wait_until="load")
            taken = time.perf_counter() - began
            page.close()
            return taken

        self._add_cases(FEW - 1)
        opening()
        few = [opening() for _ in range(TIMES)]
        self._add_cases(MANY - FEW)
        opening()
        many = [opening() for _ in range(TIMES)]
        ratio = statistics.median(many) / statistics.median(few)
        what = f"home page with {MANY} cases and {MANY * FILMS_EACH} films"
        return row(what, f"with {FEW}", ratio, "<= 1.50")

    def _add_cases(self, count: int) -> None:
        """More cases, each with its films; of a film what counts here is that it is listed."""
        home, visit = self._kit.home, self._visit
        signer = Signer.parse(home.signing_key.read_text())
        whole = (home.recording(self._film) / "manifest").read_text().split("\n")
        for number in range(count):
            details = Details(label=f"Family {number}", check_word="harbour")
            made = Cases(home).create(
                details, visit.keys, visit.service.chain, [visit.keys.signer.verifier]
            )
            recipient = parse_recipient(made.record.recipient)
            for _ in range(FILMS_EACH):
                name = new_id()
                home.recording(name).mkdir()
                started = films.beginning(name, recipient, made.id, visit.status.kit)
                text = manifest_lines(started) + "\n".join(whole[1:3]) + "\n"
                (home.recording(name) / "manifest").write_text(signer.sign(text))


def _let_in(visit: Visit, passphrase: str) -> None:
    """What the page would have written: the practitioner's key, and what the family agreed to."""
    visit.let_in(passphrase)
    now = datetime.now(UTC)
    parent = Person(
        pii_principal_id=new_id(),
        name="nobody",
        relation="parent",
        speaks_as="adult",
        on_behalf_of="nobody's child",
        authority="parent",
        purposes=PURPOSES,
    )
    visit.case.write(
        Consent(
            record_id=new_id(),
            privacy_notice="bench",
            people=(parent,),
            limit=60 * MINUTES,
            valid_until=now + timedelta(days=1),
            retention_period=60,
            language="English",
            interpreter="",
            worries="",
            positive_choice=True,
            given="signed",
            witness="",
            event_time=now,
        )
    )


@contextlib.contextmanager
def _nginx(folder: Path, kit: Kit) -> Iterator[int]:
    """nginx with the film in clear and the kit's own certificate; gives the port it listens at."""
    program, port = need("nginx"), free_port()
    settings = folder / "nginx.conf"
    settings.write_text(_NGINX.format(folder=folder, port=port, keys=kit.home.keys))
    running = spawn([program, "-c", str(settings)], folder / "nginx.out")
    try:
        wait_for("nginx answers", lambda: is_taken(port), 10)
        yield port
    finally:
        running.terminate()
        running.wait(10)
