"""Checks each part of a kit and says what to do. It changes nothing.

What a kit needs is asked of the system's own files, of the recorder's live status and of systemd;
no camera is opened, no lamp lit, no key read. Of the service's store it asks one thing, and only
where the sender has found that it may: that this kit can delete nothing there. `make hardware` goes
further, with a person beside.
"""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from appliance.board import HOTTEST, heat
from appliance.config import Config
from appliance.errors import BadFile, KitError
from appliance.protocol.status import STALE_SECONDS, RecorderStatus, SyncStatus
from appliance.records.clock import EARLIEST, Trust
from appliance.records.files import lines, load_fact
from appliance.selftest.doctor_pi import (
    cable,
    camera_memory,
    libraries,
    ports,
    throttling,
    wifi,
)
from appliance.selftest.findings import Finding, Machine, bad, good, look

UNITS = (
    *("attune-recorder.service", "attune-web.service", "attune-sync.service"),
    "attune-firewall.service",
)
_LONGEST_CERTIFICATE = timedelta(days=825)
"""iPads and iPhones take none that is good for longer."""
_SAMPLE = 8 << 20
"""Bytes written to see how fast the card is."""
_ENOUGH = 4.0
"""How many times faster than a film a card should be: it pauses now and then to collect garbage."""
_LEAST_MEMORY = 64 << 20
_WARM = 70.0
"""Degrees Celsius: from here on it wants air."""
_SENSORS = ("imx", "ov")
_RECENT = 150.0
"""Seconds: at base the sender speaks to its store every two minutes."""


def examine(config: Config, machine: Machine) -> Iterator[Finding]:
    """Every finding about a kit with these settings, one after the other."""
    status = _status(config, machine)
    yield _recorder(status)
    if config.camera == "picamera":
        yield _camera(machine)
        yield from _picture(status)
        yield _microphone(config, machine)
        yield _pins(machine)
        yield libraries(machine)
        yield from camera_memory(machine)
    else:
        yield look("camera", "A scene stands in for the camera: this is no kit.")
    yield _light(config, status)
    yield _time(status, machine)
    yield from _card(config)
    yield from _partition(config, machine)
    yield from _memory(machine)
    yield _power(machine)
    yield from throttling(machine)
    yield from _temperature(machine)
    yield from wifi(config, machine)
    yield from cable(machine)
    yield from ports(config, machine)
    yield from _name(config, machine)
    yield _sandbox(machine)
    for unit in UNITS:
        yield _unit(unit, machine)
    yield from _package(machine)
    yield _certificate(config, machine)
    yield _destination(config, machine)


def _status(config: Config, machine: Machine) -> RecorderStatus | None:
    """The recorder's live status, None where it is missing or old."""
    with suppress(BadFile, OSError):
        status = load_fact(config.places.status("recorder"), RecorderStatus)
        if status and machine.clock.read().is_within(STALE_SECONDS, status):
            return status
    return None


def _recorder(status: RecorderStatus | None) -> Finding:
    if status is None:
        return bad(
            "recorder",
            "The recorder is not answering.",
            "See why with: systemctl status attune-recorder",
        )
    if status.state == "fault":
        return bad("recorder", f"The recorder shows a fault: {status.reason}.", "Start it again.")
    return good("recorder", f"The recorder is {status.state}, kit {status.kit}.")


def _camera(machine: Machine) -> Finding:
    names = [n for n in machine.all("/sys/class/video4linux/v4l-subdev*/name") if "unicam" not in n]
    if not names:
        return bad(
            "camera",
            "No camera is plugged in.",
            "Switch off, press the camera's cable home at both ends, switch on.",
        )
    # A lens that is moved, and what carries the picture, have names there as well.
    sensors = [name for name in names if name.startswith(_SENSORS)] or names[:1]
    encoders = machine.all("/sys/class/video4linux/video*/name")
    how = "in hardware" if "bcm2835-codec-encode" in encoders else "in software"
    if len(sensors) > 1:
        return look(
            "camera",
            f"{len(sensors)} cameras are plugged in; it films with one, encoded {how}.",
            "Switch off and unplug all but the one that looks out of the case.",
        )
    return good("camera", f"{sensors[0].split()[0]}, encoded {how}.")


