"""The stores as docs/stores.md has them: each set up by following the page word for word, with the
real users, from nothing to a confirmed film and a withdrawal that was carried out."""

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from appliance.bench.ceph import Ceph
from appliance.config import Config, write_config
from appliance.errors import NotLetIn, SendFailed
from appliance.protocol.objects import kit_object, service_order_object, tombstone_object
from appliance.records.files import new_id, save, to_json
from appliance.selftest.kit import wait_for
from appliance.stores import open_store
from appliance.stores.access import Access
from tests.stores.servers import Server, write_access
from tests.support.homes import SendingKit, practitioner, service
from tests.support.places import ROOT, SYSTEMD

PAGE = (ROOT / "docs" / "stores.md").read_text()


def blocks(heading: str, kind: str = "sh") -> list[str]:
    """The commands below a heading of the page, in their order, without their indent."""
    section = PAGE.split(f"### {heading}\n")[1].split("\n##")[0]
    found = re.findall(rf"^( *)```{kind}\n(.*?)^ *```$", section, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", text, flags=re.MULTILINE) for indent, text in found]


SFTP = blocks("A small team without a cloud: any machine with OpenSSH")
SHARE = blocks("A folder, a disk or a mounted share")
(POLICY,) = blocks("S3-compatible", "json")


@dataclass
class Machine:
    """A computer of its own, as far as names, users, mounts and its network go: namespaces."""

    root: Path
    process: "subprocess.Popen[bytes] | None" = None
    names: dict[str, str] = field(default_factory=dict)
    """What stands on the page for something else here."""

    def __enter__(self) -> "Machine":
        if os.getuid():
            pytest.skip("a computer of its own, with users, takes root")
        self.root.chmod(0o755)
        # The page installs packages and speaks to systemd; neither is in a test's own computer.
        for name, does in {
            "apt-get": 'dpkg -s "$2" >/dev/null',
            "attune": f'exec {sys.executable} -P -m appliance "$@"',
            "systemctl": f'{self.root}/systemctl "$@"',
        }.items():
            self.program(f"bin/{name}", does)
        over = self.root / "over"
        start = f"set -e; umask 022; mount --make-rprivate /; ip link set lo up; mkdir {over}\n"
        start += f"mount -t tmpfs over {over}\n" + "".join(
            f"mkdir -p {over}/{name}/up {over}/{name}/work\n"
            f"mount -t overlay overlay -o lowerdir=/{name},upperdir={over}/{name}/up,"
            f"workdir={over}/{name}/work /{name}\n"
            for name in ("etc", "srv", "mnt")
        )
        # This computer may be one that has such a store: the test's own does not.
        start += "rm -rf /srv/attune /mnt/share\n"
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc",
             "sh", "-c", f"{start}touch {self.root}/up; exec sleep infinity"],
            stderr=subprocess.PIPE,
        )  # fmt: skip
        process = self.process
        wait_for("the machine", lambda: (self.root / "up").exists() or process.poll(), 20)
        if process.poll() is not None:
            _, why = process.communicate()
            pytest.skip(f"no namespaces here: {why.decode()[-200:]}")
        return self

    def __exit__(self, *_error: object) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()

    def program(self, name: str, does: str) -> Path:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh -e\n{does}\n")
        path.chmod(0o755)
        return path

    def run(self, script: str, *, well: bool = True) -> "subprocess.CompletedProcess[str]":
        """Carry out a script there, as a root who lets nobody else read what is made."""
        assert self.process is not None
        for name, meant in self.names.items():
            script = script.replace(name, meant)
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        done = subprocess.run(
            ["nsenter", "-t", children.split()[0], "-m", "-n", "-p", "sh", "-e"],
            input=f"umask 077\ncd {self.root}\n{script}",
            env={**os.environ, "PATH": f"{self.root}/bin:{os.environ['PATH']}:/usr/sbin:/sbin",
                 "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        log = self.root / "sshd.log"
        said = log.read_text() if log.exists() else ""
        assert not well or done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}\n{said}"
        return done


@pytest.fixture
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="attune-walk-") as place, Machine(Path(place)) as made:
        yield made


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """The service's folder of keys."""
    folder = tmp_path / "keys"
    (folder / "practitioners").mkdir(parents=True)
    save(folder / "service.key", service().text().encode(), mode=0o600)
    save(folder / "practitioners" / "one.pub", to_json(practitioner().card()))
    return folder


