"""The tests mirror the code: what a module promises is looked for in the test file of its name."""

import pytest

from tests.support.places import PACKAGES, ROOT, TESTS

SMALL = 60
"""Lines. A module that is no longer is tested where it is used."""

COMMANDS, ARMING = "appliance/commands/test_main", "web_ui/pages/test_cases"
VERBS = "appliance/base/test_verbs"
SENDER = "appliance/sync/test_sender"
WITHDRAWAL, READMISSION = (f"appliance/casework/test_{n}" for n in ("withdrawal", "readmission"))
STEPS = "web_ui/pages/test_consent_steps"
FORGOTTEN, STATUS = (f"web_ui/pages/test_{n}" for n in ("forgotten_passphrase", "status"))

ELSEWHERE = {
    # What the doctor looks at, tested with what it says.
    "appliance.selftest.findings": "appliance/selftest/test_doctor_pi",
    # On a system that boots, for it speaks with systemd.
    "appliance.selftest.units": "boot/test_accepted",
    # A form of writing, tested with what is written in it.
    "appliance.age.armor": "appliance/age/test_unsealing",
    "appliance.age.bech32": "appliance/age/test_identities",
    "appliance.age.recipients": "project/test_recipients",
    "appliance.age.scrypt": "appliance/age/test_identities",
    "appliance.media.avc": "appliance/media/test_cutting",
    "appliance.media.wire": "appliance/media/test_apart",
    # Facts, tested where they are judged.
    "appliance.protocol.audits": "appliance/test_factory_reset",
    "appliance.protocol.case_record": WITHDRAWAL,
    "appliance.protocol.emptying": "firmware/test_emptying",
    "appliance.protocol.notes": "appliance/test_verifying",
    "appliance.protocol.objects": SENDER,
    "appliance.protocol.orders": WITHDRAWAL,
    "appliance.protocol.readmission": READMISSION,
    "appliance.protocol.roster": "appliance/base/test_roster",
    "appliance.protocol.status": "firmware/test_runner",
    # What is said of an error, on the page and in the log.
    "appliance.errors": "web_ui/test_errors",
    # Half of something that is only right as a whole.
    "appliance.casework.closing": WITHDRAWAL,
    "appliance.casework.consent_draft": STEPS,
    "appliance.casework.forks": "web_ui/pages/test_forks",
    "appliance.base.people": READMISSION,
    "appliance.base.cases": "appliance/base/custody/test_anew",
    "appliance.base.desk": "appliance/base/test_orders",
    "appliance.sync.orders": "appliance/base/test_orders",
    "appliance.film.segment": "firmware/test_writer",
    "appliance.media.decoder": "appliance/media/test_apart",
    "appliance.media.remaking": "appliance/media/test_survey",
    "appliance.media.transcoding": "appliance/casework/test_importing",
    "firmware.camera": "firmware/test_camera_contract",
    **{
        f"firmware.{name}": "firmware/test_runner"
        for name in ("cameras.late", "capture", "filming")
    },
    "firmware.muxer": "firmware/test_writer",
    "firmware.joined": "firmware/test_main",
    "appliance.program": "firmware/test_main",
    "firmware.pins.lamp": "firmware/test_light",
    # Real cameras and stores have tiers of their own.
    "firmware.cameras.picamera": "rig/test_pi_camera",
    "firmware.cameras.testcard": "firmware/cameras/test_scene",
    # Parts of one scene, seen and heard as a whole.
    **{
        f"firmware.cameras.family.{name}": "firmware/cameras/test_family"
        for name in (
            *("brush", "cast", "figures", "heads", "plays"),
            *("room", "scene", "script", "voices"),
        )
    },
    "appliance.media.av_sync": "firmware/cameras/test_scene",
    "appliance.stores": "appliance/stores/test_access",
    **{f"appliance.stores.{name}": "stores" for name in ("cloud", "s3", "sftp", "store")},
    # Programs, started as programs.
    "appliance.base.__main__": COMMANDS,
    "appliance.commands.escrow": "appliance/vault/test_escrow",
    "appliance.base.commands.carrying": "appliance/base/custody/test_carrying",
    "appliance.base.commands.giving": "appliance/base/custody/test_giving",
    "appliance.base.commands.custody": "appliance/base/custody/test_keys",
    "appliance.base.custody.next": "appliance/base/custody/test_keys",
    "appliance.base.service": VERBS,
    "appliance.base.commands.overview": "appliance/base/test_status",
    "appliance.base.commands.keeping": "appliance/base/keeping/test_auditing",
    "appliance.base.commands.exporting": "appliance/base/keeping/test_exporting",
    "appliance.base.commands.refusing": "appliance/base/test_refusals",
    "appliance.base.commands.retention": "appliance/base/keeping/test_retention",
    "appliance.base.commands.restoring": "appliance/base/keeping/test_restoring",
    "appliance.base.commands.roster": "appliance/base/test_roster",
    **{f"appliance.base.commands.{n}": VERBS for n in ("families", "kits", "people", "serving")},
    "appliance.sync.__main__": COMMANDS,
    **{f"appliance.commands.{n}": COMMANDS for n in ("films", "keys", "kit", "options", "tryout")},
    # Measures are run by hand, on a machine that does nothing else; tested is their frame.
    **{
        f"appliance.bench.{name}": "appliance/bench/test_bench"
        for name in (
            *("audit", "base", "ceph", "certificates", "clips", "films", "importing"),
            *("page", "record", "seal", "start", "sync"),
        )
    },
    **{
        f"appliance.bench.odd.{name}": "appliance/bench/test_odd_films"
        for name in ("drawn", "expected", "kinds", "looks", "muxed", "recorded", "times")
    },
    # What tries out a whole kit is tested by trying one out.
    **{
        f"appliance.selftest.{name}": "promises"
        for name in ("browser", "demo", "faults", "kit", "rehearsal", "seen", "visit")
    },
    # What pages share, tested on the page that somebody sees.
    # Of every visit that is tried, and of the browser's.
    "appliance.selftest.consenting": STEPS,
    "appliance.bench.walk": "browser/test_consent",
    "web_ui.app": "web_ui/test_views",
    "web_ui.parts": "web_ui/test_views",
    "web_ui.forms": "web_ui/test_bad_input",
    "web_ui.recorder": STATUS,
    "web_ui.consent_form": STEPS,
    "web_ui.keeper": "web_ui/pages/test_course",
    "web_ui.housekeeping": "web_ui/pages/test_course",
    "web_ui.pages.arming": ARMING,
    "web_ui.pages.factory_reset": "appliance/test_factory_reset",
    "web_ui.session.copying": "web_ui/pages/test_copies",
    "web_ui.session.current": ARMING,
    "web_ui.session.enrolment": FORGOTTEN,
    "web_ui.session.forks": "web_ui/pages/test_forks",
    "web_ui.session.unlocked": "web_ui/session/test_session",
    "web_ui.wording.log_events": "web_ui/pages/test_log",
    "web_ui.wording.status_line": STATUS,
}
"""Modules without a test file of their name, by why; and where they are tested."""


