"""Who may ask the page for what: everything is refused but what says of itself that it is open."""

import gzip
import re
import resource
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.pages import NOW, PASSPHRASE, Browser, WebKit
from web_ui.app import create_app
from web_ui.session.access import AT_ONCE, HEADERS, anyone

OPEN_TO_ANYONE = {
    *("/", "/setup", "/setup/press", "/unlock", "/status.json"),
    *("/status.events", "/virtual/button"),
    *(
        "/help",
        "/help/<part>",
        "/kit/authority.crt",
        "/kit/reset",
        "/kit/reset/certificate",
        "/forgotten",
    ),
}


@pytest.fixture
def kit(tmp_path: Path) -> WebKit:
    return WebKit(tmp_path)


def addresses(kit: WebKit) -> list[tuple[str, str]]:
    """Every address of the page with each way to ask for it; ids filled in."""
    some = "abcdefghijklmnop"
    found = []
    for rule in kit.app.url_map.iter_rules():
        path = re.sub(r"<id:\w+>", some, rule.rule)
        path = path.replace("<path:name>", "attune.css")
        found += [(method, path) for method in sorted((rule.methods or set()) - {"OPTIONS"})]
    return found


def test_while_locked_every_page_but_the_open_ones_is_refused(kit: WebKit) -> None:
    kit.enrol()
    client = kit.app.test_client()
    token = kit.browser.get("/unlock").form("/unlock")["csrf_token"][0]
    for method, path in addresses(kit):
        if path in OPEN_TO_ANYONE or path.startswith("/assets/"):
            continue
        answer = client.open(
            path, method=method, base_url="https://localhost", data={"csrf_token": token}
        )
        sent_away = answer.status_code == 303 and answer.location == "/unlock"
        # A form from another session fails on its token, before or after.
        refused = answer.status_code in (400, 403)
        assert sent_away or refused, f"{method} {path}: not in OPEN_TO_ANYONE, {answer.status}"


def test_a_page_of_a_new_kit_leads_to_its_set_up(kit: WebKit) -> None:
    assert kit.browser.get("/").path == "/setup"
    assert kit.browser.get("/cases").path == "/setup"
    assert kit.browser.get("/unlock").path == "/setup"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example:8443", "xn--e1afmkfd", ""]
)
def test_a_host_name_that_is_not_ours_is_refused(kit: WebKit, host: str) -> None:
    answer = kit.app.test_client().get("/unlock", headers={"Host": host}, base_url="https://x")
    assert answer.status_code == 400
    assert "<form" not in answer.text


@pytest.mark.parametrize(
    "host", ["localhost:8443", "127.0.0.1:8443", "attune.local", "10.42.0.1:8443", "[::1]:8443"]
)
def test_a_name_of_the_kit_or_an_address_of_digits_is_answered(kit: WebKit, host: str) -> None:
    assert kit.app.test_client().get("/setup", base_url=f"https://{host}").status_code == 200


def test_a_form_without_its_token_is_refused_in_words(kit: WebKit) -> None:
    kit.enrol()
    page = kit.browser.post("/unlock", {"passphrase": PASSPHRASE})
    assert page.status == 400
    assert "out of date" in page.words
    assert not kit.parts.session.unlocked


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}],
)
def test_a_form_sent_by_another_site_is_refused_even_with_its_token(
    kit: WebKit, headers: dict[str, str]
) -> None:
    kit.enrol()
    form = kit.browser.get("/unlock").form("/unlock") | {"passphrase": [PASSPHRASE]}
    assert kit.browser.post("/unlock", dict(form), **headers).status == 403
    assert not kit.parts.session.unlocked


def test_every_answer_forbids_keeping_framing_and_anything_from_elsewhere(kit: WebKit) -> None:
    kit.unlock()
    for path in ("/cases", "/unlock", "/status.json", "/nothing-here"):
        headers = kit.browser.get(path).response.headers
        assert headers["Cache-Control"] == "no-store", path
        for name, value in HEADERS.items():
            assert headers[name] == value, path


def test_no_page_has_code_or_style_of_its_own_or_anything_from_elsewhere(kit: WebKit) -> None:
    pages = [kit.browser.get("/setup")]
    kit.unlock()
    case = kit.make_case()
    film = kit.recorder.write_film(case, kit.recipient(case))
    paths = ["", "/goals", "/consent", "/arm", "/withdraw", f"/films/{film}"]
    pages += [kit.browser.get(f"/cases/{case}{path}") for path in paths]
    pages += [kit.browser.get(path) for path in ("/cases", "/cases/new", "/unlock")]
    for page in pages:
        assert page.status == 200, page.path
        assert " style=" not in page.text and "<style" not in page.text, page.path
        assert not any(f' on{event}="' in page.text for event in ("click", "load", "submit"))
        assert page.text.count("<script") == page.text.count("<script src=") + page.text.count(
            '<script type="module" src='
        )
        assert "http://" not in page.text.replace("http://www.w3.org/2000/svg", "")
        assert "https://" not in page.text, page.path


def test_the_session_cookie_is_for_this_kit_alone(kit: WebKit) -> None:
    kit.enrol()
    cookie = kit.browser.get("/unlock").response.headers["Set-Cookie"]
    assert cookie.startswith("__Host-attune=")
    for word in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
        assert word in cookie


