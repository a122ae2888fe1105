"""Ceph's S3 gateway on this computer, from Debian's packages: a real store for measures and tests.

One monitor, one disk and one gateway, on loopback, ready in a few seconds; all of them end with
this object. Nothing of it is fit to keep anything.
"""

import contextlib
import os
import secrets
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import Self

from appliance.bench import need, run
from appliance.bench.certificates import Authority
from appliance.errors import NotPossible
from appliance.selftest.kit import free_port, spawn, wait_for
from appliance.stores.access import Access
from appliance.stores.s3 import Answer, Bucket
from appliance.stores.tls import pinned

_SETTINGS = """[global]
fsid = {fsid}
mon_initial_members = a
mon_host = v1:127.0.0.1:{monitor}
ms_bind_msgr2 = false
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_port_min = {low}
ms_bind_port_max = {high}
auth_allow_insecure_global_id_reclaim = false
keyring = {root}/$name.keyring
run_dir = {root}
admin_socket = {root}/$name.asok
log_file = {root}/$name.log
mon_cluster_log_file = {root}/cluster.log
crash_dir = {root}
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
mon_allow_pool_size_one = true
osd_crush_chooseleaf_type = 0
mon_max_pg_per_osd = 1000
[mon]
mon_data = {root}/mon
paxos_propose_interval = 0.1
mon_data_avail_warn = 2
mon_data_avail_crit = 1
[osd]
osd_data = {root}/osd
osd_objectstore = bluestore
bluestore_block_create = true
bluestore_block_size = 6442450944
osd_memory_target = 939524096
[client.rgw.a]
rgw_data = {root}/rgw
rgw_frontends = {front}
rgw_enable_apis = s3, admin
rgw_thread_pool_size = 32
rgw_run_sync_thread = false
rgw_enable_quota_threads = false
rgw_max_concurrent_requests = 64
"""

POLICY = """{
  "Version": "2012-10-17",
  "Statement": [{
    "Effect": "Allow",
    "Principal": {"AWS": ["arn:aws:iam:::user/kit"]},
    "Action": ["s3:PutObject", "s3:GetObject", "s3:ListBucket"],
    "Resource": ["arn:aws:s3:::BUCKET", "arn:aws:s3:::BUCKET/*"]
  }, {
    "Effect": "Allow",
    "Principal": {"AWS": ["arn:aws:iam:::user/service"]},
    "Action": "s3:*",
    "Resource": ["arn:aws:s3:::BUCKET", "arn:aws:s3:::BUCKET/*"]
  }]
}"""
"""What a kit may do in the service's bucket: neither delete, nor remove a version. The service is
named too, because what a kit put there would be the kit's."""
_VERSIONING = (
    b'<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<Status>Enabled</Status></VersioningConfiguration>"
)


