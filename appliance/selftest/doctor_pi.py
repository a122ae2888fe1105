"""The doctor's lines on what only a Pi has: its radio, its cable, its camera's memory, its power.

Where a computer does not have what a line is about, there is no line. What files and commands say
is read strictly: what nobody understands is not taken for well.
"""

import re
from collections.abc import Iterator

from appliance.board import Throttle, throttled
from appliance.config import Config
from appliance.protocol.status import is_at_base
from appliance.records.files import lines
from appliance.selftest.findings import Finding, Machine, bad, good, look

_HOTSPOT = "attune-hotspot"
"""The profile that `systemd/first-boot` makes."""
_COUNTRY = "sudo raspi-config nonint do_wifi_country GB"
OLDEST_PICAMERA2 = (0, 3, 37)
"""The first that takes the form of picture that the camera is asked for (NV12)."""
LEAST_CAMERA_MEMORY = 40 << 20
"""Bytes. Calculated, not measured: a film at 720p of the largest sensor that the kit reads (2028 x
1520 points of 12 bits) takes four pictures of the sensor (18 MB), six of the film (8 MB) and what
the encoder gives (6 MB)."""
_HELD_BACK = {
    Throttle.UNDER_VOLTAGE: "its voltage is too low",
    Throttle.CAPPED: "it is held to a lower speed",
    Throttle.SLOWED: "it is slowed down",
    Throttle.SOFT_LIMIT: "it is so warm that it is slowed down",
}


def wifi(config: Config, machine: Machine) -> Iterator[Finding]:
    """Whether the kit's own Wi-Fi is there to join, and if not, why; nothing without a radio."""
    radios = [path.parent.name for path in machine.paths("/sys/class/net/*/phy80211")]
    profile = f"/etc/NetworkManager/system-connections/{_HOTSPOT}.nmconnection"
    if not radios or not machine.is_there(profile):
        return
    trouble = _radio_trouble(machine, radios)
    if trouble is not None:
        yield trouble
        return
    active = machine.ask(["nmcli", "--terse", "--fields", "NAME", "connection", "show", "--active"])
    if active is None:
        yield bad("Wi-Fi", "NetworkManager does not answer.", "systemctl status NetworkManager")
    elif _HOTSPOT in lines(active):
        yield good("Wi-Fi", "The kit's own network is there to join.")
    elif is_at_base(config.places, machine.clock.read()):
        yield good("Wi-Fi", "The kit's own network makes way for the one at base.")
    else:
        yield bad(
            "Wi-Fi",
            "The kit's own network is not there.",
            f"See why with: sudo nmcli connection up {_HOTSPOT}",
        )


def _radio_trouble(machine: Machine, radios: list[str]) -> Finding | None:
    for radio in radios:
        name, version = machine.driver(radio)
        # Of the two chips that a Zero 2 W may have, the one with this program (BCM43430/2) gives
        # whoever joins an address and no word more: RPi-Distro/firmware-nonfree, issue 59.
        if len(radios) == 1 and name == "brcmfmac" and version.startswith("9.88."):
            return bad(
                "Wi-Fi",
                f"Nobody can join this Pi's radio (BCM43430/2, {version}).",
                "This Zero cannot be a kit without a USB radio or the cable to a laptop.",
            )
    for switch in machine.paths("/sys/class/rfkill/rfkill*/type"):
        if machine.read(str(switch)) != "wlan":
            continue
        if machine.read(str(switch.with_name("hard"))) == "1":
            return bad("Wi-Fi", "A switch on the radio keeps it off.", "Switch it on.")
        if machine.read(str(switch.with_name("soft"))) == "1":
            return bad(
                "Wi-Fi",
                "The radio is off: nobody has said in which country it is.",
                f"{_COUNTRY}, and start the kit again.",
            )
    if not _country(machine):
        return bad("Wi-Fi", "The radio does not know in which country it is.", _COUNTRY)
    return None


def _country(machine: Machine) -> str:
    """Two letters, '' where none is set (00 is the world, where a radio mostly listens)."""
    given = machine.read("/sys/module/cfg80211/parameters/ieee80211_regdom")
    told = machine.ask(["iw", "reg", "get"]) or ""
    known = re.search(r"^country ([A-Z]{2}):", told, re.MULTILINE)
    return known[1] if known else given if re.fullmatch("[A-Z]{2}", given) else ""