def test_a_stolen_session_is_worth_nothing_after_locking(kit: WebKit) -> None:
    kit.unlock()
    stolen = kit.browser.cookie("__Host-attune")
    kit.browser.submit("/cases", action="/lock")
    client = kit.app.test_client()
    client.set_cookie("__Host-attune", stolen, domain="localhost")
    answer = client.get("/cases", base_url="https://localhost")
    assert (answer.status_code, answer.location) == (303, "/unlock")


def test_a_page_that_was_asked_for_while_locked_is_shown_after_unlocking(kit: WebKit) -> None:
    kit.unlock()
    case = kit.make_case()
    kit.browser.submit("/cases", action="/lock")
    assert kit.browser.get(f"/cases/{case}/consent").path == "/unlock"
    page = kit.browser.submit("/unlock", passphrase=PASSPHRASE, time=NOW.isoformat())
    assert page.path == f"/cases/{case}/consent"


def test_a_card_that_takes_nothing_more_is_said_in_words(kit: WebKit) -> None:
    kit.unlock()
    case = kit.make_case()
    form = kit.browser.get(f"/cases/{case}/goals").form(f"/cases/{case}/goals")
    # Reading still works, only writing meets a disk that says no.
    kit.browser.get(f"/cases/{case}")
    least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
    try:
        page = kit.browser.post(f"/cases/{case}/goals", dict(form) | {"goal": "Another"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))
    assert page.status == 503
    assert "card" in page.words


def test_an_error_is_a_page_in_words_and_never_a_stack_trace(kit: WebKit) -> None:
    app = create_app(kit.parts)

    @app.get("/broken")
    @anyone
    def broken() -> str:
        raise RuntimeError("words of a family")

    page = Browser(app.test_client()).get("/broken")
    assert page.status == 500
    assert "Anything you saved before is safe" in page.words
    assert "Traceback" not in page.text and "words of a family" not in page.text


def test_what_is_larger_than_any_form_is_refused(kit: WebKit) -> None:
    form = kit.browser.get("/setup").form("/setup") | {"service_card": ["x" * 300_000]}
    assert kit.browser.post("/setup", dict(form)).status == 413


@pytest.mark.parametrize(
    "path", ["/assets/../parts.py", "/assets/%2e%2e/parts.py", "/assets//etc/passwd", "/assets/"]
)
def test_no_path_leads_out_of_the_assets(kit: WebKit, path: str) -> None:
    assert kit.browser.get(path).status in (200, 404)
    assert "Parts" not in kit.browser.get(path).text


def test_a_kit_with_a_camera_has_no_button_on_its_page(tmp_path: Path) -> None:
    kit = WebKit(tmp_path, camera="picamera")
    assert not [r for r in kit.app.url_map.iter_rules() if "virtual" in r.rule]
    page = kit.browser.get("/setup")
    assert page.status == 200
    assert "virtual" not in page.text.lower()
    token = page.form("/setup")["csrf_token"][0]
    answer = kit.browser.post("/virtual/button", {"csrf_token": token, "edge": "down"})
    assert answer.path == "/setup"


def test_the_virtual_kit_is_plainly_marked(kit: WebKit) -> None:
    assert "Virtual kit - for demonstration" in kit.browser.get("/setup").words


LARGEST_FIRST_LOAD = 400_000


@pytest.mark.parametrize(("packed", "most"), [("gzip", 120_000), ("", LARGEST_FIRST_LOAD)])
def test_a_first_look_at_the_page_is_light(kit: WebKit, packed: str, most: int) -> None:
    page = kit.browser.get("/setup")
    asked = sorted(set(re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text)))
    asked.append("/assets/vendor/nhsuk-frontend.min.js")
    assert len(asked) >= 5
    sent = len(page.text)
    for path in asked:
        answer = kit.browser.get(path, Accept_Encoding=packed).response
        assert answer.status_code == 200
        assert "Accept-Encoding" in answer.vary or len(answer.data) < 4096, path
        sent += len(answer.data)
        if answer.headers.get("Content-Encoding") == "gzip":
            assert gzip.decompress(answer.data) == kit.browser.get(path).response.data
            assert not answer.mimetype.endswith("gzip")
    assert sent <= most


# --- A guest who asks for more than their share ---------------------------------------------------


def test_a_guest_who_asks_for_more_than_their_share_is_turned_away_at_once(
    kit: WebKit,
) -> None:
    """Hundreds of pages that one guest waits for must not make everybody else wait."""
    going_on, answered = threading.Semaphore(0), threading.Event()

    @kit.app.get("/slow")
    @anyone
    def slow() -> str:
        going_on.release()
        answered.wait()
        return "at last"

    kit.unlock()

    def ask() -> int:
        return kit.another_browser().get("/slow").status

    with ThreadPoolExecutor(AT_ONCE) as pool:
        waiting = [pool.submit(ask) for _number in range(AT_ONCE)]
        for _number in range(AT_ONCE):
            going_on.acquire()
        try:
            assert kit.another_browser().get("/unlock").status == 503
            # Whoever is unlocked, or was before, is no guest; nor is somebody else's address.
            assert kit.browser.get("/cases").status == 200
            other = kit.app.test_client().get(
                "/unlock",
                base_url="https://localhost:8443",
                environ_base={"REMOTE_ADDR": "10.55.0.9"},
            )
            assert other.status_code == 200
        finally:
            answered.set()
        assert [one.result() for one in waiting] == [200] * AT_ONCE
    assert kit.another_browser().get("/unlock").status == 200
