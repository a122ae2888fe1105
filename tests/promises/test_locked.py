"""What stays in the memory of a kit's processes: nothing of a family once the page is locked."""

import os
import re
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from appliance.age.identities import HybridIdentity
from appliance.age.unsealing import Identity
from appliance.selftest.browser import Forms, Page
from appliance.selftest.rehearsal import CHILD, GOAL, LABEL, PERSON, Rehearsal
from appliance.vault.cases import Cases
from appliance.vault.keys import unlock

pytestmark = pytest.mark.slow

HELD = {
    *("practitioner's key", "practitioner's signing key", "case's key"),
    *("label", "name", "child", "goal", "note"),
}
"""What an unlocked page has in use. The passphrase it has no more use for: freed memory holds that
until something else is written there, which may be at once."""
NOTE = "she turns to him and he waits"
_AT_ONCE = 4 << 20


def family(pid: int) -> list[int]:
    """A process and whatever it has started, and so on."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for tasks in Path(f"/proc/{one}/task").glob("*/children"):
                found += map(int, tasks.read_text().split())
    return found


def found_in(pid: int, secrets: Mapping[str, bytes]) -> set[str]:
    """The names of those secrets that are anywhere in the memory of a process."""
    longest = max(map(len, secrets.values()))
    found = set[str]()
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        if not (where := re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)):
            continue
        start, end = (int(number, 16) for number in where.groups())
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
            before = b""
            with suppress(OSError, OverflowError):  # Parts that are the kernel's own.
                memory.seek(start)
                while start < end and (piece := memory.read(min(_AT_ONCE, end - start))):
                    start += len(piece)
                    data = before + piece
                    found |= {name for name, secret in secrets.items() if secret in data}
                    before = data[-longest:]
    return found


def of_identity(whose: str, identity: Identity) -> dict[str, bytes]:
    assert isinstance(identity, HybridIdentity)
    text = identity.secret_text().encode()
    return {f"{whose} key": identity._seed, f"{whose} key as text": text}


class Told:
    """A visit whose secrets are known to the test, so that it can look for them."""

    def __init__(self, root: Path) -> None:
        self.visit = Rehearsal(root, None, 8, [], lambda step: None)

    def begin(self) -> None:
        """Set up, unlock, film, and use the family's words and pictures as a practitioner does."""
        visit = self.visit
        for act in (visit.make_keys, visit.start, visit.set_up):
            act()
        visit.kit.start("sync")
        visit.unlock()
        visit.make_case()
        visit.arm()
        visit.whole = visit.film_until(lambda: time.sleep(2), "button")
        self.use()

    def use(self) -> None:
        visit = self.visit
        visit.play()
        url = f"/cases/{visit.case}/films/{visit.whole.recording}"
        fields = {"start": "0.5", "end": "1.5", "note": NOTE}
        assert visit.page.submit(url, fields, form=f"{url}/clips").status == 200
        assert visit.page.get(f"/cases/{visit.case}").status == 200

    def unlock(self) -> None:
        visit = self.visit
        assert visit.page.submit("/unlock", {"passphrase": visit.passphrase}).path == "/cases"

    def lock(self) -> None:
        assert self.visit.page.submit("/cases", {}, form="/lock").path == "/unlock"

    def secrets(self) -> dict[str, bytes]:
        visit = self.visit
        keys = unlock((visit.root / "practitioner.key").read_bytes(), visit.passphrase)
        case = Cases(visit.home).open(visit.case, keys, [keys.signer.verifier])
        words = {
            "passphrase": visit.passphrase,
            "label": LABEL,
            "name": PERSON,
            "child": CHILD,
            "goal": GOAL,
            "note": NOTE,
        }
        return (
            {name: text.encode() for name, text in words.items()}
            | of_identity("practitioner's", keys.identity)
            | of_identity("case's", case.identities[0])
            | {"practitioner's signing key": keys.signer._key.private_bytes_raw()}
        )

    def in_memory(self, secrets: Mapping[str, bytes]) -> dict[str, set[str]]:
        """What is found of them, by the process in which it is."""
        kit = self.visit.kit
        found = {
            f"{name} {pid}": found_in(pid, secrets)
            for name in ("recorder", "web", "sync")
            for pid in family(kit.pid(name))
        }
        return {process: names for process, names in found.items() if names}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    made = Told(tmp_path_factory.mktemp("kit"))
    with made.visit.kit:
        made.begin()
        yield made


@pytest.mark.skipif(os.getuid() != 0, reason="only root may look into the page's memory")
def test_after_lock_nothing_of_a_family_or_a_key_is_in_the_memory_of_any_process(
    told: Told,
) -> None:
    """Attack: a kit is taken after Lock, still running, and its memory is frozen and read."""
    secrets = told.secrets()
    before = told.in_memory(secrets)
    assert set[str]().union(*before.values()) >= HELD, "the search finds what is there"
    told.lock()
    assert told.in_memory(secrets) == {}
    for _ in range(20):
        assert told.visit.page.get("/unlock").status == 200
    assert told.in_memory(secrets) == {}
    told.unlock()
    told.use()
    assert set[str]().union(*told.in_memory(secrets).values()) >= HELD
    told.lock()
    assert told.in_memory(secrets) == {}
    told.unlock()


def test_nobody_is_refused_while_the_page_is_locked_and_begins_anew(told: Told) -> None:
    """Whoever asks meanwhile waits a moment: the one who locked, and every other browser."""
    visit = told.visit
    wrong: list[str] = []
    answered, over = [0], threading.Event()

    def ask() -> None:
        page = Page(visit.page.address, visit.home.keys / "tls.crt")
        while not over.is_set():
            try:
                answered[0] += page.get("/setup").status == 200
            except OSError as error:
                wrong.append(str(error))

    browsers = [threading.Thread(target=ask) for _ in range(3)]
    for browser in browsers:
        browser.start()
    for _ in range(5):
        told.lock()
        told.unlock()
    over.set()
    for browser in browsers:
        browser.join()
    assert not wrong and answered[0] > 20


def test_a_form_that_was_open_during_a_lock_can_still_be_sent(told: Told) -> None:
    """Another browser has the page for the passphrase open, and is not told that it is too old."""
    visit = told.visit
    other = Page(visit.page.address, visit.home.keys / "tls.crt")
    forms = Forms(other.get("/unlock").text).found
    (fields,) = (form.fields for form in forms if "passphrase" in form.fields)
    told.lock()
    body = urllib.parse.urlencode(fields | {"passphrase": [visit.passphrase]}, doseq=True).encode()
    headers = {"Origin": other.address}
    sent = other._send(urllib.request.Request(f"{other.address}/unlock", body, headers))
    assert sent.path == "/cases", sent.text
    assert other.submit("/cases", {}, form="/lock").path == "/unlock"
    told.unlock()


def test_a_page_that_follows_the_line_is_told_of_the_lock_and_finds_it_again(told: Told) -> None:
    visit = told.visit
    heard: list[str] = []
    following = threading.Event()

    def follow() -> None:
        request = urllib.request.Request(f"{visit.page.address}/status.events")
        with visit.page._open(request, timeout=60) as stream:
            for line in stream:
                heard.append(line.decode())
                following.set()

    browser = threading.Thread(target=follow)
    browser.start()
    assert following.wait(20)
    told.lock()
    browser.join(20)
    assert not browser.is_alive() and '"locked":true' in "".join(heard)
    heard.clear()
    follow()
    assert '"locked":true' in "".join(heard)
    told.unlock()
