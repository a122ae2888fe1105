"""The page against people who mean harm: other sites, other browsers, guessers, and broken or slow
clients at the real process. What every refusal says is in tests/web_ui/session/test_access.py."""

import hashlib
import random
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest

from appliance.config import Config
from appliance.records.files import new_id, save_fact
from appliance.selftest.kit import Kit, free_port, wait_for
from tests.support.pages import NOW, PASSPHRASE, Browser, WebKit
from tests.support.pages import practitioner as keys_of
from web_ui.session.access import PAIRED_COOKIE, STRANGERS, Paired
from web_ui.session.session import IDLE_SECONDS

# --- Another site, another browser ----------------------------------------------------------------


def with_stolen_cookies(kit: WebKit, host: str = "localhost:8443") -> Browser:
    """A browser that has everything the unlocked one has."""
    thief = kit.another_browser(host)
    for name in ("__Host-attune", "__Host-attune-paired"):
        thief.take_cookie(name, kit.browser.cookie(name))
    return thief


@pytest.mark.parametrize("path", ["/cases", "/status.json", "/unlock", "/stop", "/assets/page.js"])
def test_a_name_that_was_made_to_lead_here_gets_nothing_even_with_the_cookies(
    kit: WebKit, path: str
) -> None:
    page = with_stolen_cookies(kit, "kit.evil.example:8443").get(path)
    assert page.status == 400
    assert page.text == "This kit has a different name.\n"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8443"},
        {"Origin": "https://localhost"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_no_form_of_another_site_does_anything(kit: WebKit, headers: dict[str, str]) -> None:
    case = kit.make_case()
    forms = kit.browser.get(f"/cases/{case}/withdraw")
    token = forms.form("/lock")["csrf_token"][0]
    before = sorted(path.name for path in kit.home.case(case).iterdir())
    for path in ("/lock", "/stop", "/disarm", f"/cases/{case}/withdraw", f"/cases/{case}/arm"):
        page = kit.browser.post(path, {"csrf_token": token, "confirm": "y"}, **headers)
        assert page.status == 403, path
    assert kit.parts.session.unlocked and not kit.recorder.permit()
    assert sorted(path.name for path in kit.home.case(case).iterdir()) == before


ELSEWHERE = [
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
    {"Sec_Fetch_Site": "nonsense"},
    {"Referer": "https://evil.example/page"},
    {"Referer": "https://localhost:8443.evil.example/"},
    {"Referer": "http://localhost:8443/cases"},
]


def every_page(kit: WebKit) -> list[str]:
    """Every address that can be looked at, ids made up."""
    return [
        filled(re.sub("<(path:)?name>", "page.js", rule.rule), new_id(), new_id())
        for rule in kit.app.url_map.iter_rules()
        if "GET" in (rule.methods or ())
    ]


@pytest.mark.parametrize("headers", ELSEWHERE, ids=lambda headers: " ".join(headers.values()))
def test_a_link_on_another_site_writes_no_session_and_opens_the_page_from_here(
    kit: WebKit, headers: dict[str, str]
) -> None:
    """A browser sends no cookie of ours along with it: what it was answered put a new session in
    place of the one that is unlocked, and the kit was unlocked in nobody's hands."""
    outside = kit.another_browser()
    for path in every_page(kit):
        page = outside.get(path, **headers)
        assert page.status == 200 and page.path == path, "no way to anything else"
        assert "Set-Cookie" not in page.response.headers, path
        assert f'content="0; url={path}"' in page.text and "<form" not in page.text
    # What it leads to is asked for from here, with the cookies.
    assert kit.browser.get("/cases", Sec_Fetch_Site="same-origin").path == "/cases"


def test_a_link_that_brings_the_cookies_is_no_sign_that_somebody_is_there(kit: WebKit) -> None:
    kit.pass_by(IDLE_SECONDS - 1)
    kit.browser.get("/cases", Sec_Fetch_Site="same-site")
    kit.pass_by(1)
    assert kit.browser.get("/cases").path == "/unlock"


@pytest.mark.parametrize("dest", ["image", "script", "video", "iframe", "empty"])
def test_nothing_of_ours_is_shown_inside_another_site(kit: WebKit, dest: str) -> None:
    for path in ("/unlock", "/cases", "/status.json", "/assets/page.js"):
        page = kit.browser.get(path, Sec_Fetch_Site="cross-site", Sec_Fetch_Dest=dest)
        assert page.status == 403 and "Set-Cookie" not in page.response.headers, path


def test_an_address_from_another_site_is_written_down_safely(kit: WebKit) -> None:
    for path in (
        "//evil.example/x",
        '/cases/"><script>',
        "/cases?a=1&b=<x>",
        "/%0d%0aSet-Cookie:x",
    ):
        page = kit.another_browser().get(path, Sec_Fetch_Site="cross-site")
        assert "<script>" not in page.text and "url=//" not in page.text
        assert "Set-Cookie" not in page.response.headers


@pytest.mark.parametrize("headers", [{}, {"Sec_Fetch_Site": "none"}])
def test_what_somebody_typed_is_answered_at_once(kit: WebKit, headers: dict[str, str]) -> None:
    assert kit.browser.get("/cases", **headers).path == "/cases"
    assert "Your passphrase" in kit.another_browser().get("/unlock", **headers).words


def test_a_stolen_session_ends_with_the_owners(kit: WebKit) -> None:
    thief = with_stolen_cookies(kit)
    assert thief.get("/cases").path == "/cases", "until then nobody can tell them apart"
    kit.browser.submit("/cases", action="/lock")
    assert thief.get("/cases").path == "/unlock"
    kit.unlock()
    assert thief.get("/cases").path == "/unlock", "a new sitting has a new name"


def test_a_session_that_was_left_alone_opens_nothing(kit: WebKit) -> None:
    case = kit.make_case()
    film = kit.recorder.write_film(case, kit.recipient(case))
    kit.pass_by(IDLE_SECONDS)
    assert kit.browser.get(f"/cases/{case}").path == "/unlock"
    assert kit.browser.get(f"/cases/{case}/films/{film}/video", Range="bytes=0-9").status == 403


@pytest.mark.parametrize(
    "forged", ["", "e30.YQ.x", "a" * 4000, "\x01\x02", "eyJzZWF0IjoiIn0.Zm.xx"]
)
def test_a_session_that_was_made_up_opens_nothing(kit: WebKit, forged: str) -> None:
    stranger = kit.another_browser()
    stranger.take_cookie("__Host-attune", forged)
    stranger.take_cookie("__Host-attune-paired", forged)
    assert stranger.get("/cases").path == "/unlock"


# --- Guessing -------------------------------------------------------------------------------------


def addresses_in_a_case(kit: WebKit) -> list[str]:
    """Every address that can be looked at inside a case, with its ids still to be filled in."""
    return [
        rule.rule
        for rule in kit.app.url_map.iter_rules()
        if rule.rule.startswith("/cases/<id:case>") and "GET" in (rule.methods or ())
    ]


def filled(rule: str, case: str, other: str) -> str:
    first, *rest = (
        rule.replace("<id:case>", case)
        .replace("<purpose>", "copies")
        .replace("<part>", "visit")
        .split("<id:")
    )
    return first + "".join(other + part.partition(">")[2] for part in rest)


def test_an_id_that_was_guessed_is_nothing(kit: WebKit) -> None:
    case = kit.make_case()
    for rule in addresses_in_a_case(kit):
        assert kit.browser.get(filled(rule, new_id(), new_id())).status == 404, rule
        if "<id:" in rule.replace("<id:case>", ""):
            page = kit.browser.get(filled(rule, case, new_id()))
            # A step of a consent that is over leads back to the family.
            back = "/consent/" in rule and page.path == f"/cases/{case}"
            assert back or page.status == 404, rule


def test_a_film_is_not_found_in_another_case(kit: WebKit) -> None:
    case, other = kit.make_case("One family"), kit.make_case("Another")
    film = kit.recorder.write_film(case, kit.recipient(case))
    for what in ("", "/video", "/poster.jpg", "/frames.json", "/glance.json"):
        path = f"/films/{film}{what}"
        assert kit.browser.get(f"/cases/{case}{path}", Range="bytes=0-9").status in (200, 202, 206)
        assert kit.browser.get(f"/cases/{other}{path}", Range="bytes=0-9").status == 404, path


def test_another_practitioners_case_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    with WebKit(tmp_path) as kit:
        kit.enrol(0)
        kit.unlock()
        case = kit.make_case("Only mine")
        film = kit.recorder.write_film(case, kit.recipient(case))
        kit.browser.submit("/cases", action="/lock")
        # The first one's key is gone from here; a second practitioner unlocks.
        (kit.home.kit / "enrolled.json").unlink()
        (kit.home.keys / keys_of(0).card().name / "identity.age").unlink()
        kit.enrol(1)
        kit.pass_by(1)
        assert kit.unlock().path == "/cases"
        assert kit.browser.get(f"/cases/{case}").status == 404
        video = kit.browser.get(f"/cases/{case}/films/{film}/video", Range="bytes=0-9")
        assert video.status == 404
        assert "Only mine" not in kit.browser.get("/cases").words


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../parts.py",
        "/assets/..%2fparts.py",
        "/assets/%2e%2e/%2e%2e/pyproject.toml",
        "/assets/vendor/../../parts.py",
        "/assets//etc/passwd",
        "/assets/..\\parts.py",
        "/assets/\x00",
        "/assets/vendor",
        "/cases/../keys",
        "/cases/..%2f..%2fkeys",
        "/cases/aaaaaaaaaaaaaaaa%00",
        "/cases/AAAAAAAAAAAAAAAA",
        "/cases/aaaaaaaaaaaaaaaa/films/../../identity-0001.age",
        "//evil.example/cases",
        "/cases/" + "a" * 5000,
    ],
)
def test_no_path_leads_elsewhere(kit: WebKit, path: str) -> None:
    page = kit.browser.get(path)
    assert page.status == 404 or page.path in ("/cases", "/"), path
    assert "Parts" not in page.text and "AGE-SECRET" not in page.text


