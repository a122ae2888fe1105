"""What it costs the service to look through its whole store: the listing and every manifest.

The program itself, at a folder full of films as kits send them; no film's content is read.
"""

import json
import secrets
import sys
import tempfile
from pathlib import Path

from appliance.age.identities import generate_identity
from appliance.age.sealing import seal
from appliance.bench import Row, row, run
from appliance.errors import NotPossible
from appliance.film.manifest import (
    EndReason,
    FilmEnded,
    FilmStarted,
    SegmentClosed,
    index_name,
    manifest_lines,
    segment_name,
)
from appliance.protocol.cards import KitCard
from appliance.protocol.objects import SERVICE_CARD, film_object
from appliance.protocol.permits import recipient_digest
from appliance.records.clock import SystemClock
from appliance.records.files import lines, new_id, to_json
from appliance.records.signing import Signer
from appliance.vault.keys import PrivateKeys

OBJECTS = 100_000
SECONDS = 60.0
MIB = 150
_SEGMENTS = 10
"""Five minutes: with its indexes and its manifest, a film is 21 objects."""
_FILMS = 9
"""Of a case: three cycles, some of them filmed again."""

_PROGRAM = """
import json, re, sys, time
from appliance.base.__main__ import base
try:
    base([*sys.argv[1:], "audit", "--dry-run", "--json"], standalone_mode=False)
finally:
    peak = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]
    print(json.dumps({"seconds": time.process_time(), "mib": int(peak) / 1024}))
"""


def rows(objects: int = OBJECTS) -> list[Row]:
    """The measure with so many objects; what is to be reached is for `OBJECTS`. Raises NotPossible
    where the service's program is not here."""
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as folder:
        store, keys = Path(folder) / "store", Path(folder) / "keys"
        there = _filled(store, keys, objects)
        done = run(sys.executable, "-c", _PROGRAM, store, "-i", keys)
    looked, told = map(json.loads, lines(done.stdout.decode()))
    if not looked["ok"] or looked["audit"]["objects"] != there:
        raise NotPossible(f"The audit was not one of {there} objects that are all right: {looked}.")
    share = there / OBJECTS
    what = f"an audit of {there} objects, no bodies"
    return [
        row(f"{what}: processor", f"{SECONDS * share:.0f} s", told["seconds"] / SECONDS / share,
            "<= 1.00"),
        row(f"{what}: memory", f"{MIB} MiB", told["mib"] / MIB, "<= 1.00"),
    ]  # fmt: skip


def _filled(store: Path, keys: Path, objects: int) -> int:
    """A store with films of families, and the service's folder of keys; how many objects it has."""
    service, kit = PrivateKeys.generate("service"), new_id()
    signer = Signer.generate(f"kit-{kit}")
    (keys / "kits").mkdir(parents=True)
    (keys / "practitioners").mkdir()
    (store / "service").mkdir(parents=True)
    (keys / "service.key").touch(mode=0o600)
    (keys / "service.key").write_text(service.text())
    card = KitCard(id=kit, verifier=str(signer.verifier))
    (keys / "kits" / f"{kit}.pub").write_bytes(to_json(card))
    (store / SERVICE_CARD).write_bytes(to_json(service.card()) + b"\n")
    there, case, filmed_to = 1, "", ""
    recipient = service.card().sealing_key()
    for number in range(objects // (2 * _SEGMENTS + 1)):
        if number % _FILMS == 0:
            case = new_id()
            (store / "cases" / case).mkdir(parents=True)
            identity = generate_identity()
            filmed_to = recipient_digest(str(identity.recipient))
            sealed = seal(f"{identity.secret_text()}\n".encode(), [recipient, recipient])
            (store / "cases" / case / "identity-0001.age").write_bytes(sealed)
            there += 1
        there += _film(store, signer, case, kit, filmed_to)
    return there


def _film(store: Path, signer: Signer, case: str, kit: str, filmed_to: str) -> int:
    film = new_id()
    folder = (store / film_object(case, film, "manifest")).parent
    folder.mkdir(parents=True)
    now = SystemClock().read().wall
    started = FilmStarted(
        recording=film, case=case, kit=kit, permit=new_id(), consent="0" * 64,
        recipient=filmed_to, kind="visit", limit=300, sound=True, boot="boot", started=now,
    )  # fmt: skip
    segments = [
        SegmentClosed(
            number=n, name=segment_name(n), size=1, sha256=secrets.token_hex(32), frames=900,
            seconds=30.0, index=index_name(n), index_size=1, index_sha256=secrets.token_hex(32),
        )
        for n in range(_SEGMENTS)
    ]  # fmt: skip
    for segment in segments:
        (folder / segment.name).write_bytes(b"x")
        (folder / segment.index).write_bytes(b"x")
    ended = FilmEnded.after(segments, EndReason.BUTTON, now)
    (folder / "manifest").write_text(signer.sign(manifest_lines(started, *segments, ended)))
    return 2 * _SEGMENTS + 1