def kit_of(folder: Path, store: str, access: Path | None) -> SendingKit:
    """A kit with a family's film, set up for a store."""
    kit = SendingKit(folder, folder / "unused")
    write_config(
        kit.settings,
        Config(
            home=str(kit.home.root),
            run=str(kit.home.run),
            store=store,
            store_access=str(access) if access else "",
        ),
    )
    kit.film(kit.case().id)
    return kit


def sync(kit: SendingKit) -> str:
    return f"attune sync --config {kit.settings} --once\n"


def everything(kit: SendingKit) -> set[str]:
    films = len(list(kit.home.recordings.rglob("*.age"))) + len(list(kit.home.recordings.iterdir()))
    assert films > 2
    return set(kit.sendable())


# --- OpenSSH --------------------------------------------------------------------------------------

SSHD = """
mkdir -p /run/sshd
if [ -e {root}/sshd.pid ]; then kill -HUP "$(cat {root}/sshd.pid)"
else /usr/sbin/sshd -D -E {root}/sshd.log </dev/null >/dev/null 2>&1 & echo $! >{root}/sshd.pid; fi
for try in $(seq 50); do ss -ltn | grep -q :22 && exit; sleep 0.1; done
"""


@pytest.fixture
def team(machine: Machine, keys: Path) -> tuple[Machine, list[SendingKit]]:
    """The page's machine with OpenSSH, and two kits of it."""
    if not Path("/usr/sbin/sshd").exists():
        pytest.skip("OpenSSH's server is not installed here")
    machine.names = {"KEYS": str(keys)}
    machine.program("systemctl", SSHD.format(root=machine.root))
    server, account, init, each, _serve = SFTP
    for step in (server, account, init):
        machine.run(step)
    kits = []
    for name in ("a", "b"):
        kit = kit_of(machine.root / name, "", None)
        machine.run(each.replace("KIT", kit.id))
        access = machine.root / f"kit-{kit.id}.access"
        write_config(
            kit.settings,
            Config(
                home=str(kit.home.root),
                run=str(kit.home.run),
                store=f"sftp://kit-{kit.id}@127.0.0.1/srv/attune/store",
                store_access=str(access),
            ),
        )
        kits.append(kit)
    return machine, kits


BASE_AS = {
    "root": "",
    # As its unit has it.
    "service": "setpriv --reuid=attune-base --regid=attune-base --clear-groups "
    "--inh-caps=-all,+chown,+dac_override,+fowner "
    "--ambient-caps=-all,+chown,+dac_override,+fowner ",
}


@pytest.mark.slow
@pytest.mark.parametrize("user", BASE_AS)
def test_any_machine_with_openssh_as_the_page_has_it(
    team: tuple[Machine, list[SendingKit]], user: str
) -> None:
    machine, (one, other) = team
    machine.run("adduser --system --group --no-create-home --home /srv/attune attune-base")
    if user == "service":
        machine.run(f"cp -r KEYS {machine.root}/keys; chown -R attune-base: {machine.root}/keys")
        machine.names["KEYS"] = f"{machine.root}/keys"
    serve = f"{BASE_AS[user]}{SFTP[-1]}"
    for kit in (one, other):
        machine.run(sync(kit))
        assert everything(kit) <= set(kit.receipts())
    case = next(one.home.cases.iterdir()).name
    one.withdraw(case)
    machine.run(sync(one) + serve + sync(one))
    assert list(one.home.inbox.glob(f"{'?' * 16}"))
    assert "identity" not in machine.run(f"ls /srv/attune/store/cases/{case}").stdout
    # What base made meanwhile keeps no kit out.
    other.film(other.case().id)
    machine.run(sync(other))
    assert everything(other) <= set(other.receipts())
    told = machine.run("attune base /srv/attune/store -i KEYS status --json", well=False)
    assert "cannot read" not in told.stdout


