"""The web process itself: its certificate, one on a home, and nothing left when it ends."""

import hashlib
import os
import select
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

import web_ui
from appliance.config import Config, write_config
from appliance.records.clock import EARLIEST
from appliance.records.files import save_fact
from appliance.selftest.kit import Kit, command, free_port, wait_for
from tests.support import pseudo
from web_ui.pages.status import STREAMS
from web_ui.session.access import PAIRED_COOKIE, Paired
from web_ui.system.tls import ensure_certificate, fingerprint

pytestmark = pytest.mark.slow


def config(root: Path, **changes: object) -> Config:
    made = {
        "home": str(root / "home"),
        "run": str(root / "run"),
        "camera": "scene",
        "port": free_port(),
    }
    return Config(**(made | changes))  # type: ignore[arg-type]


@contextmanager
def serving(settings: Config, logs: Path) -> Iterator[Kit]:
    """A web process that answers."""
    with Kit(settings, logs) as kit:
        kit.start("web")
        kit.page()
        yield kit


def test_the_certificate_is_for_this_kit_alone_and_its_key_for_nobody_else(tmp_path: Path) -> None:
    own = ("10.42.0.1", "kit-4f2a.local", "0.0.0.0")
    certificate, key = ensure_certificate(tmp_path, own)
    assert key.stat().st_mode & 0o777 == 0o600
    assert b"BEGIN PRIVATE KEY" in key.read_bytes()
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [
        "localhost",
        "attune.local",
        "kit-4f2a.local",
    ]
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert addresses == {"127.0.0.1", "::1", "10.42.0.1"}
    assert found.not_valid_before_utc == EARLIEST
    constraints = found.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical and not constraints.value.ca
    assert ensure_certificate(tmp_path, own) == (certificate, key)
    assert x509.load_pem_x509_certificate(certificate.read_bytes()) == found


def test_a_kit_that_is_called_otherwise_makes_its_certificate_anew_and_leaves_the_services_own(
    tmp_path: Path,
) -> None:
    first = fingerprint(ensure_certificate(tmp_path, ("kit-4f2a.local", "kit.example"))[0])
    assert fingerprint(ensure_certificate(tmp_path, ("kit-4f2a.local",))[0]) == first
    certificate, _ = ensure_certificate(tmp_path, ("kit-7k3p.local",))
    assert fingerprint(certificate) != first
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the service's authority")])
    key = ec.generate_private_key(ec.SECP256R1())
    theirs = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(EARLIEST)
        .not_valid_after(EARLIEST + timedelta(days=90))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate.write_bytes(theirs.public_bytes(pem))
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "tls.key").write_bytes(private)
    ensure_certificate(tmp_path, ("kit-9z9z.local",))
    assert x509.load_pem_x509_certificate(certificate.read_bytes()) == theirs


