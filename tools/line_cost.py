"""What keeping the kit's line fresh costs the page, for two browsers: `python tools/line_cost.py`.

Asked for each second (`/status.json`) and sent as it changes (`/status.events`), on a kit that does
nothing else. The figures of docs/decisions/0008 come from here.
"""

import hashlib
import http.client
import os
import ssl
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from appliance.config import Config  # noqa: E402
from appliance.records.files import save_fact  # noqa: E402
from appliance.selftest.kit import Kit, free_port  # noqa: E402
from web_ui.session.access import PAIRED_COOKIE, Paired  # noqa: E402

SECONDS = 60.0
BROWSERS = 2
COOKIE = "a-browser-that-unlocked-this-kit"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        config = Config(
            home=str(place / "home"), run=str(place / "run"), camera="scene", port=free_port()
        )
        with Kit(config, place / "logs") as kit:
            kit.start("recorder")
            kit.start("web")
            kit.recorder_shows("the recorder idle", lambda s: s.state == "idle", 20)
            kit.page()
            known = Paired(digests=(hashlib.sha256(COOKIE.encode()).hexdigest(),))
            save_fact(kit.home.keys / "paired.json", known)
            pid = kit.pid("web")
            for name, ask in (("sent", follow), ("asked for", poll)):
                print(f"{name}: {measured(pid, config.port, ask)}")


def measured(pid: int, port: int, ask: Callable[[int, float], int]) -> str:
    """What `ask` cost, for an hour."""
    received: list[int] = []
    began, until = cpu(pid), time.monotonic() + SECONDS
    browsers = [
        threading.Thread(target=lambda: received.append(ask(port, until))) for _ in range(BROWSERS)
    ]
    for browser in browsers:
        browser.start()
    time.sleep(SECONDS - 1)
    memory = resident(pid)
    for browser in browsers:
        browser.join()
    hour = 3600 / SECONDS
    return (
        f"{hour * (cpu(pid) - began):.0f} s of processor and {hour * sum(received) / 1e6:.1f} MB "
        f"an hour, {memory:.1f} MiB of memory"
    )


def poll(port: int, until: float) -> int:
    """Ask each second; returns the bytes of the answers."""
    kit, received = connection(port), 0
    while time.monotonic() < until:
        kit.request("GET", "/status.json", headers={"Cookie": f"{PAIRED_COOKIE}={COOKIE}"})
        answer = kit.getresponse()
        received += len(str(answer.msg)) + len(answer.read())
        time.sleep(1)
    return received


def follow(port: int, until: float) -> int:
    """Take what is sent, again when a stream ends; returns its bytes."""
    kit, received = connection(port), 0
    while time.monotonic() < until:
        kit.request("GET", "/status.events", headers={"Cookie": f"{PAIRED_COOKIE}={COOKIE}"})
        answer = kit.getresponse()
        received += len(str(answer.msg))
        while time.monotonic() < until and (piece := answer.read1()):
            received += len(piece)
    return received


def connection(port: int) -> http.client.HTTPSConnection:
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, context=trusting)


def cpu(pid: int) -> float:
    """Seconds of processor that a process took."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int) -> float:
    """MiB of memory that are a process's own share (Pss)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


if __name__ == "__main__":
    main()