@pytest.mark.slow
def test_what_a_kits_account_may_not_do_at_the_machine_with_openssh(
    team: tuple[Machine, list[SendingKit]],
) -> None:
    machine, (one, other) = team
    machine.run(sync(one))
    kit_a = f"setpriv --reuid=kit-{one.id} --regid=attune-kits --clear-groups sh -c 'umask 2; "
    store = "/srv/attune/store"
    for name in (
        kit_object(other.id),
        service_order_object(other.id, 1),
        tombstone_object(new_id()),
        "service/other",
        "anything",
    ):
        path = f"{store}/{name}"
        done = machine.run(f"{kit_a}mkdir -p {Path(path).parent} && echo >{path}'", well=False)
        assert done.returncode, name
    machine.run(f"{kit_a}echo >{store}/kits/{one.id}/more'")
    batch = machine.root / "batch"
    for asked in ("rm", "rename", "chmod 600", "rmdir"):
        there = f"{store}/kits/{one.id}/card.json"
        batch.write_text(f"{asked} {there}{' /tmp/x' if asked == 'rename' else ''}\n")
        done = machine.run(
            f"sftp -b {batch} -i kit-{one.id} -o StrictHostKeyChecking=no "
            f"-o UserKnownHostsFile=/dev/null kit-{one.id}@127.0.0.1",
            well=False,
        )
        assert done.returncode and "ermission denied" in done.stderr, (asked, done.stderr)
    machine.run(f"rm /etc/ssh/attune_kits/kit-{one.id}")
    gone = machine.run(sync(one), well=False)
    assert "does not let this kit in" in gone.stderr
    machine.run(sync(other))


# --- A mounted share ------------------------------------------------------------------------------

MOUNT = """
line=$(grep " $1 cifs " /etc/fstab)
echo "$line" | grep -q seal
/bin/mount -t tmpfs -o mode=0770,uid=attune-sync share "$1"
"""
"""A share without its server: what its options say of owner and mode."""


def writable(drop_in: Path) -> list[str]:
    """What the sender's unit may write to, with a drop-in of the page's."""
    text = (SYSTEMD / "attune-sync.service").read_text() + drop_in.read_text()
    assert "ProtectSystem=strict" in text
    return [
        p for line in re.findall("^ReadWritePaths=(.*)$", text, re.MULTILINE) for p in line.split()
    ]


def as_its_unit(machine: Machine, words: str, paths: list[str]) -> str:
    """A script that runs something as the sender's unit does: its user, every disk read-only but
    for these paths. It may read anywhere: this Python may lie in a folder of root's."""
    program = machine.program(
        "as-unit",
        "/bin/mount --make-rprivate /\n"
        + "".join(f"/bin/mount --bind {path} {path}\n" for path in paths)
        + "awk '{print $5}' /proc/self/mountinfo | sort -u | while read -r at; do\n"
        f'  case " {" ".join(paths)} /proc /dev /sys " in *" $at "*) continue;; esac\n'
        '  /bin/mount -o remount,bind,ro "$at" 2>/dev/null || true\ndone\n'
        "exec setpriv --reuid=attune-sync --regid=attune-sync --clear-groups "
        f"--inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search {words}",
    )
    return f"unshare --mount {program}\n"