def modules() -> dict[str, str]:
    """Every module that is not small, and the test file of its name."""
    found = {}
    for path in sorted(p for package in PACKAGES for p in (ROOT / package).rglob("*.py")):
        if len(path.read_text().splitlines()) > SMALL:
            place = path.parent.relative_to(ROOT).as_posix()
            stem = {"__main__": "main", "__init__": path.parent.name}.get(path.stem, path.stem)
            dotted = f"{place}/{path.stem}".replace("/", ".").removesuffix(".__init__")
            found[dotted] = f"{place}/test_{stem}"
    return found


def test_every_module_has_a_test_file_of_its_name_or_says_where_it_is_tested() -> None:
    missing = {name for name, file in modules().items() if not (TESTS / f"{file}.py").exists()}
    assert sorted(missing - set(ELSEWHERE)) == []
    # What has its own by now, or is gone, excuses nothing that comes later.
    assert sorted(set(ELSEWHERE) - missing) == []


@pytest.mark.parametrize("place", sorted(set(ELSEWHERE.values())))
def test_where_a_module_is_tested_elsewhere_there_are_tests(place: str) -> None:
    path = TESTS / place
    files = path.glob("test_*.py") if path.is_dir() else [path.with_suffix(".py")]
    assert any("def test_" in file.read_text() for file in files)
