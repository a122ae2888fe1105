"""Whether here and now is the place and the time to send.

A network's name proves nothing; the pinned store does. Still, a kit in a family's Wi-Fi stays
silent: it sends over a cable, or where the practitioner has said that this is base, or in a
network that the service listed, and there only while no family's case is armed.
"""

import contextlib
import shutil
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import time
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from appliance.protocol.status import Why
from appliance.records.files import lines
from appliance.stores import REMOTE

_ON_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Link:
    """A network that the kit is connected to and would reach the store through."""

    interface: str
    wireless: bool
    connection: str = ""
    """NetworkManager's name of it, '' if unknown."""


def why_not(
    links: Sequence[Link],
    *,
    at_base: bool,
    listed: Collection[str],
    armed: bool,
) -> Why | None:
    """Why nothing may be sent through any of `links`; None if it may. Pure."""
    if not links:
        return "no-network"
    air = [link for link in links if link.wireless]
    if at_base or not air:
        return None
    if not armed and all(link.connection in listed for link in air):
        return None
    return "not-at-base"


def within(hours: str, now: time) -> bool:
    """True if `now` lies in hours such as 18:00-07:00; '' is always."""
    if not hours:
        return True
    start, end = (time.fromisoformat(text) for text in hours.split("-"))
    return start <= now < end if start <= end else now >= start or now < end


def needs_a_network(store: str) -> bool:
    """False for a folder, and for a store on this very machine."""
    address = urlsplit(store)
    host = address.hostname if address.scheme == "sftp" else None
    if address.scheme in ("s3", "az"):
        host = urlsplit(dict(parse_qsl(address.query)).get("endpoint", "")).hostname
    return address.scheme in REMOTE and host not in _ON_THIS_MACHINE


def links(system: Path = Path("/")) -> list[Link]:
    """The networks that the kernel sends through: those of the best default routes, or, where
    there is none, every cable that is plugged in."""
    routed = _default_interfaces(system / "proc/net/route", system / "proc/net/ipv6_route")
    folder = system / "sys/class/net"
    names = routed or {
        path.name
        for path in folder.iterdir()
        if path.name != "lo" and _is_up(path) and not _is_wireless(path)
    }
    known = _connections(names) if any(_is_wireless(folder / name) for name in names) else {}
    return [Link(name, _is_wireless(folder / name), known.get(name, "")) for name in sorted(names)]


def _default_interfaces(ipv4: Path, ipv6: Path) -> set[str]:
    best: dict[str, tuple[int, set[str]]] = {}
    for family, path in (("4", ipv4), ("6", ipv6)):
        if not path.exists():
            continue
        for line in lines(path.read_text()):
            words = line.split()
            if family == "4":
                if len(words) < 8 or words[1] != "00000000" or words[7] != "00000000":
                    continue
                name, metric = words[0], int(words[6])
            else:
                if len(words) < 10 or words[0] != "0" * 32 or words[1] != "00":
                    continue
                name, metric = words[9], int(words[5], 16)
            if name == "lo":
                continue
            lowest, found = best.get(family, (metric, set()))
            if metric < lowest:
                lowest, found = metric, set()
            if metric == lowest:
                found.add(name)
            best[family] = (lowest, found)
    return {name for _, found in best.values() for name in found}


def _is_wireless(interface: Path) -> bool:
    """Whichever sign there is counts: in doubt it is a network in somebody's air."""
    return (
        interface.name.startswith(("wl", "ww"))
        or (interface / "wireless").exists()
        or (interface / "phy80211").exists()
    )


def _is_up(interface: Path) -> bool:
    with contextlib.suppress(OSError):  # `carrier` of an interface that is down cannot be read
        return (interface / "carrier").read_text().strip() == "1"
    return False


def _connections(interfaces: Collection[str]) -> dict[str, str]:
    """The name of the connection of each of these, as NetworkManager has it.

    Attack: a name in the air has a line break in it, and its first line is a network of the
    service's. So each name is asked for by itself, and is all of what is answered.
    """
    found: dict[str, str] = {}
    for line in lines(_nmcli("DEVICE,UUID", "--active")):
        device, _, uuid = line.partition(":")
        if device in interfaces:
            found[device] = _nmcli("connection.id", "uuid", uuid).removesuffix("\n")
    return found


def _nmcli(fields: str, *which: str) -> str:
    """These fields of connections; '' if it cannot be told."""
    tool = shutil.which("nmcli")
    if tool is None:
        return ""
    try:
        done = subprocess.run(
            [tool, "--escape", "no", "--get-values", fields, "connection", "show", *which],
            capture_output=True,
            # A name in the air is any bytes: those that are no text are no listed network.
            encoding="utf-8",
            errors="replace",
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
