"""The real NetworkManager, in networks of its own: what it calls a connection is what the kit sees,
and it tells the sender when one comes or goes.

It is unpacked for this and never installed (tools/setup): it would take over the machine.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
UNPACKED = ROOT / "build" / "network-manager"
BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen>
<auth>EXTERNAL</auth><policy context="default"><allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>
"""
SETTINGS = """[main]
plugins=keyfile
auth-polkit=false
dns=none
no-auto-default=*
"""
# `/sys` is read-only, by which NetworkManager knows that there is no udev to wait for.
SCRIPT = """set -eu
here=$1 unpacked=$2 python=$3 dispatcher=$4
mount --make-rprivate /
[ -z "$unpacked" ] || mount -t overlay usr -o "lowerdir=$unpacked/usr:/usr" /usr
mount -t tmpfs etc /etc/NetworkManager 2>/dev/null || {
    mkdir "$here/etc" "$here/work"
    mount -t overlay etc -o "lowerdir=$unpacked/etc:/etc,upperdir=$here/etc,workdir=$here/work" /etc
}
mount -t tmpfs run /run
mount -t tmpfs lib /var/lib
mount -t sysfs -o ro sys /sys
mkdir -p /run/dbus /var/lib/NetworkManager
mkdir -p /etc/NetworkManager/system-connections /etc/NetworkManager/dispatcher.d
cp "$here/settings" /etc/NetworkManager/NetworkManager.conf
sed "s,^case,PATH=$here:\\$PATH\\ncase,;1n" "$dispatcher" >"$here/told.sh"
install -m 0755 "$here/told.sh" /etc/NetworkManager/dispatcher.d/50-attune
ip link set lo up
ip link add wlan0 type veth peer name outside
ip link set outside up
dbus-daemon --config-file="$here/bus" --nofork &
helpers=$!
until [ -S /run/dbus/system_bus_socket ]; do sleep 0.05; done
"$(command -v /usr/lib/NetworkManager/nm-dispatcher || echo /usr/libexec/nm-dispatcher)" --persist &
helpers="$helpers $!"
NetworkManager --no-daemon >"$here/log" 2>&1 &
helpers="$helpers $!"
trap 'kill $helpers' EXIT
until nmcli general >/dev/null 2>&1; do sleep 0.1; done
nmcli device set outside managed no
nmcli connection add type ethernet ifname wlan0 con-name 'Office: north \\ 2' autoconnect no \\
    ip4 10.9.8.2/24 gw4 10.9.8.1 ipv6.method disabled >/dev/null
links() { "$python" -c 'from appliance.sync.place import links; print(*links(), sep=chr(10))'; }
told() { until grep "$1" "$here/systemctl.asked" 2>/dev/null; do sleep 0.1; done | sort -u; }
nmcli --wait 20 connection up 'Office: north \\ 2' >/dev/null
told reload
links
nmcli --wait 20 connection down 'Office: north \\ 2' >/dev/null
told at-base
# Attack: a name whose first, or last, line is another network's.
for name in 'Office: north \\ 2
wlan0:Office' 'x
wlan0:Office: north \\ 2' 'Office: north \\ 2
'; do
    nmcli connection add type ethernet ifname wlan0 con-name "$name" autoconnect no \\
        ip4 10.9.8.2/24 gw4 10.9.8.1 ipv6.method disabled >/dev/null
    nmcli --wait 20 connection up "$name" >/dev/null
    links
done
"""


def test_what_networkmanager_says_is_what_the_kit_goes_by(tmp_path: Path) -> None:
    if os.getuid():
        pytest.skip("only root makes networks of its own")
    installed = shutil.which("NetworkManager") is not None
    if not installed and not UNPACKED.exists():
        pytest.skip("NetworkManager is not unpacked here: tools/setup test")
    (tmp_path / "bus").write_text(BUS)
    (tmp_path / "settings").write_text(SETTINGS)
    (tmp_path / "systemctl").write_text('#!/bin/sh\necho "systemctl $*" >>"$0.asked"\n')
    (tmp_path / "systemctl").chmod(0o755)
    (tmp_path / "script").write_text(SCRIPT)
    unpacked = "" if installed else str(UNPACKED)
    apart = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    script = ("bash", str(tmp_path / "script"), str(tmp_path), unpacked)
    done = subprocess.run(
        [*apart, *script, sys.executable, str(ROOT / "systemd" / "dispatcher")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "systemctl --no-block reload attune-sync.service",
        "Link(interface='wlan0', wireless=True, connection='Office: north \\\\ 2')",
        "systemctl --no-block start attune-at-base.service",
        *(
            f"Link(interface='wlan0', wireless=True, connection={name!r})"
            for name in (
                "Office: north \\ 2\nwlan0:Office",
                "x\nwlan0:Office: north \\ 2",
                "Office: north \\ 2\n",
            )
        ),
    ]