@pytest.mark.parametrize("wanted", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_unlocking_sends_nobody_to_another_site(kit: WebKit, wanted: str) -> None:
    kit.browser.submit("/cases", action="/lock")
    kit.browser.get(f"/cases?next={wanted}")
    page = kit.browser.submit("/unlock", passphrase=PASSPHRASE, time=NOW.isoformat())
    assert page.path == "/cases"


# --- The real process -----------------------------------------------------------------------------

MALFORMED = 1000
SLOW = 40
"""Slow clients of each kind: more than the process has threads."""
HELLO = b"GET /setup HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Wire:
    """The port of a real web process."""

    def __init__(self, running: Kit) -> None:
        self._place = ("127.0.0.1", running.config.port)
        self._trust = ssl.create_default_context(cafile=running.home.keys / "tls.crt")

    def open(self) -> socket.socket:
        plain = socket.create_connection(self._place, timeout=10)
        return self._trust.wrap_socket(plain, server_hostname="localhost")

    def plain(self) -> socket.socket:
        return socket.create_connection(self._place, timeout=10)

    def ask(self, data: bytes, seconds: float = 10.0) -> bytes:
        """What comes back until the other side closes; b'' if it closes at once."""
        with closing(self.open()) as wire, suppress(ConnectionError, ssl.SSLError, TimeoutError):
            wire.settimeout(seconds)
            wire.sendall(data)
            answer = b""
            while piece := wire.recv(65536):
                answer += piece
            return answer
        return b""

    def answers(self) -> bool:
        return self.ask(HELLO).startswith(b"HTTP/1.1 200")


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    root = tmp_path_factory.mktemp("web")
    settings = Config(
        home=str(root / "home"), run=str(root / "run"), camera="scene", port=free_port()
    )
    with Kit(settings, root / "logs") as running:
        running.start("web")
        running.page()
        yield running


def malformed(chance: random.Random) -> bytes:
    """One request that is broken in one of the ways in which requests can be."""
    junk = chance.randbytes(chance.randrange(1, 200))
    head = b"Host: localhost\r\nConnection: close\r\n"
    kinds = [
        junk,
        junk.replace(b"\n", b"") + b"\r\n\r\n",
        b"GET /" + junk.hex().encode() + b" HTTP/9.9\r\n" + head + b"\r\n",
        b"GET /setup HTTP/1.1\r\n\r\n",
        b"GET /setup HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n",
        b"BREW /setup HTTP/1.1\r\n" + head + b"\r\n",
        b"GET /setup HTTP/1.1\r\n" + head + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /setup HTTP/1.1\r\n" + head + b"Cookie: __Host-attune=" + junk.hex().encode() * 9
        + b"\r\n\r\n",
        b"GET /%zz%00" + junk.hex().encode() + b" HTTP/1.1\r\n" + head + b"\r\n",
        b"POST /setup HTTP/1.1\r\n" + head + b"Content-Length: -5\r\n\r\n" + junk,
        b"POST /setup HTTP/1.1\r\n" + head + b"Content-Length: 99999999999\r\n\r\n",
        b"POST /setup HTTP/1.1\r\n" + head
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + junk,
        b"POST /setup HTTP/1.1\r\n" + head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n" + junk
        + b"\r\n\r\n",
        b"POST /setup HTTP/1.1\r\n" + head + b"Content-Type: multipart/form-data; boundary=x\r\n"
        + b"Content-Length: %d\r\n\r\n" % len(junk) + junk,
        b"POST /unlock HTTP/1.1\r\n" + head
        + b"Content-Type: application/x-www-form-urlencoded\r\n"
        + b"Content-Length: %d\r\n\r\n" % len(junk) + junk,
        b"GET /cases HTTP/1.1\r\n" + head + b"Range: bytes=" + junk.hex().encode() + b"\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + junk,
    ]  # fmt: skip
    return chance.choice(kinds)


@pytest.mark.slow
def test_a_thousand_malformed_requests_are_refused_and_the_page_goes_on(process: Kit) -> None:
    wire, chance = Wire(process), random.Random(7)
    for _turn in range(MALFORMED):
        answer = wire.ask(malformed(chance), seconds=0.3)
        status = answer[9:12]
        assert not answer.startswith(b"HTTP/1.1 5"), answer[:200]
        assert b"Traceback" not in answer and b"werkzeug" not in answer.lower()
        assert status[:1] in (b"", b"2", b"3", b"4") or not answer.startswith(b"HTTP")
    assert wire.answers()
    assert process.runs("web") and not process.ended()
    assert process.last_words("web") == ""


KINDS = {
    "say nothing": b"",
    "stop in the midst of the head": b"GET /setup HTTP/1.1\r\nHost: loc",
    "never send their form": b"POST /setup HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5000\r\n\r\na",
    "never read the answer": b"GET /assets/vendor/nhsuk-frontend.min.css HTTP/1.1\r\n"
    b"Host: localhost\r\n\r\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("how", KINDS)
def test_slow_clients_keep_nobody_else_waiting(process: Kit, how: str) -> None:
    wire = Wire(process)
    assert wire.answers()
    with ExitStack() as held:
        for _number in range(SLOW):
            slow = held.enter_context(closing(wire.open()))
            slow.sendall(KINDS[how])
        # From this address, too, so it may be turned away while theirs are answered.
        wait_for("an answer beside them", lambda: wire.answers() or None, 5)
    wait_for("an answer after them", lambda: wire.answers() or None, 5)


@pytest.mark.slow
def test_connections_that_never_begin_keep_nobody_waiting(process: Kit) -> None:
    wire = Wire(process)
    with ExitStack() as held:
        for _number in range(5 * SLOW):
            held.enter_context(closing(wire.plain()))
        assert wire.answers()


def posted(path: str, cookie: str = "") -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        f"Cookie: {PAIRED_COOKIE}={cookie}\r\nContent-Length: 0\r\n\r\n"
    ).encode()


@pytest.mark.slow
def test_strangers_who_send_slowly_leave_stop_to_a_browser_that_unlocked_before(
    process: Kit,
) -> None:
    wire, cookie = Wire(process), "of-a-browser-that-unlocked-before"
    digest = hashlib.sha256(cookie.encode()).hexdigest()
    save_fact(process.home.keys / "paired.json", Paired(digests=(digest,)))
    with ExitStack() as held:
        for _number in range(STRANGERS):
            slow = held.enter_context(closing(wire.open()))
            slow.sendall(KINDS["never send their form"])
        turned_away = wait_for(
            "strangers to be turned away",
            lambda: (got := wire.ask(posted("/unlock"))).startswith(b"HTTP/1.1 503") and got,
            5,
        )
        assert b"Too many people are saving at once" in turned_away
        # Only its token is missing here.
        assert b"This form is out of date" in wire.ask(posted("/stop", cookie))
    wait_for(
        "their places",
        lambda: wire.ask(posted("/unlock")).startswith(b"HTTP/1.1 400") or None,
        10,
    )
