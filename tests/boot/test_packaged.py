"""The package over its life: other systems, other versions, other hands, and off again.

In this order, for the last of them leave nothing behind.
"""

import re
from pathlib import Path

import pytest
from cryptography.x509 import DNSName, SubjectAlternativeName, load_pem_x509_certificate

from appliance.config import load_config
from appliance.factory_reset import begun, former
from appliance.protocol.audits import FilmsSeen, digest, with_audit
from appliance.protocol.cards import KitCard
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.orders import Reset
from appliance.records.clock import SystemClock
from appliance.records.files import Home, load_fact, save, to_json
from appliance.records.signing import sign_fact
from appliance.selftest.kit import Kit, wait_for
from appliance.vault.keys import PrivateKeys, lock
from tests.boot.conftest import UNITS, Booted
from tests.boot.test_booted import OnUnits, page
from tests.support.homes import an_audit, contents

PASSPHRASE = "lantern orchard velvet thimble cascade juniper"
MOST_EXPOSED = 1.5
"""On systemd's scale from 0 to 10."""


@pytest.fixture(scope="module")
def service() -> PrivateKeys:
    return PrivateKeys.generate("service")


@pytest.fixture(scope="module")
def kit(booted: Booted, service: PrivateKeys, tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """A new kit, set up for a service whose keys are here, with something to lose."""
    booted.run("systemctl", "stop", *UNITS)
    booted.run("sh", "-c", "rm -rf /var/lib/attune/* /run/attune/*/*")
    booted.run("systemd-tmpfiles", "--create", "attune.conf")
    booted.run("systemctl", "start", *UNITS[:2])
    made = OnUnits(booted, tmp_path_factory.mktemp("kit"))
    key = lock(PrivateKeys.generate("practitioner"), PASSPHRASE, work=1)
    made.set_up(page(booted), to_json(service.card()).decode(), key, PASSPHRASE)
    return made


def kept(home: Home) -> dict[str, bytes]:
    """What must be there afterwards as it was before: all but the logs, which go on."""
    return {
        name: data
        for name, data in contents(home.root).items()
        if not name.startswith(("log/", "kit/heads/", "kit/outbox/", "requests/", "."))
    }


def who(booted: Booted) -> str:
    card = load_fact(booted.home.kit / "kit.json", KitCard)
    assert card is not None
    return card.id


@pytest.mark.parametrize("unit", UNITS)
def test_the_kits_own_systemd_finds_each_unit_hardly_exposed(booted: Booted, unit: str) -> None:
    told = booted.run("systemd-analyze", "security", "--no-pager", f"{unit}.service")
    found = re.search(r"exposure level for .*: ([0-9.]+)", told)
    assert found, told
    print(f"\n{unit}: exposed {found[1]}")
    assert float(found[1]) <= MOST_EXPOSED, told


def test_a_home_that_another_system_wrote_is_taken_over_at_the_first_start(
    booted: Booted, kit: Kit
) -> None:
    before = kept(booted.home)
    booted.run("systemctl", "stop", *UNITS)
    # Users had other numbers there, and a new system has no settings yet.
    booted.run("chown", "--recursive", "4711:4711", "/var/lib/attune")
    booted.run("mv", "/etc/attune/attune.toml", "/etc/attune/kept")
    booted.run("systemd-tmpfiles", "--create", "attune.conf")
    booted.run("/usr/lib/attune/first-boot")
    booted.run("mv", "/etc/attune/kept", "/etc/attune/attune.toml")
    booted.run("systemctl", "start", *UNITS[:2])
    assert page(booted).get("/unlock").status == 200
    kit.recorder_shows("the recorder", lambda s: s.state == "idle")
    assert kept(booted.home) == before
    for unit, mine in (("attune-recorder", "kit"), ("attune-web", "keys")):
        assert booted.run("find", f"/var/lib/attune/{mine}", "!", "-user", unit) == ""


def other_version(booted: Booted, version: str) -> list[str]:
    """The same packages under another version; where they lie inside."""
    made = []
    for name in ("attune-kit", "attune-kit-scene", "attune-base"):
        (given,) = (booted.root / "packages").glob(f"{name}_*.deb")
        tree, to = f"/srv/{name}-{version}", f"/srv/{name}-{version}.deb"
        booted.run("dpkg-deb", "--raw-extract", f"/packages/{given.name}", tree)
        control = f"{tree}/DEBIAN/control"
        booted.run("sed", "-i", f"s/^Version: .*/Version: {version}/", control)
        booted.run("sed", "-i", rf"s/attune-kit (\(=\|<<\) .*)/attune-kit (\1 {version})/", control)
        booted.run("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, to)
        made.append(to)
    return made


def install(booted: Booted, packages: list[str]) -> None:
    booted.run(
        "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes",
        "--allow-downgrades", "--no-install-recommends", *packages,
    )  # fmt: skip


def test_an_upgrade_and_a_step_back_keep_films_keys_and_settings(booted: Booted, kit: Kit) -> None:
    settings = (booted.root / "etc/attune/attune.toml").read_bytes()
    before, number = kept(booted.home), who(booted)
    ours = [f"/packages/{path.name}" for path in (booted.root / "packages").iterdir()]
    for packages in (other_version(booted, "99.0"), other_version(booted, "0.0.1"), sorted(ours)):
        install(booted, packages)
        assert page(booted).get("/unlock").status == 200
        kit.recorder_shows("the recorder", lambda s: s.state == "idle" and s.kit == number)
        assert kept(booted.home) == before
        assert (booted.root / "etc/attune/attune.toml").read_bytes() == settings


def test_a_kit_goes_to_other_hands_each_process_removing_its_own(
    booted: Booted, kit: Kit, service: PrivateKeys
) -> None:
    old, certificate = who(booted), (booted.home.keys / "tls.crt").read_bytes()
    now = SystemClock().read().wall
    reset = sign_fact(service.signer, Reset(number=1, kit=old, at=now))
    audit = sign_fact(service.signer, an_audit(now))
    films = tuple(path.name for path in booted.home.recordings.iterdir())
    seen = FilmsSeen(kit=old, audit=digest(audit), at=now, films=films)
    order = with_audit(reset, audit, sign_fact(service.signer, seen)).encode()
    # So that the kit knows what time it is.
    assert page(booted).submit("/unlock", {"passphrase": PASSPHRASE}).status == 200
    kit.recorder_shows("a trusted clock", lambda s: s.clock == "trusted")
    told = page(booted).submit("/kit/reset", {"confirm": "y"}, files={"order": order})
    assert "within 60 seconds" in told.text
    kit.recorder_shows("presence asked for", lambda s: s.state == "presence")
    kit.press()
    wait_for("the end", lambda: former(booted.home) and not begun(booted.home), 60)
    kit.recorder_shows("a new kit", lambda s: s.kit not in ("", old), 30)
    assert load_fact(booted.home.kit / "enrolled.json", Enrolled) is None
    assert who(booted) != old
    wait_for("a new certificate", lambda: (booted.home.keys / "tls.crt").exists(), 30)
    assert (booted.home.keys / "tls.crt").read_bytes() != certificate
    assert old in page(booted).get("/kit/reset").text
    left = booted.run("grep", "-rl", old, "/var/lib/attune", check=False).split()
    assert {Path(path).name for path in left} <= {"former", "log"}
    for unit in UNITS[:2]:
        assert booted.property(unit, "ActiveState") == "active"
        assert booted.property(unit, "NRestarts") == "0", "each begins anew by itself"


def called(booted: Booted) -> list[str]:
    """The host names in the page's certificate."""
    try:
        leaf = load_pem_x509_certificate((booted.home.keys / "tls.crt").read_bytes())
    except OSError:
        return []
    names = leaf.extensions.get_extension_for_class(SubjectAlternativeName).value
    return names.get_values_for_type(DNSName)


def test_what_is_roots_goes_to_other_hands_as_on_the_first_day(booted: Booted, kit: Kit) -> None:
    assert former(booted.home), "the kit was set back"
    etc = booted.root / "etc"
    office = etc / "NetworkManager/system-connections/Old office.nmconnection"
    office.parent.mkdir(parents=True, exist_ok=True)
    (etc / "credstore").mkdir(exist_ok=True)
    for left in (office, etc / "credstore/attune-store"):
        left.write_text("secret")
        left.chmod(0o600)
    with open(etc / "attune/attune.toml", "a") as settings:
        settings.write('store = "sftp://kit@old.example/films"\n')
    booted.run("systemctl", "stop", *UNITS)
    booted.run("systemctl", "restart", "attune-first-boot")
    booted.run("systemctl", "start", *UNITS[:2])
    assert not office.exists() and not (etc / "credstore/attune-store").exists()
    config = load_config(etc / "attune/attune.toml")
    assert (config.store, config.camera, config.segment_seconds) == ("", "scene", 5)
    name = (etc / "hostname").read_text().strip()
    assert booted.run("hostname").strip() == name
    assert f"{name}.local" in config.names
    said = booted.run("journalctl", "--no-pager", "--unit", "attune-first-boot")
    assert "Old office.nmconnection is removed" in said and "secret" not in said
    wait_for("a certificate of that name", lambda: f"{name}.local" in called(booted), 30)
    assert page(booted).get("/setup").status == 200
    booted.run("systemctl", "restart", "attune-first-boot")
    assert (etc / "hostname").read_text().strip() == name, "once"


def test_who_is_not_asked_loses_no_films_and_who_says_yes_does(booted: Booted, kit: Kit) -> None:
    ours = sorted(f"/packages/{path.name}" for path in (booted.root / "packages").iterdir())
    save(booted.home.kit / "a-film", b"it comes only once")
    purge = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "purge", "--yes", "attune-kit")
    said = booted.run(*purge)
    assert "films and keys stay" in said
    assert (booted.home.kit / "a-film").exists()
    assert not (booted.root / "etc/attune/attune.toml").exists()
    install(booted, ours)
    answer = "attune-kit attune-kit/remove-films boolean true"
    booted.run("sh", "-c", f"echo '{answer}' | debconf-set-selections")
    booted.run(*purge)
    assert not booted.home.root.exists()
    assert not (booted.root / "opt/attune/lib").exists()