def _picture(status: RecorderStatus | None) -> Iterator[Finding]:
    """What the camera was set to when it was last open; nothing if that was not in this boot."""
    said = status.filmed_with if status is not None else None
    if said is None:
        return
    words = [
        f"{said.size[0]} x {said.size[1]}, {said.frame_rate} pictures and "
        f"{said.bit_rate / 1e6:.1f} million bits a second by {said.encoder}"
    ]
    if said.read is not None:
        words.append(f"{said.read[0]} x {said.read[1]} points of the sensor read")
    if said.exposure is not None:
        shortest, longest = said.exposure
        words.append(f"exposed for {shortest} to {longest} us")
    if said.focus is not None:
        words.append(f"sharp at {1 / said.focus:.1f} m" if said.focus else "sharp far away")
    if said.seen is not None and not said.is_whole:
        yield look(
            "picture",
            f"Only {100 * said.seen:.0f} % of what {said.camera} sees from left to right is filmed "
            f"({', '.join(words)}).",
            "Use a camera of those in docs/hardware.md, or step back further.",
        )
        return
    words += ["all of the lens's width"] if said.seen is not None else []
    yield good("picture", f"Last time {said.camera} was open: {', '.join(words)}.")


def _microphone(config: Config, machine: Machine) -> Finding:
    if not config.microphone:
        return look("microphone", "No microphone is named in the settings: films are silent.")
    card = config.microphone.partition(":")[2].partition(",")[0].removeprefix("CARD=")
    listed = machine.read("/proc/asound/cards")
    known = [line.split("[")[0].strip() for line in lines(listed) if "[" in line]
    known += [line.split("[")[1].split("]")[0].strip() for line in lines(listed) if "[" in line]
    if card in known:
        return good("microphone", f"{config.microphone} is there.")
    return bad(
        "microphone",
        f"{config.microphone} is named in the settings and not there.",
        "Plug it in, or name one of those that 'arecord -L' lists.",
    )


def _pins(machine: Machine) -> Finding:
    if any(machine.paths("/dev/gpiochip*")):
        return good("pins", "The button's and the light's pins can be reached.")
    return bad("pins", "There are no pins here.", "Is this a Raspberry Pi?")


def _light(config: Config, status: RecorderStatus | None) -> Finding:
    if config.read_back_pin is None:
        return look(
            "light",
            "The light is not read back: that the lamp itself works is unproven.",
            "Fit the read-back wire, or look at the lamp before each film.",
        )
    if status is not None and status.lamp_proven:
        return good("light", f"The light is read back; it shows '{status.light}'.")
    return bad("light", "The light is not read back.", "Mend its wire.")


def _time(status: RecorderStatus | None, machine: Machine) -> Finding:
    chip = machine.read("/sys/class/rtc/rtc0/since_epoch")
    kept = chip.isdigit() and datetime.fromtimestamp(int(chip), UTC) >= EARLIEST
    by = "a clock chip keeps the time" if kept else "no clock chip keeps the time"
    if status is not None and status.clock is Trust.TRUSTED:
        return good("clock", f"The time is trusted; {by}.")
    return look(
        "clock",
        f"The time is not trusted yet; {by}.",
        "Unlock the page and say that its time is right: before that no film can begin.",
    )


def _card(config: Config) -> Iterator[Finding]:
    home = Path(config.home)
    try:
        room = os.statvfs(home)
    except OSError as error:
        yield bad(
            "card",
            f"{home} cannot be looked at: {error.strerror}.",
            "Is the data partition mounted?",
        )
        return
    if room.f_flag & os.ST_RDONLY:
        yield bad(
            "card",
            f"{home} can only be read.",
            "The card may be worn out: copy it, then use a new one.",
        )
        return
    minutes = room.f_bavail * room.f_frsize * 8 / config.bits_a_second / 60
    yield Finding(
        "room",
        "good" if minutes >= 60 else "look" if minutes >= 5 else "bad",
        f"Room for about {minutes:.0f} minutes of film.",
        ""
        if minutes >= 60
        else "Sending deletes nothing: use a larger card, or reset the kit when all is sent.",
    )
    try:
        speed = _written_per_second(home)
    except OSError as error:
        yield bad(
            "card",
            f"Nothing can be written to {home}: {error.strerror}.",
            "Run this as root; if you did, use a new card.",
        )
        return
    times = speed * 8 / config.bits_a_second
    yield Finding(
        "card",
        "good" if times >= _ENOUGH else "look" if times >= 1.5 else "bad",
        f"It takes {speed / 1e6:.1f} MB a second, {times:.0f} times what a film needs.",
        "" if times >= _ENOUGH else "Use a faster card (A2, high endurance).",
    )


