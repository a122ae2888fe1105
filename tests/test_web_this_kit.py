"""The page about the kit itself: what it is, its label, and switching it off."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.pages import WebKit
from web_ui.this_kit import _joining
from web_ui.tls import ensure_certificate, fingerprint


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[WebKit]:
    with WebKit(tmp_path) as made:
        made.enrol()
        made.home.keys.mkdir(exist_ok=True)
        ensure_certificate(made.home.keys, ())
        made.recorder.show(camera="imx708_wide", clock="trusted", lamp_proven=True)
        yield made


def test_the_page_says_what_the_kit_is_and_how_to_know_it(kit: WebKit) -> None:
    kit.unlock()
    page = kit.browser.get("/kit")
    for words in ("imx708_wide", "Read back by a wire", kit.recorder.status.kit):
        assert words in page.words
    assert fingerprint(kit.home.keys / "tls.crt") in page.words


def test_a_page_that_is_locked_shows_no_key_of_the_network(kit: WebKit) -> None:
    for path in ("/kit", "/kit/label"):
        assert kit.browser.get(path).path == "/unlock"


def test_the_label_has_what_the_first_start_wrote_down(kit: WebKit, tmp_path: Path) -> None:
    kit.unlock()
    Path(kit.config.label).write_text(
        'name = "kit-7k3p"\nssid = "kit-7k3p"\nkey = "abcd2345"\naddress = "https://10.55.0.1/"\n'
    )
    page = kit.browser.get("/kit/label")
    for words in ("kit-7k3p", "abcd2345", "https://10.55.0.1/"):
        assert words in page.words
    assert page.text.count("<svg") == 2


def test_a_kit_without_a_network_of_its_own_has_a_label_too(kit: WebKit) -> None:
    kit.unlock()
    page = kit.browser.get("/kit/label")
    assert page.text.count("<svg") == 1
    assert "Join its network" not in page.words


def test_signs_that_mean_something_to_a_telephone_are_told_apart() -> None:
    assert _joining("a;b", 'c"d:e\\') == 'WIFI:T:WPA;S:a\\;b;P:c\\"d\\:e\\\\;;'


def test_everybody_may_have_the_authority_and_nothing_else(kit: WebKit) -> None:
    answer = kit.browser.get("/kit/authority.crt")
    assert answer.status == 200
    found = x509.load_pem_x509_certificate(answer.response.data)
    assert found.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert kit.browser.get("/kit/tls.key").path == "/unlock"


def test_the_kit_is_switched_off_only_by_somebody_who_means_it(kit: WebKit) -> None:
    kit.unlock()
    assert kit.browser.submit("/kit", "/kit/off").status == 400
    assert kit.switched_off == 0
    assert kit.browser.submit("/kit", "/kit/off", confirm="y").path == "/kit/going"
    assert kit.switched_off == 1


@pytest.mark.parametrize("state", ["preview", "filming", "stopping", "removing"])
def test_a_kit_whose_camera_is_in_use_is_not_switched_off(kit: WebKit, state: str) -> None:
    kit.unlock()
    kit.recorder.show(state=state)
    assert kit.browser.submit("/kit", "/kit/off", confirm="y").status == 409
    assert kit.switched_off == 0