def cable(machine: Machine) -> Iterator[Finding]:
    """Whether a laptop on the USB cable finds the page; nothing where the Pi was not told to be a
    network adapter, as most kits are not."""
    told = re.search(r"\bmodules-load=\S*\bg_ether\b", machine.read("/proc/cmdline"))
    if not machine.is_there("/sys/class/net/usb0"):
        if told:
            yield bad(
                "USB cable",
                "It was told to be a network for a laptop, and there is none.",
                "Write dtoverlay=dwc2,dr_mode=peripheral below [all] into config.txt.",
            )
        return
    if "udc" not in {path.parts[3] for path in machine.paths("/sys/class/udc/*")}:
        return  # A telephone that is plugged in is a network as well, and no cable of ours.
    devices = machine.ask(["nmcli", "--terse", "--fields", "DEVICE,STATE", "device"]) or ""
    state = dict(line.split(":", 1) for line in lines(devices) if ":" in line).get("usb0", "")
    if state in ("", "unmanaged"):
        yield bad(
            "USB cable",
            "NetworkManager leaves the cable to a laptop alone.",
            "Install the package again: it has /usr/lib/NetworkManager/conf.d/60-attune-usb.conf.",
        )
    elif "configured" in machine.all("/sys/class/udc/*/state"):
        yield good("USB cable", "A laptop is on the cable.")
    else:
        yield good("USB cable", "Ready for a laptop; there is none, or only a charger.")


def camera_memory(machine: Machine) -> Iterator[Finding]:
    """What is kept for the camera (CMA); nothing where the kernel keeps none."""
    fields: dict[str, str] = {}
    for line in lines(machine.read("/proc/meminfo")):
        if found := re.fullmatch(r"(Cma\w+): +([0-9]{1,12}) kB", line):
            fields[found[1]] = found[2]
    if "CmaTotal" not in fields or "CmaFree" not in fields:
        return
    total, free = (int(fields[name]) << 10 for name in ("CmaTotal", "CmaFree"))
    saw = f"{total >> 20} MiB are kept for the camera, {free >> 20} MiB of it are free."
    if 0 < total < LEAST_CAMERA_MEMORY:
        yield bad(
            "camera memory",
            f"{saw} A film of 720p does not fit.",
            "Write dtoverlay=vc4-kms-v3d,cma-128 into config.txt.",
        )
    elif total > 0 and free < LEAST_CAMERA_MEMORY // 2:
        yield look("camera memory", saw, "Start the kit again if the camera does not start.")
    elif total:
        yield good("camera memory", saw)


def libraries(machine: Machine) -> Finding:
    """Which picamera2 and libcamera film here."""
    show = ("dpkg-query", "--show", "--showformat=${db:Status-Status} ${Version}\n")
    found = _version(machine.ask([*show, "python3-picamera2"]))
    libcamera = _version(machine.ask([*show, "libcamera0*"])) or "unknown"
    if not found:
        return bad(
            "camera software", "picamera2 is not installed.", "apt-get install python3-picamera2"
        )
    saw = f"picamera2 {found}, libcamera {libcamera}."
    numbers = re.match(r"([0-9]{1,4})\.([0-9]{1,4})\.([0-9]{1,4})(?![0-9])", found)
    if numbers is None or tuple(int(one) for one in numbers.groups()) < OLDEST_PICAMERA2:
        oldest = ".".join(str(one) for one in OLDEST_PICAMERA2)
        return bad(
            "camera software",
            f"{saw} It is older than {oldest}, and nothing is filmed with it.",
            "apt-get update && apt-get install python3-picamera2",
        )
    return good("camera software", saw)


def _version(told: str | None) -> str:
    """The first version that is installed, of lines "installed 1.2.3-4"; '' for none."""
    for line in lines(told or ""):
        if found := re.fullmatch(r"installed (?:[0-9]+:)?([0-9A-Za-z.+~-]{1,64})", line):
            return found[1]
    return ""


def throttling(machine: Machine) -> Iterator[Finding]:
    """What the Pi itself does against low voltage and heat; nothing where it does not say."""
    found = throttled(machine.root)
    if found is None:
        return
    now = [words for why, words in _HELD_BACK.items() if why in found.now]
    lately = [words for why, words in _HELD_BACK.items() if why in found.lately]
    do = "Use a power bank and a short cable for 5 V and 3 A or more, and let air to it."
    if now:
        yield bad("speed", f"The Pi says that {', '.join(now)}.", do)
    elif lately:
        yield look("speed", f"Not long ago the Pi said that {', '.join(lately)}.", do)
    else:
        yield good("speed", "The Pi is not slowed down.")


def ports(config: Config, machine: Machine) -> Iterator[Finding]:
    """Whether a kit that is set up lets in what is plugged in; nothing without USB."""
    said = machine.all("/sys/bus/usb/devices/usb*/authorized_default")
    if not said or not config.places.enrolled.exists():
        return
    if machine.is_there("/boot/firmware/attune-login"):
        yield look(
            "ports",
            "It has a login on its screen, and its USB ports are open: somebody asked for that.",
            "When you are done: sudo rm /boot/firmware/attune-login, and start it again.",
        )
    elif set(said) == {"0"}:
        yield good("ports", "Nothing new comes in by USB, but a stick that the page asks for.")
    else:
        yield look(
            "ports",
            "Whatever is plugged into its USB ports comes in.",
            "Start the kit again; if that does not help: journalctl -u attune-quiet",
        )
