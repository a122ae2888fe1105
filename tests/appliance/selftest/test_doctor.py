"""What the doctor says of kits that lack one thing or another."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from appliance.board import HOTTEST
from appliance.commands.main import run
from appliance.config import Config, write_config
from appliance.errors import KitError, NotReached
from appliance.film.manifest import FilmedWith
from appliance.protocol.status import RecorderStatus, SyncState, SyncStatus
from appliance.records.clock import EARLIEST, SystemClock
from appliance.records.files import save, save_fact, to_json
from appliance.selftest.doctor import examine
from appliance.selftest.findings import Finding, Machine, ask
from web_ui.system.tls import ensure_certificate

CLOCK = SystemClock()


def running(command: Sequence[str]) -> str | None:
    if command[-1] == "appliance.media.sandbox":
        return '{"seccomp": true, "landlock": false, "why": ""}'
    return SAYS.get(command[0], {}).get(command[-1], "ActiveState=active\nNRestarts=0\n")


SAYS = {
    "dpkg-query": {
        "attune-kit": "installed",
        "python3-picamera2": "installed 0.3.38-1",
        "libcamera0*": "not-installed \ninstalled 1:0.7.1+rpt20260901-1\n",
    },
    "nmcli": {"--active": "attune-hotspot\nlo\n", "device": "usb0:connected\nwlan0:connected\n"},
    "iw": {"get": "global\ncountry GB: DFS-ETSI\n"},
}


def put(root: Path, path: str, text: str = "") -> None:
    file = root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def status(**given: object) -> RecorderStatus:
    now = CLOCK.read()
    facts: dict[str, object] = {
        "kit": "k", "verifier": "v", "boot": now.boot, "boottime": now.boottime, "state": "ready",
        "light": "ready", "lit": True, "lamp_proven": True, "clock": "trusted", "now": None,
        "reason": "", "case": "", "permit": "", "recording": "", "limit": 0.0, "remaining": 0.0,
        "frames_in": 0, "frames_out": 0, "segments": 0, "bytes_sealed": 0, "ended": None,
        "minutes_free": 90.0, "camera": "imx708", "virtual": False, "timings_ms": {}, "answers": {},
    }  # fmt: skip
    return msgspec.convert({"attune": "recorder-status/v1", **facts, **given}, RecorderStatus)


class Kit:
    """A kit with everything in its place, until a test takes something away."""

    def __init__(self, path: Path) -> None:
        self.root = path / "root"
        self.config = Config(
            home=str(path / "home"),
            run=str(path / "run"),
            read_back_pin=22,
            microphone="hw:CARD=Device,DEV=0",
            store="sftp://kit:secret@base/films?token=secret",
        )
        self.home = self.config.places
        for folder in (
            self.home.keys,
            self.home.status("recorder").parent,
            self.home.status("sync").parent,
            self.home.enrolled.parent,
        ):
            folder.mkdir(parents=True, exist_ok=True)
        ensure_certificate(self.home.keys, ())
        self.tell()
        for file, text in {
            "/sys/class/video4linux/v4l-subdev0/name": "imx708_wide\n",
            "/sys/class/video4linux/video11/name": "bcm2835-codec-encode\n",
            "/proc/asound/cards": " 1 [Device         ]: USB-Audio - USB PnP Sound Device\n",
            "/dev/gpiochip0": "",
            "/sys/class/rtc/rtc0/since_epoch": "1800000000\n",
            "/proc/self/mounts": f"/dev/mmcblk0p2 / ext4 rw,relatime 0 0\n"
            f"/dev/mmcblk0p3 {self.home.root} ext4 rw,noatime 0 0\n",
            "/sys/fs/ext4/mmcblk0p3/errors_count": "0\n",
            "/sys/fs/ext4/mmcblk0p3/lifetime_write_kbytes": "812345678\n",
            "/proc/swaps": "Filename Type Size Used Priority\n",
            "/proc/sys/kernel/core_pattern": "|/bin/false\n",
            "/proc/cmdline": "console=tty1 root=PARTUUID=1 init_on_free=1\n",
            "/proc/meminfo": "MemTotal: 2000000 kB\nMemAvailable: 900000 kB\n"
            "CmaTotal:         262144 kB\nCmaFree:          250000 kB\n",
            "/sys/class/net/wlan0/phy80211/index": "0\n",
            "/sys/class/rfkill/rfkill1/type": "wlan\n",
            "/sys/class/rfkill/rfkill1/soft": "0\n",
            "/sys/class/rfkill/rfkill1/hard": "0\n",
            "/etc/NetworkManager/system-connections/attune-hotspot.nmconnection": "secret",
            "/sys/class/net/usb0/operstate": "up\n",
            "/sys/class/udc/fe980000.usb/state": "configured\n",
            "/sys/devices/platform/soc/soc:firmware/get_throttled": "0\n",
            "/sys/bus/usb/devices/usb1/authorized_default": "0\n",
            "/sys/class/hwmon/hwmon2/name": "rpi_volt\n",
            "/sys/class/hwmon/hwmon2/in0_lcrit_alarm": "0\n",
            "/sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
            "/sys/class/hwmon/hwmon0/temp1_input": "51234\n",
            "/etc/attune/label.toml": 'name = "kit-7k3p"\nkey = "secret"\n',
            "/proc/sys/kernel/hostname": "kit-7k3p\n",
        }.items():
            put(self.root, file, text)
        self.sends("sent")
        save(self.home.enrolled, b"{}")
        self.machine = Machine(
            self.root, CLOCK, running, lambda config: True, lambda radio: ("brcmfmac", "7.45.241")
        )

    def tell(self, **given: object) -> None:
        self.home.status("recorder").write_bytes(to_json(status(**given)))

    def sends(self, state: SyncState, ago: float = 0.0) -> None:
        now = CLOCK.read()
        status = SyncStatus(
            state=state, waiting=0, waiting_bytes=0, sent=0, sent_bytes=0, error="", problems=(),
            withdrawn_elsewhere=(), last_confirmed=None, boot=now.boot,
            boottime=now.boottime - ago,
        )  # fmt: skip
        save_fact(self.home.status("sync"), status)

    def tries(self, answer: bool | KitError) -> None:
        """What comes of trying to delete at the store."""

        def refuses(config: Config) -> bool:
            if isinstance(answer, KitError):
                raise answer
            return answer

        self.machine = replace(self.machine, refuses=refuses)

    def set(self, **settings: object) -> None:
        self.config = msgspec.structs.replace(self.config, **settings)

    def found(self, what: str) -> Finding:
        (finding,) = [f for f in examine(self.config, self.machine) if f.what == what]
        return finding


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return Kit(tmp_path)


def test_a_kit_with_everything_in_its_place_is_well(kit: Kit) -> None:
    # How fast and how full the disk under the tests is, is not the kit's doing.
    found = [f for f in examine(kit.config, kit.machine) if f.what not in ("card", "room")]
    assert len(found) == 29
    assert {f.verdict for f in found} == {"good"}
    assert not any(f.do for f in found)


def test_an_address_with_a_secret_in_it_is_shown_without(kit: Kit) -> None:
    for answer in (True, False, NotReached("It does not answer.")):
        kit.tries(answer)
        saw = kit.found("destination").saw
        assert saw.startswith("Films go to sftp://base/films") and "secret" not in saw


def test_a_store_that_lets_a_kit_delete_is_bad_and_one_that_cannot_be_asked_is_told(
    kit: Kit,
) -> None:
    kit.tries(False)
    assert kit.found("destination").verdict == "bad"
    kit.tries(NotReached("It does not answer.", "Is there a network?"))
    found = kit.found("destination")
    assert (found.verdict, found.do) == ("look", "Is there a network?")
    assert "It does not answer." in found.saw


@pytest.mark.parametrize("state", ["waiting", "interrupted", "refused"])
def test_far_from_base_nobody_speaks_to_the_store(kit: Kit, state: SyncState) -> None:
    def speaks(config: Config) -> bool:
        raise AssertionError("It spoke.")

    kit.machine = replace(kit.machine, refuses=speaks)
    kit.sends(state)
    assert kit.found("destination").verdict == "look"
    kit.sends("sent", ago=200)
    assert kit.found("destination").verdict == "look"
    kit.home.status("sync").unlink()
    assert kit.found("destination").verdict == "look"


def test_a_folder_may_let_a_kit_delete(kit: Kit, tmp_path: Path) -> None:
    kit.set(store=tmp_path.as_uri())
    assert kit.found("destination").verdict == "look"


@pytest.mark.parametrize(
    ("gone", "what"),
    [
        ("sys/class/video4linux/v4l-subdev0/name", "camera"),
        ("proc/asound/cards", "microphone"),
        ("dev/gpiochip0", "pins"),
    ],
)
def test_a_part_that_is_missing_is_told_with_what_to_do(kit: Kit, gone: str, what: str) -> None:
    (kit.root / gone).unlink()
    assert kit.found(what).verdict == "bad"
    assert kit.found(what).do


def test_the_encoder_is_named_as_the_pi_has_it(kit: Kit) -> None:
    assert "in hardware" in kit.found("camera").saw
    (kit.root / "sys/class/video4linux/video11/name").unlink()
    assert "in software" in kit.found("camera").saw


@pytest.mark.parametrize("first", ["dw9807 11-000c", "csi2", "pisp-fe", "unicam-image"])
def test_of_all_that_stands_beside_it_the_sensor_is_named(kit: Kit, first: str) -> None:
    put(kit.root, "/sys/class/video4linux/v4l-subdev0/name", f"{first}\n")
    put(kit.root, "/sys/class/video4linux/v4l-subdev1/name", "imx708_wide 11-001a\n")
    assert kit.found("camera").saw.startswith("imx708_wide,")


def test_a_kit_with_two_cameras_is_told(kit: Kit) -> None:
    put(kit.root, "/sys/class/video4linux/v4l-subdev0/name", "imx708_wide 10-001a\n")
    put(kit.root, "/sys/class/video4linux/v4l-subdev1/name", "dw9807 10-000c\n")
    assert kit.found("camera").verdict == "good"
    put(kit.root, "/sys/class/video4linux/v4l-subdev2/name", "imx219 11-0010\n")
    found = kit.found("camera")
    assert found.verdict == "look" and found.saw.startswith("2 cameras")


def test_what_the_camera_was_set_to_is_told_once_it_was_open(kit: Kit) -> None:
    def pictures() -> list[Finding]:
        return [f for f in examine(kit.config, kit.machine) if f.what == "picture"]

    assert not pictures()
    set_to = FilmedWith(
        camera="imx708_wide", size=(1280, 720), frame_rate=25, encoder="libx264, high",
        bit_rate=5_000_000, read=(2304, 1296), seen=1.0, focus=0.5, exposure=(26, 40_000),
    )  # fmt: skip
    kit.tell(filmed_with=set_to)
    (found,) = pictures()
    assert (found.verdict, found.saw) == (
        "good",
        "Last time imx708_wide was open: 1280 x 720, 25 pictures and 5.0 million bits a second by "
        "libx264, high, 2304 x 1296 points of the sensor read, exposed for 26 to 40000 us, sharp "
        "at 2.0 m, all of the lens's width.",
    )
    for optics, words in (
        ({"seen": 0.667}, "Only 67 % of what imx708_wide sees"),
        ({"focus": 0.0}, "sharp far away"),
    ):
        kit.tell(filmed_with=msgspec.structs.replace(set_to, **optics))
        (found,) = pictures()
        assert words in found.saw and (found.verdict == "look") == ("seen" in optics)
    kit.tell(filmed_with=FilmedWith(
        camera="scene", size=(320, 180), frame_rate=10, encoder="x", bit_rate=1
    ))  # fmt: skip
    (found,) = pictures()
    assert found.verdict == "good" and "width" not in found.saw and "sharp" not in found.saw


@pytest.mark.parametrize(
    ("heat", "verdict"), [("69999", "good"), ("70000", "look"), ("79999", "look"), ("80000", "bad")]
)
def test_a_kit_that_is_too_warm_is_told(kit: Kit, heat: str, verdict: str) -> None:
    put(kit.root, "/sys/class/hwmon/hwmon0/temp1_input", f"{heat}\n")
    assert kit.found("temperature").verdict == verdict
    assert (verdict == "bad") == (int(heat) / 1000 >= HOTTEST)


@pytest.mark.parametrize("heat", ["", "hot", "-4"])
def test_a_computer_that_does_not_say_how_warm_it_is_has_no_line(kit: Kit, heat: str) -> None:
    put(kit.root, "/sys/class/hwmon/hwmon0/temp1_input", heat)
    assert not [f for f in examine(kit.config, kit.machine) if f.what == "temperature"]


def test_a_kit_that_is_called_otherwise_than_its_label_says_is_told(kit: Kit) -> None:
    put(kit.root, "/proc/sys/kernel/hostname", "raspberrypi\n")
    found = kit.found("name")
    assert found.verdict == "bad" and "hostname kit-7k3p" in found.do
    for broken in ("", "name = ", "name = 3", "key = 'x'"):
        put(kit.root, "/etc/attune/label.toml", broken)
        assert not [f for f in examine(kit.config, kit.machine) if f.what == "name"]
    assert "secret" not in str(list(examine(kit.config, kit.machine)))


@pytest.mark.parametrize("name", ["hw:1,0", "plughw:CARD=Device", "hw:Device"])
def test_a_microphone_is_found_by_number_and_by_name(kit: Kit, name: str) -> None:
    kit.set(microphone=name)
    assert kit.found("microphone").verdict == "good"


def test_a_kit_without_a_microphone_is_told_to_be_silent(kit: Kit) -> None:
    kit.set(microphone="")
    assert kit.found("microphone").verdict == "look"


def test_a_light_that_nobody_reads_back_is_unproven(kit: Kit) -> None:
    kit.set(read_back_pin=None)
    assert kit.found("light").verdict == "look"
    kit.set(read_back_pin=22)
    kit.tell(lamp_proven=False)
    assert kit.found("light").verdict == "bad"


def test_a_recorder_that_fell_silent_is_not_taken_for_alive(kit: Kit) -> None:
    kit.tell(boottime=CLOCK.read().boottime - 4)
    assert kit.found("recorder").verdict == "bad"
    kit.tell(boot="another")
    assert kit.found("recorder").verdict == "bad"
    kit.home.status("recorder").write_text("{")
    assert kit.found("recorder").verdict == "bad"


def test_a_recorder_with_a_fault_is_bad(kit: Kit) -> None:
    kit.tell(state="fault", reason="camera-failed")
    assert "camera-failed" in kit.found("recorder").saw
    assert kit.found("recorder").verdict == "bad"


def test_a_clock_that_is_not_trusted_says_how_to_make_it_so(kit: Kit) -> None:
    kit.tell(clock="doubtful")
    put(kit.root, "/sys/class/rtc/rtc0/since_epoch", "12\n")
    assert kit.found("clock").verdict == "look"
    assert "no clock chip" in kit.found("clock").saw


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("/proc/swaps", "Filename Type Size Used Priority\n/var/swap file 102396 0 -2\n"),
        ("/sys/block/zram0/backing_dev", "/dev/loop0\n"),
    ],
)
def test_memory_that_may_reach_the_card_is_bad(kit: Kit, file: str, text: str) -> None:
    put(kit.root, file, text)
    assert kit.found("swap").verdict == "bad"


def test_memory_that_keeps_what_ended_programs_had_in_it_is_told(kit: Kit) -> None:
    assert kit.found("freed memory").verdict == "good"
    put(kit.root, "/proc/cmdline", "console=tty1 root=PARTUUID=1\n")
    assert kit.found("freed memory").verdict == "look"
    assert "init_on_free=1" in kit.found("freed memory").do


def test_compressed_memory_that_stays_in_memory_is_well(kit: Kit) -> None:
    put(kit.root, "/proc/swaps", "Filename Type\n/dev/zram0 partition 1 0 100\n")
    put(kit.root, "/sys/block/zram0/backing_dev", "none\n")
    assert kit.found("swap").verdict == "good"


def test_a_partition_that_is_written_to_when_it_is_read_is_told_with_what_to_do(kit: Kit) -> None:
    root = "/dev/mmcblk0p2 / ext4 rw,noatime 0 0\n"
    put(kit.root, "/proc/self/mounts", f"{root}/dev/sda1 {kit.home.root} ext4 rw,relatime 0 0\n")
    found = kit.found("partition")
    assert found.verdict == "look" and str(kit.home.root) in found.saw and "fstab" in found.do
    put(kit.root, "/proc/self/mounts", f"{root}/dev/sda1 {kit.home.root}-2 ext4 rw,relatime 0 0\n")
    found = kit.found("partition")
    assert (found.verdict, found.saw) == ("good", "/ (ext4) is mounted noatime.")


def test_a_partition_that_hides_another_is_the_one_that_counts(kit: Kit) -> None:
    below, above = (
        f"/dev/sda{number} {kit.home.root} ext4 rw,{how} 0 0\n"
        for number, how in ((1, "noatime"), (2, "relatime"))
    )
    put(kit.root, "/proc/self/mounts", below + above)
    assert kit.found("partition").verdict == "look"


def test_a_card_that_made_errors_is_bad_and_one_that_nobody_counts_for_is_told(kit: Kit) -> None:
    assert "812 GB" in kit.found("wear").saw
    put(kit.root, "/sys/fs/ext4/mmcblk0p3/errors_count", "2\n")
    assert kit.found("wear").verdict == "bad" and kit.found("wear").do
    put(kit.root, "/proc/self/mounts", f"/dev/mapper/films {kit.home.root} xfs rw,noatime 0 0\n")
    assert kit.found("wear").verdict == "look"


def test_a_dump_of_memory_is_bad(kit: Kit) -> None:
    put(kit.root, "/proc/sys/kernel/core_pattern", "core\n")
    assert kit.found("memory dumps").verdict == "bad"


def test_a_voltage_that_sags_is_bad_and_one_that_nobody_measures_is_told(kit: Kit) -> None:
    put(kit.root, "/sys/class/hwmon/hwmon2/in0_lcrit_alarm", "1\n")
    assert kit.found("power").verdict == "bad"
    put(kit.root, "/sys/class/hwmon/hwmon2/name", "cpu_thermal\n")
    assert kit.found("power").verdict == "look"


@pytest.mark.parametrize(
    ("shown", "verdict"),
    [
        ("ActiveState=failed\nNRestarts=0\n", "bad"),
        ("ActiveState=active\nNRestarts=3\n", "look"),
        (None, "bad"),
    ],
)
def test_a_unit_that_does_not_run_or_had_to_be_restarted_is_told(
    kit: Kit, shown: str | None, verdict: str
) -> None:
    kit.machine = replace(kit.machine, ask=lambda _: shown)
    assert kit.found("attune-web.service").verdict == verdict


def test_an_upgrade_that_was_cut_off_is_told_with_what_to_do(kit: Kit) -> None:
    def cut_off(command: Sequence[str]) -> str | None:
        return "half-installed" if command[0] == "dpkg-query" else running(command)

    kit.machine = replace(kit.machine, ask=cut_off)
    assert kit.found("package").verdict == "look"
    put(kit.root, "/opt/attune/upgrading")
    assert kit.found("package").verdict == "bad"
    assert kit.found("package").do.startswith("apt-get install ")


def test_a_kit_without_a_package_has_no_line_about_it(kit: Kit) -> None:
    kit.machine = replace(
        kit.machine, ask=lambda command: None if command[0] == "dpkg-query" else running(command)
    )
    assert not [f for f in examine(kit.config, kit.machine) if f.what == "package"]


def test_a_certificate_that_is_lost_or_broken_is_bad(kit: Kit) -> None:
    certificate = kit.home.keys / "tls.crt"
    assert len(kit.found("certificate").saw) == 95
    certificate.write_text("?")
    assert kit.found("certificate").verdict == "bad"
    certificate.unlink()
    assert kit.found("certificate").verdict == "bad"


def test_a_certificate_that_ipads_refuse_is_looked_at(kit: Kit) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anybody's")])
    for days, verdict in ((825, "good"), (826, "look")):
        leaf = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(EARLIEST)
            .not_valid_after(EARLIEST + timedelta(days=days))
            .sign(key, hashes.SHA256())
        )
        (kit.home.keys / "tls.crt").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        assert kit.found("certificate").verdict == verdict


def test_a_data_partition_that_is_not_there_is_bad(kit: Kit) -> None:
    kit.set(home=str(kit.root / "nowhere"))
    assert kit.found("card").verdict == "bad"


def test_looking_leaves_nothing_on_the_card(kit: Kit) -> None:
    before = sorted(kit.home.root.rglob("*"))
    assert list(examine(kit.config, kit.machine))
    assert sorted(kit.home.root.rglob("*")) == before


def test_the_command_tells_each_line_and_fails_on_a_bad_one(
    kit: Kit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "attune.toml"
    write_config(file, msgspec.structs.replace(kit.config, read_back_pin=None))
    assert run(["doctor", "--config", str(file)]) == 1
    assert "LOOK  light: " in capsys.readouterr().out
    assert run(["doctor", "--config", str(file), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert {"what", "verdict", "saw", "do"} == set(told["findings"][0])


def test_doctor_tries_whether_what_decodes_films_is_held(kit: Kit) -> None:
    found = kit.found("films of others")
    assert (found.verdict, found.do) == ("good", "")
    assert "no Landlock" in found.saw
    # As it is here.
    kit.machine = replace(kit.machine, ask=ask)
    assert kit.found("films of others").saw.startswith("What decodes them is held by seccomp;")


def test_doctor_calls_it_a_fault_where_nothing_can_be_held(kit: Kit) -> None:
    def without(command: Sequence[str]) -> str | None:
        if command[-1] == "appliance.media.sandbox":
            return ask([command[0], "-m", "tests.support.no_seccomp", "appliance.media.sandbox"])
        return running(command)

    kit.machine = replace(kit.machine, ask=without)
    found = kit.found("films of others")
    assert found.verdict == "bad"
    assert "so none is decoded" in found.saw and "libseccomp2" in found.do
    kit.machine = replace(kit.machine, ask=lambda _: None)
    assert kit.found("films of others").verdict == "bad"
