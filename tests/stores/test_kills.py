"""Sender and store are killed where they stand, at random moments: all arrives, exactly once.

Fifty such moments, and what they cost in bytes, are in `attune bench sync`.
"""

import contextlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.base.orders import make_new
from appliance.bench.ceph import Ceph
from appliance.bench.certificates import Authority
from appliance.config import Config, write_config
from appliance.errors import NotPossible
from appliance.protocol.objects import SERVICE_CARD
from appliance.records.files import new_id
from appliance.stores import open_store
from tests.stores.servers import write_access
from tests.support.homes import SendingKit, contents, service

ROUNDS = 8


@pytest.fixture
def own_ceph(tmp_path: Path, authority: Authority) -> Iterator[Ceph]:
    """A gateway that nobody else uses: it is killed."""
    try:
        gateway = Ceph(tmp_path / "ceph", authority)
    except NotPossible as missing:
        pytest.skip(str(missing))
    with gateway:
        yield gateway


def test_killed_at_random_moments_everything_arrives_exactly_once(
    own_ceph: Ceph, tmp_path: Path
) -> None:
    name = f"b-{new_id()}"
    own_ceph.make_bucket(name)
    url = own_ceph.url(name)
    with contextlib.closing(open_store(url, own_ceph.access("service"))) as store:
        make_new(store, service())
    kit = SendingKit(tmp_path / "kit", tmp_path / "unused")
    case = kit.case().id
    film = kit.film(case, segments=60, size=500_000)
    config = Config(
        home=str(kit.home.root),
        run=str(kit.home.run),
        store=url,
        store_access=str(write_access(tmp_path / "access.toml", own_ceph.access())),
    )
    write_config(kit.settings, config)
    folder = f"cases/{case}/recordings/{film}"
    films = {f"{folder}/{n}": d for n, d in contents(kit.home.recording(film)).items()}
    command = [sys.executable, "-m", "appliance.sync", "--config", str(kit.settings), "--once"]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    dice = random.Random(20261121)
    running = start()
    for number in range(ROUNDS):
        more = len(kit.receipts()) + dice.randrange(1, 10)
        while len(list(kit.home.receipts.rglob("*.json"))) < more:
            if running.poll() is not None:
                assert running.returncode != 0, "all was sent before it was killed often enough"
                running = start()
            time.sleep(0.005)
        time.sleep(dice.uniform(0, 0.05))
        if number % 2:
            own_ceph.kill_gateway()
            own_ceph.start_gateway()
        else:
            running.send_signal(signal.SIGKILL)
            running.wait()
    running.kill()
    running.wait()
    confirmed = set(kit.receipts())
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    there = {}
    with contextlib.closing(open_store(url, own_ceph.access("service"))) as store:
        for entry in store.list(""):
            file = store.open(entry.name)
            assert file is not None
            with file:
                there[entry.name] = file.read()
    del there[SERVICE_CARD]
    assert there == kit.sendable() | films
    assert confirmed < set(kit.receipts()) == set(there)
