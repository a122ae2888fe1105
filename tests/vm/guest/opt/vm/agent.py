"""Does inside the machine what a test asks for outside of it, line by line on a serial line.

A line is a JSON object: `do` names one of the methods of `Agent`, the rest are its arguments; the
answer is a line, too. The kit is visited as a rehearsal visits it, with a real button; what the
visit must know again after the plug was pulled lies outside the kit's home.
"""

import json
import os
import subprocess
import sys
import threading
import time
import traceback
import tty
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar

import av
import msgspec

from appliance.config import load_config
from appliance.errors import KitError, NotPossible
from appliance.film.manifest import read_manifest
from appliance.film.recording import open_recording
from appliance.protocol.cards import KitCard
from appliance.protocol.case_record import is_withdrawn
from appliance.protocol.status import RecorderStatus
from appliance.records.files import Home, load_fact
from appliance.selftest.browser import Page
from appliance.selftest.kit import Kit, Process, wait_for
from appliance.selftest.rehearsal import Rehearsal, films
from appliance.vault.cases import open_case_identities
from appliance.vault.keys import unlock
from appliance.verifying import Folder, verify
from firmware.cameras.testcard import read_number

_T = TypeVar("_T")
PINS = Path("/run/vm/pins")
KNOWN = Path("/root/visit")
PACKAGES = ("attune-kit", "attune-kit-scene", "attune-base")
NEWER = tuple(f"/opt/vm/newer/{name}.deb" for name in PACKAGES)
PATIENCE = 12.0
"""How much slower than a kit this machine may be."""
BETWEEN_LOOKS = 0.25
"""Seconds: who looks all the time takes them from those who are waited for."""


class OnUnits(Kit):
    """A kit whose processes are the system's units, and whose button is a line of a real chip."""

    def start(self, process: Process, *options: str) -> None:
        run("systemctl", "start", f"attune-{process}")

    def button(self, edge: Literal["down", "up"]) -> None:
        # The button closes to ground.
        (PINS / "sim_gpio17/pull").write_text("pull-down" if edge == "down" else "pull-up")

    def status(self) -> RecorderStatus | None:
        return unhurried(super().status)()

    def recorder_shows(
        self, what: str, seen: Callable[[RecorderStatus], bool], seconds: float = 10.0
    ) -> RecorderStatus:
        return super().recorder_shows(what, unhurried(seen), PATIENCE * seconds)


def unhurried(look: Callable[..., _T]) -> Callable[..., _T]:
    """The same, but where it has no answer it waits before it says so."""

    def looked(*what: Any) -> _T:
        found = look(*what)
        if not found:
            time.sleep(BETWEEN_LOOKS)
        return found

    return looked


