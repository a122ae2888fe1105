"""Does in a kit's machine what people around the kit do, each in a network of their own, and looks
what became of it.
"""

import os
import socket
import subprocess
import threading
import time
import wave
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import av
from agent import BETWEEN_LOOKS, PATIENCE, Agent, main

from appliance.errors import SoundFailed
from appliance.records.clock import SystemClock
from appliance.selftest.browser import Page
from appliance.selftest.kit import wait_for
from appliance.sync.place import links
from firmware.microphone import Microphone

ANSWERS_WITHIN = 5.0
"""Seconds that a connection is waited for. The kit answers in a few hundredths, or not at all."""
JOIN = """\
ctrl_interface=/run/vm/{interface}
network={{
	ssid="{ssid}"
	psk="{key}"
	{more}
}}
"""
ACCESS_POINT = "mode=2\n\tfrequency=2412\n\tkey_mgmt=WPA-PSK\n\tproto=RSN\n\tpairwise=CCMP"


class People(Agent):
    def there(self, whose: str, act: str, **given: Any) -> Any:
        """Do something in the network of somebody (`ip netns`)."""

        def enter() -> None:
            # A network is a thread's: what it starts, and each socket that it makes, is in there.
            with open(f"/run/netns/{whose}") as network:
                os.setns(network.fileno(), os.CLONE_NEWNET)

        with ThreadPoolExecutor(1, initializer=enter) as thread:
            return thread.submit(getattr(self, act), **given).result()

    # --- Somebody's own machine -------------------------------------------------------------------

    def radio(self, interface: str, ssid: str, key: str, opens: bool = False) -> str:
        """Join a network, or with `opens` open one; what became of it, as wpa_cli has it."""
        settings = Path(f"/run/vm/{interface}.conf")
        more = ACCESS_POINT if opens else "scan_ssid=1"
        settings.write_text(JOIN.format(interface=interface, ssid=ssid, key=key, more=more))
        wpa = ("wpa_supplicant", "-B", "-i", interface, "-c", str(settings))
        subprocess.run([*wpa, "-P", f"/run/vm/{interface}.pid"], check=True, capture_output=True)
        return self._until(("status",), interface, "wpa_state=COMPLETED")

    def scan(self, interface: str, ssid: str) -> str:
        """What a network says of itself, as wpa_cli lists it."""
        self.run(["wpa_cli", "-p", f"/run/vm/{interface}", "-i", interface, "scan"])
        seen = self._until(("scan_results",), interface, f"\t{ssid}\n")
        return next(line for line in seen.splitlines() if line.endswith(f"\t{ssid}"))

    def leave(self, interface: str) -> None:
        """Switch a radio off."""
        pid = int(Path(f"/run/vm/{interface}.pid").read_text())
        self.run(["kill", str(pid)])
        wait_for("an end", lambda: not Path(f"/proc/{pid}").exists() or None, 20 * PATIENCE)

    def lease(self, interface: str) -> dict[str, str]:
        """Ask for an address and take it; all that was offered, by udhcpc's names."""
        script = ("-n", "-q", "-f", "-t", "30", "-i", interface, "-s", "/opt/vm/lease")
        done = subprocess.run(
            ["busybox", "udhcpc", *script], capture_output=True, text=True, check=True
        )
        lines = (line.partition("=") for line in done.stdout.splitlines())
        return {name: value for name, _, value in lines}

    def opens(self, address: str) -> dict[str, Any]:
        """What a browser that trusts the kit's certificate, and no other, gets there."""
        answer = Page(address, self._home.keys / "tls.crt").get("/")
        return {"status": answer.status, "path": answer.path, "text": answer.text}

    def listens(self, ports: list[int]) -> None:
        """Take connections from anywhere at these ports from now on."""
        for port in ports:
            server = socket.create_server(("0.0.0.0", port))
            threading.Thread(target=_take, args=(server,), daemon=True).start()

    def reaches(self, address: str, ports: list[int]) -> list[int]:
        """At which of these ports somebody answers."""
        found = []
        for port in ports:
            try:
                socket.create_connection((address, port), ANSWERS_WITHIN).close()
            except OSError:
                continue
            found.append(port)
        return found

    def _until(self, words: tuple[str, ...], interface: str, what: str) -> str:
        """What wpa_cli answers once it has `what` in it."""
        asked = ["wpa_cli", "-p", f"/run/vm/{interface}", "-i", interface, *words]
        return self.until(asked, what)

    # --- The kit's own ----------------------------------------------------------------------------

    def await_page(self) -> None:
        """Wait until the page is there by itself."""
        self._page()

    def until(self, words: list[str], what: str) -> str:
        """What a command says once it has `what` in it; it is asked again and again."""
        end = time.monotonic() + 20 * PATIENCE
        while what not in (said := str(self.run(words)["said"])):
            if time.monotonic() > end:
                raise AssertionError(f"{' '.join(words)} never says {what!r}: {said}")
            time.sleep(BETWEEN_LOOKS)
        return said

    def connected(self, interface: str, connection: str) -> None:
        """Wait until NetworkManager has this connection at this interface, up."""
        devices = ["nmcli", "--terse", "--fields", "DEVICE,STATE,CONNECTION", "device"]
        self.until(devices, f"{interface}:connected:{connection}\n")

    def page_waits_for_a_stick(self) -> None:
        """Start stick.py in the page's sandbox; returns once it looks for one."""
        Path("/run/attune/web/stick").unlink(missing_ok=True)
        self._sandbox("attune-web", "/opt/attune/bin/python -P /opt/vm/stick.py")
        self.run(["systemctl", "start", "--no-block", "probe.service"])
        self.until(["cat", "/run/attune/web/stick"], "waits")

    def recorder_waits_for(self, devices: list[str]) -> None:
        """Start device.py in the recorder's sandbox; returns once it looks for these."""
        Path("/run/attune/recorder/devices").unlink(missing_ok=True)
        program = f"/opt/attune/bin/python -P /opt/vm/device.py {' '.join(devices)}"
        self._sandbox("attune-recorder", program)
        self.run(["systemctl", "start", "--no-block", "probe.service"])
        self.until(["cat", "/run/attune/recorder/devices"], "waits")

    def hears(self, name: str, rate: int, channels: int, width: int) -> dict[str, Any]:
        """What the kit's microphone hears of a tone at a card that gives `rate` samples a second of
        `width` bytes."""
        tone = Path("/run/vm/tone.wav")
        high = (1 << (8 * width - 2)).to_bytes(width, "little", signed=True)
        low = (-(1 << (8 * width - 2))).to_bytes(width, "little", signed=True)
        with wave.open(str(tone), "wb") as file:
            file.setparams((channels, width, rate, 0, "NONE", ""))
            file.writeframes((high * channels * 50 + low * channels * 50) * (rate // 100 * 120))
        frames: list[av.AudioFrame] = []
        clock = SystemClock()
        microphone = Microphone(name, clock)
        with subprocess.Popen(["aplay", "-q", "-D", "hw:CARD=Loopback,DEV=0", tone]) as player:
            playing = "/proc/asound/Loopback/pcm0p/sub0/hw_params"
            self.until(["cat", playing], f"rate: {rate} ")
            try:
                microphone.start(frames.append)
            except SoundFailed as failed:
                return {"refused": str(failed)}
            else:
                microphone.begin(clock.monotonic())
                wait_for("a second of sound", lambda: _seconds(frames) >= 1 or None, 60.0)
                microphone.stop()
            finally:
                player.kill()
        return {
            "rates": sorted({frame.sample_rate for frame in frames}),
            "layouts": sorted({frame.layout.name for frame in frames}),
            "loudest": max(max(memoryview(frame.planes[0]).cast("h")) for frame in frames),
        }

    def links(self) -> list[dict[str, Any]]:
        """The networks that the sender would send through."""
        return [asdict(link) for link in links()]


def _seconds(frames: list[av.AudioFrame]) -> float:
    return sum(frame.samples / frame.sample_rate for frame in frames)


def _take(server: socket.socket) -> None:
    while True:
        server.accept()[0].close()


if __name__ == "__main__":
    main(People)