@pytest.mark.slow
def test_a_mounted_share_as_the_page_has_it(machine: Machine, keys: Path) -> None:
    machine.names = {"KEYS": str(keys)}
    machine.program("systemctl", "exit 0")
    machine.program("bin/mount", MOUNT)
    kit = kit_of(machine.root / "kit", "file:///mnt/share", None)
    machine.run("adduser --system --group --no-create-home attune-sync\n" + SHARE[0])
    kit.home.run.mkdir()
    machine.run(f"chown -R attune-sync: {kit.root}\ncp -r /etc/systemd/system {machine.root}/units")
    machine.run("attune base /mnt/share -i KEYS init")
    paths = writable(machine.root / "units" / "attune-sync.service.d" / "store.conf")
    assert paths == ["/var/lib/attune", "/run/attune", "/mnt/share"]
    own = [str(kit.home.root), str(kit.home.run)]
    without = machine.run(as_its_unit(machine, sync(kit).strip(), own), well=False)
    assert without.returncode == 1 and "cannot be written" in without.stderr, without.stderr
    machine.run(as_its_unit(machine, sync(kit).strip(), [*own, *paths[2:]]))
    assert everything(kit) <= set(kit.receipts())


# --- S3 and Azure ---------------------------------------------------------------------------------


def walked(server: Server, others: Access, keys: Path, folder: Path) -> None:
    """Two kits and base, each with its own way in: a film is confirmed, a case withdrawn."""
    assert server.access and server.service
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def run(*words: object) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "appliance", *map(str, words)],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    access = write_access(folder / "service.access", server.service)
    base = ("base", server.url, "-i", keys, "--access", access)
    run(*base, "init")
    kits = []
    for name, own in (("a", server.access), ("b", others)):
        kits.append(kit_of(folder / name, server.url, write_access(folder / f"{name}.access", own)))
        run("sync", "--config", kits[-1].settings, "--once")
        assert everything(kits[-1]) <= set(kits[-1].receipts())
    one = kits[0]
    case = next(one.home.cases.iterdir()).name
    one.withdraw(case)
    run("sync", "--config", one.settings, "--once")
    run(*base, "serve", "--once")
    for kit in kits:
        run("sync", "--config", kit.settings, "--once")
    assert list(one.home.inbox.glob("?" * 16))
    with contextlib.closing(open_store(server.url, server.service)) as store:
        assert not [e for e in store.list(f"cases/{case}/") if "identity" in e.name]


@pytest.mark.slow
def test_an_s3_engine_as_the_page_has_it(ceph: Ceph, keys: Path, tmp_path: Path) -> None:
    bucket = f"walk-{new_id()}"
    # The kits' numbers are not known before they are made: the page's policy is filled in twice.
    named = POLICY.replace("kit-a", "kit").replace("kit-b", "other")
    one, other = new_id(), new_id()
    ceph.make_bucket(bucket, named.replace("KIT-A", one).replace("KIT-B", other))
    url = ceph.url(bucket)
    with contextlib.closing(open_store(url, ceph.access())) as kit:
        kit.create(kit_object(one), io.BytesIO(b"x"))
        kit.create(f"cases/{new_id()}/x", io.BytesIO(b"x"))
        for name in (
            kit_object(other),
            service_order_object(other, 1),
            tombstone_object(new_id()),
            "service/card.json",
            "revoked/x",
        ):
            with pytest.raises(NotLetIn):
                kit.create(name, io.BytesIO(b"x"))
        with pytest.raises(NotLetIn):
            kit.remove(kit_object(one))
    with contextlib.closing(open_store(url, ceph.access("service"))) as store:
        store.purge("")
    # And from nothing to a withdrawal, with what any two kits may do.
    ceph.make_bucket(f"{bucket}-2", named.replace("KIT-A", "*").replace("KIT-B", "*"))
    server = Server(ceph.url(f"{bucket}-2"), ceph.access(), ceph.access("service"))
    walked(server, ceph.access("other"), keys, tmp_path)


@pytest.mark.slow
def test_azure_as_the_page_has_it(azure: Server, keys: Path, tmp_path: Path) -> None:
    (rights,) = set(re.findall(r"`sp=(\w+)`", PAGE))
    assert azure.access and f"sp={rights}&" in azure.access.sas_token
    with contextlib.closing(azure.open_as_service()) as store:
        for entry in list(store.list("")):
            store.purge(entry.name)
    walked(azure, azure.access, keys, tmp_path)
    with contextlib.closing(azure.open()) as kit, pytest.raises(SendFailed):
        kit.remove("service/card.json")