class Visit(Rehearsal):
    """A rehearsal on the kit that is there."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.kit = OnUnits(load_config(Path("/etc/attune/attune.toml")), self.root / "logs")
        self.home: Home = self.kit.home


class Agent:
    def __init__(self) -> None:
        KNOWN.mkdir(mode=0o700, exist_ok=True)
        self._visit = Visit(KNOWN, None, 120, [], lambda step: print(step, file=sys.stderr))
        self._kit = self._visit.kit
        self._home = self._visit.home

    def run(self, words: list[str]) -> dict[str, Any]:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return {"status": done.returncode, "said": done.stdout}

    def await_kit(self) -> dict[str, Any]:
        """Wait until recorder and page are there by themselves; the recorder's status."""
        status = self._kit.recorder_shows("the recorder", lambda s: bool(s.state))
        self._page()
        return msgspec.to_builtins(status)

    def prepare(self) -> None:
        """A visit up to the moment when a press would film."""
        visit = self._visit
        self.await_kit()
        for act in (visit.make_keys, visit.start, visit.set_up, visit.unlock, visit.make_case):
            visit.step(act.__name__, act)
        visit.step("arm", visit.arm)
        (KNOWN / "known.json").write_text(json.dumps([visit.passphrase, visit.case]))
        os.sync()

    def status(self) -> dict[str, Any] | None:
        status = self._kit.status()
        return status and msgspec.to_builtins(status)

    def shows(self, frames: int = 0, since: float = 0.0, **fields: Any) -> dict[str, Any]:
        """Wait until the status has these fields and so many frames on the card, and was written
        `since` then. Raises NotPossible, at once where there is a fault instead."""

        def seen(status: RecorderStatus) -> bool:
            if status.state == "fault" and fields.get("state", "fault") != "fault":
                raise NotPossible(f"A fault instead of {fields}: {status.reason}.")
            return (
                status.frames_out >= frames
                and status.boottime > since
                and all(getattr(status, name) == value for name, value in fields.items())
            )

        return msgspec.to_builtins(self._kit.recorder_shows(f"{fields}", seen))

    def press(self, seconds: float = 0.2) -> None:
        self._kit.press(seconds)

    def lamp(self, seconds: float) -> list[tuple[float, bool]]:
        """What the lamp's line did for so long: each level, and when it began."""
        seen: list[tuple[float, bool]] = []
        began = time.monotonic()
        while (now := time.monotonic() - began) < seconds:
            lit = (PINS / "sim_gpio27/value").read_text().strip() == "1"
            if not seen or seen[-1][1] is not lit:
                seen.append((now, lit))
            time.sleep(0.005)
        return seen

    def probe(self, unit: str) -> dict[str, str]:
        """What came of everything that is tried in a unit's own sandbox; `open` has none."""
        self._sandbox(unit, "/usr/bin/python3 -I /opt/vm/probe.py")
        run("systemctl", "start", "probe.service")
        found: dict[str, str] = json.loads(Path("/run/probe").read_text())
        return found

    def _sandbox(self, unit: str, program: str) -> None:
        """Make a unit `probe.service` of this program in a unit's own sandbox."""
        lines = ["[Service]", "Type=oneshot"]
        if unit != "open":
            ours = Path(f"/usr/lib/systemd/system/{unit}.service").read_text()
            service = ours.partition("[Service]")[2].partition("[Install]")[0]
            # What it runs is the probe's; RemoveIPC would take away what the real unit has.
            taken = ("Exec", "Restart", "Type", "Watchdog", "RemoveIPC")
            lines += [line for line in service.splitlines() if not line.startswith(taken)]
        lines += [
            f"ExecStart={program}",
            "StandardOutput=truncate:/run/probe",
            # Who takes too much memory goes; what it was tried by remains to tell.
            "OOMPolicy=continue",
        ]
        Path("/run/systemd/system/probe.service").write_text("\n".join(lines) + "\n")
        run("systemctl", "daemon-reload")

    def withdraw(self) -> None:
        """Withdraw on the page; returns as soon as the order is on the card, before it is done."""
        url = f"/cases/{self._visit.case}/withdraw"
        submit = partial(self._visit.page.submit, url, {"confirm": "y"})
        threading.Thread(target=submit, daemon=True).start()
        directory = self._home.case(self._visit.case)
        wait_for("the order", lambda: is_withdrawn(directory) or None, 20 * PATIENCE)

    def upgrade(self, until: str) -> None:
        """Begin to install a newer package; returns when dpkg says that it has come so far."""
        words = ("dpkg", "--status-fd", "1", "--install", *NEWER)
        self._dpkg = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert self._dpkg.stdout is not None
        assert any(line.startswith(until) for line in self._dpkg.stdout), until

    def upgraded(self) -> dict[str, Any]:
        """What a kit whose upgrade was cut off has made of it once it has started and has done what
        it can by itself: that takes so slow a machine minutes."""
        while "activating" in self.run(["systemctl", "is-active", "attune-upgrade"])["said"]:
            time.sleep(BETWEEN_LOOKS)
        return {
            "waits": Path("/opt/attune/upgrading").exists(),
            "said": self.run(["journalctl", "--unit=attune-upgrade", "--output=cat"])["said"],
            "packages": self._packages(),
        }

    def install_again(self) -> dict[str, Any]:
        """Install the newer package, as a person would; what dpkg thinks of it then."""
        done = self.run(["dpkg", "--install", *NEWER])
        return {"packages": self._packages(), "said": done["said"]}

    def _packages(self) -> list[str]:
        asked = "${db:Status-Abbrev}${Version}\n"
        query = ["dpkg-query", "--show", f"--showformat={asked}", *PACKAGES]
        said: str = self.run(query)["said"]
        return said.splitlines()

    def look(self) -> dict[str, Any]:
        """What is found on a kit whose plug was pulled, once it is there again by itself."""
        status = self.await_kit()
        passphrase, case = json.loads((KNOWN / "known.json").read_text())
        keys = unlock((KNOWN / "practitioner.key").read_bytes(), passphrase)
        directory = self._home.case(case)
        found: dict[str, Any] = {"state": status["state"], "light": status["light"]}
        found["withdrawn"] = is_withdrawn(directory)
        if found["withdrawn"]:
            left = self._left(directory)
            end = time.monotonic() + 120
            while left and time.monotonic() < end:
                time.sleep(0.5)
                left = self._left(directory)
            found["left"] = left
        else:
            secrets = open_case_identities(directory, [keys.identity])
            found["films"] = [self._film(path, secrets) for path in films(self._home)]
        found |= self._verified()
        return found

    def mend(self) -> dict[str, Any]:
        """Unlock, by which the page mends what the plug cut; everything is verified again."""
        passphrase, _ = json.loads((KNOWN / "known.json").read_text())
        page = self._page()
        answer = page.submit("/unlock", {"passphrase": passphrase})
        self._kit.recorder_shows("a trusted clock", lambda s: s.clock == "trusted")
        return {"unlocked": answer.status, "opened_at": answer.path, **self._verified()}

    def _film(self, directory: Path, secrets: Any) -> dict[str, Any]:
        manifest = read_manifest(directory, [self._key()])
        ended = manifest.ended
        numbers: list[int | None] = []
        words = ""
        try:
            with (
                closing(open_recording(directory, secrets, [self._key()], check=True)) as opened,
                opened.film.open() as file,
                av.open(file) as container,
            ):
                stream = container.streams.video[0]
                numbers = [read_number(frame) for frame in container.decode(stream)]
        except KitError as error:
            words = str(error)
        return {
            "ended": str(ended.why.value) if ended else None,
            "last": numbers[-1] if numbers else -1,
            "gapless": numbers == list(range(len(numbers))),
            "words": words,
        }

    def _left(self, directory: Path) -> list[str]:
        """What of a case should be gone once it was withdrawn."""
        keep = {"withdrawal", "case.json", "withdrawn"}
        left = [path.name for path in directory.iterdir() if path.name not in keep]
        return left + [path.name for path in films(self._home)]

    def _verified(self) -> dict[str, Any]:
        """What `attune verify` finds, without a process of its own."""
        verdict = verify(Folder(self._home.root), [self._key()])
        broken = verdict.broken or not verdict.proven
        return {"verify": int(bool(broken)), "verify_said": verdict.sentence}

    def _key(self) -> Any:
        card = load_fact(self._home.kit / "kit.json", KitCard)
        assert card is not None
        return card.verifying_key()

    def _page(self) -> Page:
        certificate = self._home.keys / "tls.crt"
        wait_for("the certificate", unhurried(certificate.exists), 20 * PATIENCE)
        page = Page(f"https://127.0.0.1:{self._kit.config.port}", certificate)
        wait_for("the page", unhurried(page.answers), 20 * PATIENCE)
        return page


def run(*words: str) -> None:
    subprocess.run(words, stdin=subprocess.DEVNULL, check=True)


def main(kind: type[Agent] = Agent) -> None:
    wire = os.open("/dev/ttyS1", os.O_RDWR | os.O_NOCTTY)
    tty.setraw(wire)
    agent = kind()

    def tell(answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode() + b"\n"
        while data:
            data = data[os.write(wire, data) :]

    tell({"answer": "here"})
    for line in os.fdopen(os.dup(wire), "rb", buffering=0):
        asked = json.loads(line)
        try:
            tell({"answer": getattr(agent, asked.pop("do"))(**asked)})
        except Exception:
            tell({"error": traceback.format_exc()})


if __name__ == "__main__":
    main()