class Ceph:
    """A gateway with TLS, a service's user, a kit's, who may do less in the service's bucket
    `films`, and another kit's, who may do nothing there. Use as a context manager.

    Raises NotPossible where its packages are missing or it does not start.
    """

    def __init__(self, root: Path, authority: Authority) -> None:
        need("radosgw", "ceph-mon ceph-osd radosgw")
        self.port = free_port()
        self._secrets = {name: secrets.token_hex(20) for name in ("kit", "other", "service")}
        self._root = root
        self._authority = authority
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._environment = {**os.environ, "CEPH_CONF": str(root / "ceph.conf")}

    @property
    def endpoint(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def access(self, user: str = "kit") -> Access:
        """How one of the users comes in."""
        return Access(
            pin=self._authority.pem, access_key_id=user, secret_access_key=self._secrets[user]
        )

    def url(self, bucket: str = "films", endpoint: str = "") -> str:
        """The address of a bucket here, or behind another endpoint."""
        return f"s3://{bucket}?endpoint={endpoint or self.endpoint}&region=us-east-1"

    def bucket(self, name: str) -> Bucket:
        """A bucket, to be asked as the service for what no kit asks."""
        context = pinned(self._authority.pem)
        secret = self._secrets["service"]
        return Bucket(self.endpoint, "us-east-1", name, "", "service", secret, context)

    def make_bucket(self, name: str, policy: str = "", versions: bool = False) -> None:
        """An empty bucket of the service's, as docs/stores.md has it for this engine."""
        bucket = self.bucket(name)
        self._asked(bucket.ask("PUT", ""))
        policy = (policy or POLICY).replace("BUCKET", name)
        self._asked(bucket.ask("PUT", "", {"policy": ""}, body=policy.encode()))
        if versions:
            self._asked(bucket.ask("PUT", "", {"versioning": ""}, body=_VERSIONING))

    def empty(self, name: str) -> None:
        """Remove what is in a bucket, so that the disk has room for more."""
        self.bucket(name).remove_versions("")

    def _asked(self, answer: Answer) -> None:
        if not 200 <= answer.status < 300:
            raise NotPossible(f"Ceph's gateway refused: {answer.status} {answer.body[:200]!r}")

    def start_gateway(self) -> None:
        """Start the gateway, again after `kill_gateway`, and wait until it answers."""
        self._daemon("gateway", "radosgw", "-n", "client.rgw.a")
        bucket = self.bucket("films")

        def answers() -> bool:
            with contextlib.suppress(Exception):
                return bucket.ask("GET", "").status < 500
            return False

        wait_for("Ceph's gateway answers", answers, 60)

    def kill_gateway(self) -> None:
        """End the gateway where it stands."""
        self._end("gateway")

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop()

    def _start(self) -> None:
        root = self._root
        for part in ("mon", "osd", "rgw"):
            (root / part).mkdir(parents=True)
        certificate, key = self._authority.issue(root, "store", ["localhost", "127.0.0.1"])
        monitor, low = free_port(), 20_000 + secrets.randbelow(300) * 100
        # Without `tcp_nodelay` each answer with a body waits 40 ms for an acknowledgement.
        front = (
            f"beast tcp_nodelay=1 ssl_endpoint=127.0.0.1:{self.port} "
            f"ssl_certificate={certificate} ssl_private_key={key}"
        )
        fsid = str(uuid.uuid4())
        (root / "ceph.conf").write_text(
            _SETTINGS.format(
                root=root, fsid=fsid, monitor=monitor, low=low, high=low + 99, front=front
            )
        )
        self._keys()
        self._do(
            "monmaptool", "--create", "--fsid", fsid, "--addv", "a",
            f"[v1:127.0.0.1:{monitor}]", f"{root}/monmap",
        )  # fmt: skip
        self._do(
            "ceph-mon", "--mkfs", "-i", "a",
            "--monmap", f"{root}/monmap", "--keyring", f"{root}/seed.keyring",
        )  # fmt: skip
        self._daemon("monitor", "ceph-mon", "-i", "a")
        self._do("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", str(uuid.uuid4()))
        self._do("ceph", "osd", "new", (root / "osd" / "fsid").read_text().strip(), "0")
        self._daemon("disk", "ceph-osd", "-i", "0")
        wait_for("Ceph's disk is up", lambda: "1 up" in self._do("ceph", "osd", "stat"), 60)
        self.start_gateway()
        for user, secret in self._secrets.items():
            self._do(
                "radosgw-admin", "-n", "client.admin", "user", "create", f"--uid={user}",
                f"--display-name={user}", f"--access-key={user}", f"--secret-key={secret}",
            )  # fmt: skip
        self.make_bucket("films")

    def _keys(self) -> None:
        rights = {
            "mon.": ("mon", "allow *"),
            "client.admin": ("mon", "allow *", "osd", "allow *", "mgr", "allow *"),
            "osd.0": ("mon", "allow profile osd", "osd", "allow *"),
            "client.rgw.a": ("mon", "allow rw", "osd", "allow rwx"),
        }
        rings = {}
        for name, caps in rights.items():
            ring = self._root / f"{'mon.a' if name == 'mon.' else name}.keyring"
            words = [w for cap in zip(caps[::2], caps[1::2], strict=True) for w in ("--cap", *cap)]
            self._do("ceph-authtool", "-C", str(ring), "--gen-key", "-n", name, *words)
            rings[name] = ring
        seed = self._root / "seed.keyring"
        shutil.copy(rings["mon."], seed)
        for ring in rings.values():
            self._do("ceph-authtool", str(seed), "--import-keyring", str(ring))

    def _stop(self) -> None:
        for name in ("gateway", "disk", "monitor"):
            self._end(name)

    def _daemon(self, name: str, *words: str) -> None:
        """Start a daemon that ends with us, however we end."""
        self._daemons[name] = spawn(
            ["env", f"CEPH_CONF={self._root}/ceph.conf", *words, "-f"], self._root / "daemons.log"
        )

    def _end(self, name: str) -> None:
        daemon = self._daemons.pop(name, None)
        if daemon is not None:
            daemon.kill()
            daemon.wait()

    def _do(self, *words: object) -> str:
        return run(*words, env=self._environment, timeout=60).stdout.decode()