def _written_per_second(home: Path) -> float:
    """How fast the card writes and syncs random bytes. The file has no name and leaves none."""
    file = os.open(home, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        data = os.urandom(1 << 20)
        began = time.monotonic()
        for _ in range(_SAMPLE // len(data)):
            os.write(file, data)
            os.fdatasync(file)
        return _SAMPLE / (time.monotonic() - began)
    finally:
        os.close(file)


def _partition(config: Config, machine: Machine) -> Iterator[Finding]:
    """How the partition under the kit's home is mounted, and what it has been through. Nothing
    where the system does not say what is mounted."""
    # The deepest mount above the home; of two at one place the later hides the earlier.
    mounts = [line.split() for line in lines(machine.read("/proc/self/mounts"))]
    above = [line for line in mounts if Path(config.home).is_relative_to(line[1])]
    if not above:
        return
    device, place, kind, options, *_ = max(reversed(above), key=lambda line: len(line[1]))
    quiet = "noatime" in options.split(",")
    yield Finding(
        "partition",
        "good" if quiet else "look",
        f"{place} ({kind}) is {'' if quiet else 'not '}mounted noatime.",
        "" if quiet else f"Add noatime to the line of {place} in /etc/fstab: looking wears cards.",
    )
    # ext4 counts both; a card itself says nothing of its wear.
    counted = f"/sys/fs/ext4/{Path(device).name}"
    errors = machine.read(f"{counted}/errors_count")
    written = machine.read(f"{counted}/lifetime_write_kbytes")
    if errors not in ("", "0"):
        yield bad(
            "wear",
            f"{device} has made errors: {errors}.",
            "Send what is waiting, then use a new card.",
        )
    elif written.isdigit():
        total = f"{int(written) / 1e6:.0f} GB were written to {device} so far"
        yield good("wear", f"{total}, without an error.")
    else:
        yield look("wear", f"Nobody counts what is written to {device} ({kind}).")


def _memory(machine: Machine) -> Iterator[Finding]:
    swap = lines(machine.read("/proc/swaps"))[1:]
    to_card = [line.split()[0] for line in swap if not line.startswith("/dev/zram")]
    written_back = [n for n in machine.all("/sys/block/zram*/backing_dev") if n != "none"]
    if to_card or written_back:
        yield bad(
            "swap",
            f"Memory may be written to {', '.join(to_card + written_back)}: a key could be in it.",
            "Turn it off: the package's settings do, or 'swapoff -a' until the next start.",
        )
    else:
        yield good("swap", "No memory is ever written to the card.")
    pattern = machine.read("/proc/sys/kernel/core_pattern")
    yield (
        good("memory dumps", "A crash leaves no dump.")
        if pattern in ("", "|/bin/false")
        else bad(
            "memory dumps",
            f"A crash of another program may leave its memory: {pattern}.",
            "Set kernel.core_pattern to |/bin/false, as the package does.",
        )
    )
    yield (
        good("freed memory", "What a process had in memory is overwritten as it ends.")
        if "init_on_free=1" in machine.read("/proc/cmdline").split()
        else look(
            "freed memory",
            "What a process had in memory waits to be overwritten by the next one that needs it.",
            "Start the kit once more: the package sets init_on_free=1 in cmdline.txt.",
        )
    )
    fields = (line.split() for line in lines(machine.read("/proc/meminfo")))
    free = next((int(line[1]) << 10 for line in fields if line[0] == "MemAvailable:"), 0)
    yield Finding(
        "memory",
        "good" if free >= _LEAST_MEMORY else "look",
        f"{free >> 20} MiB are free.",
        "" if free >= _LEAST_MEMORY else "Close other programs: this kit should run nothing else.",
    )


def _power(machine: Machine) -> Finding:
    volts = [
        machine.read(str(Path(name).with_name("in0_lcrit_alarm")))
        for name in machine.paths("/sys/class/hwmon/hwmon*/name")
        if machine.read(str(name)) == "rpi_volt"
    ]
    if not volts:
        return look("power", "This computer does not say whether its power is steady.")
    if "1" in volts:
        return bad(
            "power",
            "The voltage is too low.",
            "Use a power bank and a cable for 5 V and 3 A or more.",
        )
    return good("power", "The voltage is as it should be.")


def _temperature(machine: Machine) -> Iterator[Finding]:
    """Nothing where the computer does not say."""
    degrees = heat(machine.root)
    if degrees is None or degrees < 0:
        return
    saw = f"The processor has {degrees:.0f} degrees."
    if degrees >= HOTTEST:
        yield bad("temperature", f"{saw} No film begins.", "Let it cool, and give it a cooler.")
    elif degrees >= _WARM:
        yield look("temperature", saw, f"Let air to it: at {HOTTEST:.0f} no film begins.")
    else:
        yield good("temperature", saw)


def _name(config: Config, machine: Machine) -> Iterator[Finding]:
    """Whether the kit is called as its label says; nothing where it has none."""
    try:
        label = msgspec.toml.decode(machine.read(config.label), type=dict[str, str]).get("name", "")
    except msgspec.DecodeError:
        label = ""
    called = machine.read("/proc/sys/kernel/hostname")
    if not label or not called:
        return
    if called == label:
        yield good("name", f"It is called {label}, as on its label.")
    else:
        yield bad(
            "name",
            f"It is called {called}, and {label} on its label and in its certificate.",
            f"Name it again: sudo hostnamectl hostname {label}",
        )


class _Holds(msgspec.Struct, forbid_unknown_fields=True):
    """What `appliance.media.sandbox` says of this machine, having tried it."""

    seccomp: bool
    landlock: bool
    why: str


def _sandbox(machine: Machine) -> Finding:
    """Whether what decodes films, hostile ones too, is held to what it may do."""
    told = machine.ask([sys.executable, "-m", "appliance.media.sandbox"])
    try:
        holds = msgspec.json.decode(told or "", type=_Holds)
    except msgspec.DecodeError:
        holds = _Holds(seccomp=False, landlock=False, why="what tries it does not start")
    if not holds.seccomp:
        return bad(
            "films of others",
            f"Nothing that decodes films can be set apart, so none is decoded: {holds.why}.",
            "Install libseccomp2, and use a kernel with CONFIG_SECCOMP_FILTER, on a 64-bit system.",
        )
    also = "Landlock holds too" if holds.landlock else "this kernel has no Landlock beside it"
    return good("films of others", f"What decodes them is held by seccomp; {also}.")


def _unit(unit: str, machine: Machine) -> Finding:
    shown = machine.ask(["systemctl", "show", "-p", "ActiveState", "-p", "NRestarts", unit])
    told = dict(line.split("=", 1) for line in lines(shown or "") if "=" in line)
    if told.get("ActiveState") != "active":
        return bad(
            unit, f"It is {told.get('ActiveState', 'not known here')}.", f"systemctl status {unit}"
        )
    restarts = int(told.get("NRestarts") or 0)
    if restarts:
        return look(
            unit, f"It runs, and had to be started again {restarts} times.", f"journalctl -u {unit}"
        )
    return good(unit, "It runs.")


def _package(machine: Machine) -> Iterator[Finding]:
    """Nothing where the kit was not installed from its package."""
    told = machine.ask(["dpkg-query", "--show", "--showformat=${db:Status-Status}", "attune-kit"])
    if told == "installed":
        yield good("package", "It is installed as it should be.")
    elif told:
        again = "apt-get install ./attune-kit_VERSION_ARCH.deb"
        if (machine.root / "opt/attune/upgrading").exists():
            yield bad("package", "An upgrade was cut off; this kit does not film.", again)
        else:
            yield look("package", "An upgrade was cut off; the program itself is whole.", again)


def _certificate(config: Config, machine: Machine) -> Finding:
    path = config.places.keys.certificate
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return bad(
            "certificate",
            "The page has no certificate that can be read.",
            "Start attune-web: it makes one, and the label must be printed again.",
        )
    print_of = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    if certificate.not_valid_after_utc < machine.clock.read().wall:
        return bad("certificate", f"It has run out. {print_of}", "Make a new one.")
    if certificate.not_valid_after_utc - certificate.not_valid_before_utc > _LONGEST_CERTIFICATE:
        return look(
            "certificate",
            f"iPads refuse it: it is good for more than 825 days. {print_of}",
            "Take tls.crt out of keys/ and start attune-web: it makes another. Print the label "
            "again, and put the new authority on each device. Of the service's own: a shorter one.",
        )
    return good("certificate", print_of)


def _destination(config: Config, machine: Machine) -> Finding:
    if not config.store:
        return look(
            "destination",
            "No service is set: films stay on this kit.",
            "Set 'store' in the settings.",
        )
    from appliance.stores import REMOTE

    # Without what may stand before an @ or behind a question mark: a secret is shown to nobody.
    place = urlsplit(config.store)
    where = f"Films go to {place.scheme}://{place.hostname or ''}{place.path}"
    if place.scheme not in REMOTE:
        return look(
            "destination",
            f"{where}; a folder's own rights decide whether this kit could delete there.",
            "Keep copies of that folder where no kit can reach them.",
        )
    if not _is_sending(config, machine):
        return look(
            "destination",
            f"{where}; whether it lets this kit delete was not tried: the kit is not sending now.",
            "Look again at base, when the page says that everything was sent.",
        )
    try:
        refused = machine.refuses(config)
    except KitError as error:
        return look(
            "destination",
            f"{where}; whether it lets this kit delete could not be told: {error.sentence}",
            error.hint,
        )
    if refused:
        return good("destination", f"{where}. A delete was tried there, and refused.")
    return bad(
        "destination",
        f"{where}. A delete was tried there, and done: a stolen kit could take films away.",
        "Ask your service for an access file that can only create and read.",
    )


def _is_sending(config: Config, machine: Machine) -> bool:
    """True if the sender speaks to its store just now; in a family's network nobody does."""
    try:
        status = load_fact(config.places.status("sync"), SyncStatus)
    except BadFile:
        return False
    return (
        status is not None
        and machine.clock.read().is_within(_RECENT, status)
        and status.state in ("sending", "sent", "incomplete")
    )