def test_whoever_trusts_the_kit_trusts_no_other_certificate_of_it(tmp_path: Path) -> None:
    ensure_certificate(tmp_path, ("10.42.0.1", "kit-4f2a.local"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "authority.crt",
        "tls-years.crt",
        "tls.crt",
        "tls.key",
    ], "the authority's key was thrown away"
    authority = x509.load_pem_x509_certificate((tmp_path / "authority.crt").read_bytes())
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    permitted = {str(name.value) for name in constraints.value.permitted_subtrees or ()}
    assert permitted == {
        "localhost",
        "attune.local",
        "kit-4f2a.local",
        "127.0.0.1/32",
        "::1/128",
        "10.42.0.1/32",
    }


def test_a_strict_client_that_pins_the_certificate_connects_with_both_versions_of_http(
    tmp_path: Path,
) -> None:
    settings = config(tmp_path)
    with serving(settings, tmp_path / "logs"):
        context = ssl.create_default_context(cafile=str(settings.places.keys / "authority.crt"))
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.set_alpn_protocols(["h2"])
        for name in ("localhost", "127.0.0.1"):
            with (
                socket.create_connection(("127.0.0.1", settings.port), timeout=10) as plain,
                context.wrap_socket(plain, server_hostname=name) as wire,
            ):
                assert wire.selected_alpn_protocol() == "h2"
        with (
            socket.create_connection(("127.0.0.1", settings.port), timeout=10) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            context.wrap_socket(plain, server_hostname="evil.example")


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for tasks in found for child in tasks.read_text().split()]


def test_the_page_is_one_process_and_it_ends_with_the_one_that_watches_over_it(
    tmp_path: Path,
) -> None:
    with serving(config(tmp_path), tmp_path / "logs") as kit:
        (page,) = children(kit.pid("web"))
        assert children(page) == []
        with os.fdopen(os.pidfd_open(page), "rb", closefd=True) as ends:
            kit.pull_the_plug("web")
            assert select.select([ends], [], [], 10)[0], "it outlived it, with an unlocked key"


def test_a_page_that_is_killed_takes_the_other_with_it_so_that_systemd_starts_both(
    tmp_path: Path,
) -> None:
    with serving(config(tmp_path), tmp_path / "logs") as kit:
        os.kill(children(kit.pid("web"))[0], signal.SIGKILL)
        assert kit._running["web"].wait(10) == 1


def test_what_a_page_has_left_running_is_ended_before_the_next_begins() -> None:
    """A process that decodes has pieces of a film, and nobody else would end it."""
    asked = (
        "import os, subprocess; from pathlib import Path; from web_ui import __main__ as page;"
        "page._prctl(page._SET_CHILD_SUBREAPER, 1);"
        "subprocess.run(['setsid', '--fork', 'sleep', '600']); page._end_children();"
        "print(repr(Path(f'/proc/self/task/{os.getpid()}/children').read_text()))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True)
    assert done.stdout == b"''\n"


def test_told_to_end_it_ends_at_once(tmp_path: Path) -> None:
    with serving(config(tmp_path), tmp_path / "logs") as kit:
        assert kit.stop("web") == 0
        assert kit.last_words("web") == ""


def test_told_to_end_it_ends_soon_although_somebody_keeps_a_connection_open(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with serving(settings, tmp_path / "logs") as kit:
        context = ssl.create_default_context(cafile=str(settings.places.keys / "authority.crt"))
        with (
            socket.create_connection(("127.0.0.1", settings.port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as wire,
        ):
            wire.sendall(b"GET /setup HTTP/1.1\r\nHost: localh")
            began = time.monotonic()
            kit._running["web"].send_signal(signal.SIGTERM)
            assert kit._running["web"].wait(15) == 0
            assert time.monotonic() - began < 8


def test_pages_that_stay_open_keep_no_one_else_waiting_and_leave_room_when_they_go(
    tmp_path: Path,
) -> None:
    def follow() -> ssl.SSLSocket:
        there = trusting.wrap_socket(socket.create_connection(("127.0.0.1", settings.port)))
        there.settimeout(10)
        there.sendall(
            f"GET /status.events HTTP/1.1\r\nHost: localhost\r\n"
            f"Cookie: {PAIRED_COOKIE}={cookie}\r\n\r\n".encode()
        )
        return there

    def stays(there: ssl.SSLSocket) -> bool:
        """Whether more comes than the line as it is now."""
        heard = b""
        while b"data: same" not in heard and not heard.endswith(b"\r\n0\r\n\r\n"):
            heard += there.recv(65536)
        return b"data: same" in heard

    settings, cookie = config(tmp_path), "a-browser-that-unlocked-this-kit-before"
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with serving(settings, tmp_path / "logs") as kit:
        known = Paired(digests=(hashlib.sha256(cookie.encode()).hexdigest(),))
        save_fact(kit.home.keys / "paired.json", known)
        pages = [follow() for _ in range(STREAMS)]
        assert all(stays(page) for page in pages)
        more = follow()
        assert not stays(more)
        began = time.monotonic()
        assert kit.page().get("/setup").status == 200
        assert time.monotonic() - began < 2
        for page in (*pages, more):
            page.close()

        def room() -> bool | None:
            with follow() as there:
                return stays(there) or None

        wait_for("room for other pages", room, 20)


def test_ctrl_c_at_a_terminal_ends_it(tmp_path: Path) -> None:
    with serving(config(tmp_path), tmp_path / "logs") as kit:
        running = kit._running["web"]
        os.killpg(running.pid, signal.SIGINT)
        assert running.wait(10) == 0


def test_killed_it_leaves_its_place_to_the_next(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with serving(settings, tmp_path / "logs") as kit:
        kit.pull_the_plug("web")
    with serving(settings, tmp_path / "logs") as kit:
        assert kit.page().get("/setup").status == 200


def test_an_idle_page_has_loaded_nothing_that_decodes_or_sends() -> None:
    heavy = ("av", "numpy", "obstore", "asyncssh", "picamera2")
    asked = f"import sys, web_ui.__main__; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True)
    assert done.stdout == b"[]\n", "each takes tens of megabytes of a small computer"


def started(settings: Config, place: Path) -> subprocess.CompletedProcess[str]:
    """A web process that is expected to end by itself."""
    path = place / "second.toml"
    write_config(path, settings)
    return subprocess.run(command("web", path), capture_output=True, text=True, timeout=30)


def test_two_on_one_home_is_refused_in_words(tmp_path: Path) -> None:
    settings = config(tmp_path)
    with serving(settings, tmp_path / "logs"):
        second = started(config(tmp_path, run=str(tmp_path / "run2")), tmp_path)
    assert second.returncode == 1
    assert "Another web is already running on this home" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_port_that_is_taken_is_refused_in_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = config(tmp_path, port=taken.getsockname()[1])
        second = started(settings, tmp_path)
    assert second.returncode == 1
    assert f"port {settings.port}" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_package_without_the_virtual_kit_has_no_button_whatever_the_settings_say(
    tmp_path: Path,
) -> None:
    here = Path(web_ui.__file__).parent
    shutil.copytree(here, tmp_path / "web_ui", ignore=shutil.ignore_patterns("virtual.py"))
    program = f"""
from appliance.records.clock import SystemClock
from appliance.config import Config
from web_ui.app import build_parts, create_app
config = Config(home={str(tmp_path / "home")!r}, run={str(tmp_path / "run")!r}, camera="scene")
app = create_app(build_parts(config, SystemClock()))
page = app.test_client().get("/setup", base_url="https://localhost")
assert page.status_code == 200 and "virtual" not in page.text.lower(), page.text
print([rule.rule for rule in app.url_map.iter_rules()])
"""
    ended = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{here.parent}"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 0, ended.stderr
    assert "/setup" in ended.stdout and "virtual" not in ended.stdout


def test_settings_that_are_wrong_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "attune.toml"
    path.write_text('camrea = "scene"\n')
    ended = subprocess.run(command("web", path), capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert "camrea" in ended.stderr and "Traceback" not in ended.stderr


def test_a_language_is_spoken_when_its_catalogue_is_there_and_else_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(tmp_path, language=pseudo.LANGUAGE)
    refused = started(settings, tmp_path)
    assert refused.returncode == 1 and "Traceback" not in refused.stderr
    assert f"does not speak {pseudo.LANGUAGE}" in refused.stderr and "may be: en." in refused.stderr
    # Python looks for the program first where it is started.
    shutil.copytree(Path(web_ui.__file__).parent, tmp_path / "web_ui")
    pseudo.catalogue(tmp_path / "web_ui" / "translations")
    monkeypatch.chdir(tmp_path)
    with serving(settings, tmp_path / "logs") as kit:
        assert pseudo.OPEN in kit.page().get("/setup").text


def test_nobody_else_looks_into_the_memory_that_has_an_unlocked_key() -> None:
    asked = (
        "import ctypes; from web_ui.__main__ import keep_to_itself; keep_to_itself();"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, check=True)
    assert done.stdout == b"0\n"
