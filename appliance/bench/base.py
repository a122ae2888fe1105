"""What a round of the service's program costs once thousands of orders are finished.

The program itself, at a folder of orders and answers as kits and it left them. What it asks of the
store is counted as an S3 engine counts: a listing of a thousand names is one request.
"""

import json
import sys
import tempfile
from pathlib import Path

from appliance.bench import Row, audit, row, run
from appliance.errors import NotPossible
from appliance.protocol.objects import SERVICE_CARD, order_object, tombstone_object
from appliance.protocol.orders import Tombstone, Withdrawal
from appliance.records.clock import SystemClock
from appliance.records.files import new_id, to_json
from appliance.records.signing import sign_fact
from appliance.vault.keys import PrivateKeys

FINISHED = 12_000
"""300 kits after two years: each course that has ended is one."""
REQUESTS = 20
SECONDS = 2.0

_ROUNDS = 9
_PROGRAM = """
import json, statistics, sys, time
from contextlib import contextmanager
from pathlib import Path
from appliance.base.service import Service
from appliance.stores.through import Through

class Counted(Through):
    asked = 0

    def _asking(self):
        Counted.asked += 1
        return super()._asking()

    def list(self, prefix):
        found = list(super().list(prefix))
        Counted.asked += max(0, -(-len(found) // 1000) - 1)
        return iter(found)

class AtWork(Service):
    @contextmanager
    def opened(self, rehearse=False):
        with super().opened(rehearse) as store:
            yield Counted(store)

service = AtWork(sys.argv[1], Path(sys.argv[2]), stays=True)
rounds = []
for _ in range(1 + int(sys.argv[3])):
    Counted.asked, before = 0, time.process_time()
    with service.at_work() as work:
        outcomes = work.desk.work()
        service.renew_roster(work, service.clock.read().wall)
    rounds.append((Counted.asked, time.process_time() - before))
asked, seconds = zip(*rounds[1:])
states = sorted({outcome.state for outcome in outcomes})
told = {"asked": max(asked), "seconds": statistics.median(seconds)}
print(json.dumps(told | {"orders": len(outcomes), "states": states}))
"""
"""As `serve` goes round after round. The first is not counted: it takes the lease, and holds the
clock against what kits sign."""


def rows(objects: int = audit.OBJECTS) -> list[Row]:
    """Every measure of the part; `objects` lie in the store that is audited. Raises NotPossible
    where the service's program is not here."""
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as folder:
        store, keys = Path(folder) / "store", Path(folder) / "keys"
        _finished(store, keys)
        # Once for what was there before: it takes up every answer, and is through with it. And a
        # roster, as every service has.
        for verb in (["serve", "--once"], ["roster", "--publish"]):
            run(sys.executable, "-m", "appliance.base", store, "-i", keys, *verb)
        told = json.loads(run(sys.executable, "-c", _PROGRAM, store, keys, _ROUNDS).stdout)
    if (told["orders"], told["states"]) != (FINISHED, ["done-before"]):
        raise NotPossible(f"The round was not one with nothing to do: {told}.")
    what = f"a round of `serve` with {FINISHED} finished orders and nothing to do"
    return [
        row(f"{what}: requests, the most", f"{REQUESTS}", told["asked"] / REQUESTS, "<= 1.00"),
        row(f"{what}: processor", f"{SECONDS:.0f} s", told["seconds"] / SECONDS, "<= 1.00"),
        *audit.rows(objects),
    ]


def _finished(store: Path, keys: Path) -> None:
    """A store and a folder of keys, with orders that were carried out."""
    service = PrivateKeys.generate("service")
    practitioner = PrivateKeys.generate("practitioner")
    for folder in (
        store / "orders",
        store / "tombstones",
        store / "service",
        keys / "practitioners",
    ):
        folder.mkdir(parents=True)
    (keys / "service.key").touch(mode=0o600)
    (keys / "service.key").write_text(service.text())
    (keys / "practitioners" / "one.pub").write_bytes(to_json(practitioner.card()))
    (store / SERVICE_CARD).write_bytes(to_json(service.card()) + b"\n")
    now, kit = SystemClock().read().wall, new_id()
    for _ in range(FINISHED):
        order = Withdrawal(id=new_id(), case=new_id(), kit=kit, at=now)
        key = f"cases/{order.case}/identity-0001.age"
        answer = Tombstone(order=order.id, case=order.case, at=now, removed=(key,))
        (store / order_object(order.id)).write_text(sign_fact(practitioner.signer, order))
        (store / tombstone_object(order.case)).write_text(sign_fact(service.signer, answer))
