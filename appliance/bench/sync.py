"""Sending, compared with rclone and with what a kit and a slow line can bear.

Against Ceph's S3 gateway, started for it on this computer, over TLS, in the same run. What runs of
ours is the program itself, from its start to its end, each file confirmed and with its receipt.
"""

import contextlib
import hashlib
import io
import os
import random
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec import structs

from appliance.age.sealing import VERSION_LINE
from appliance.bench import Row, films, in_turn, median_ratio, need, row, run
from appliance.bench.ceph import Ceph
from appliance.bench.certificates import Authority
from appliance.config import Config, write_config
from appliance.errors import NotPossible
from appliance.film.manifest import (
    EndReason,
    FilmEnded,
    SegmentClosed,
    index_name,
    manifest_lines,
    segment_name,
)
from appliance.protocol.cards import KitCard
from appliance.protocol.enrolment import Enrolled
from appliance.protocol.objects import SERVICE_CARD, film_object
from appliance.protocol.receipts import Receipt, receipt_path
from appliance.records.files import Home, new_id, save_fact, to_json
from appliance.records.signing import Signer
from appliance.stores import open_store
from appliance.vault.keys import PrivateKeys

FILMS = 500_000_000
"""Bytes of films."""
SEGMENT = 15_000_000
"""Bytes: 30 s of film at about 4 Mbit/s."""
IN_FLIGHT = 4
TIMES = 5
KILLS = 50
SMALL_SEGMENT = 1_000_000
CONFIRMED = 100_000

_PROGRAM = """
import re, sys
from appliance.sync.__main__ import main
try:
    sys.exit(main())
finally:
    with open("/proc/self/status") as file:
        print("peak", re.search(r"VmHWM:\\s+(\\d+) kB", file.read())[1], file=sys.stderr)
"""


def rows() -> list[Row]:
    """Every measure of the part. Takes some minutes and 4 GB in the temporary directory.

    Raises NotPossible without Ceph and rclone.
    """
    need("rclone")
    with tempfile.TemporaryDirectory(prefix="attune-bench-") as folder:
        root = Path(folder)
        with Ceph(root / "ceph", Authority()) as ceph:
            bench = _Bench(root, ceph)
            return [*bench.throughput(), *bench.nothing_to_do(), bench.sent_again()]


class _Bench:
    def __init__(self, root: Path, ceph: Ceph) -> None:
        self._root = root
        self._ceph = ceph
        self._peaks: dict[int, int] = {}
        self._access = root / "access.toml"
        access = ceph.access()
        self._access.touch(mode=0o600)
        self._access.write_text(
            f'pin = """{access.pin}"""\naccess_key_id = "{access.access_key_id}"\n'
            f'secret_access_key = "{access.secret_access_key}"\n'
        )

    def throughput(self) -> list[Row]:
        """Our sending against rclone's copying, and the memory that it takes."""
        kit = SealedKit(self._root / "films")
        kit.film(FILMS // SEGMENT + 1, SEGMENT)
        ours, theirs = in_turn(
            lambda: self._send(kit, IN_FLIGHT), lambda: self._copy(kit), times=TIMES
        )
        self._send(kit, 1)
        against = f"rclone copy, {IN_FLIGHT} at once on both"
        ratio = median_ratio(theirs, ours)
        measured = [row("500 MB of films to S3, throughput", against, ratio, ">= 0.95")]
        for flight, limit in ((IN_FLIGHT, 120), (1, 60)):
            what = f"peak memory while sending, {flight} in flight"
            ratio = self._peaks[flight] / (limit << 20)
            measured.append(row(what, f"{limit} MiB", ratio, "<= 1.00"))
        return measured

    def nothing_to_do(self) -> list[Row]:
        """A run that finds everything confirmed."""
        kit = SealedKit(self._root / "confirmed")
        (self._root / "store").mkdir()
        store = (self._root / "store").as_uri()
        films, segments = 100, CONFIRMED // 200
        for _ in range(films):
            kit.film(segments, 0, receipts=store)
        with contextlib.closing(open_store(store)) as place:
            place.create(SERVICE_CARD, io.BytesIO(to_json(kit.service.card())))
        self._run(kit, Config(store=store))  # What is left to send is the kit's own card.
        seconds, peak, said = self._run(kit, Config(store=store))
        if not said.startswith("Sent and confirmed: 0 ("):
            raise NotPossible(f"There was something to do after all: {said}")
        what = f"plan of {CONFIRMED:,} confirmed objects, nothing to do"
        return [
            row(what, "5 s", seconds / 5, "<= 1.00"),
            row(f"{what}: peak memory", "100 MiB", peak / (100 << 20), "<= 1.00"),
        ]

    def sent_again(self) -> Row:
        """Kill the sender or the gateway at random moments; see what that costs in bytes."""
        kit = SealedKit(self._root / "killed")
        kit.film(6 * KILLS, SMALL_SEGMENT)
        bucket = self._bucket(kit)
        dice = random.Random(20261121)  # noqa: S311 - moments
        with _counting(self._ceph.port) as (port, counted):
            config = self._config(bucket, IN_FLIGHT, f"https://127.0.0.1:{port}")
            command = kit.command(config, "--once")
            running = _started(command)
            for number in range(KILLS):
                more = kit.confirmed() + dice.randrange(1, 8)
                running = _until(kit.has_confirmed(more), running, command)
                time.sleep(dice.uniform(0, 0.1))
                if number % 2:
                    running.send_signal(signal.SIGKILL)
                    running.wait()
                else:
                    self._ceph.kill_gateway()
                    self._ceph.start_gateway()
            _until(lambda: False, running, command, till_done=True)
            sent = counted()
        self._compare(kit, bucket)
        again = max(0, sent - sum(map(len, kit.contents().values())))
        what = f"bytes sent again after kill -9 of sender or store at {KILLS} random moments"
        in_flight = KILLS * IN_FLIGHT * SMALL_SEGMENT
        return row(what, "the segments in flight at each", again / in_flight, "<= 1.00")

    def _send(self, kit: "SealedKit", in_flight: int) -> float:
        bucket = self._bucket(kit)
        kit.forget()
        seconds, peak, said = self._run(kit, self._config(bucket, in_flight))
        if "nothing is waiting" not in said:
            raise NotPossible(f"Not everything was sent: {said}")
        self._peaks[in_flight] = max(peak, self._peaks.get(in_flight, 0))
        self._ceph.empty(bucket)
        return seconds

    def _copy(self, kit: "SealedKit") -> float:
        bucket = self._bucket(kit)
        access = self._ceph.access()
        (self._root / "pin.pem").write_text(access.pin)
        settings = {
            "TYPE": "s3",
            "PROVIDER": "Ceph",
            "ENDPOINT": self._ceph.endpoint,
            "ACCESS_KEY_ID": access.access_key_id,
            "SECRET_ACCESS_KEY": access.secret_access_key,
            "NO_CHECK_BUCKET": "true",
        }
        environment = {f"RCLONE_CONFIG_STORE_{name}": value for name, value in settings.items()}
        options = (f"--transfers={IN_FLIGHT}", f"--ca-cert={self._root}/pin.pem")
        places = (kit.home.recordings, f"store:{bucket}")
        started = time.perf_counter()
        run("rclone", "copy", *options, *places, env=_environment(environment))
        seconds = time.perf_counter() - started
        self._ceph.empty(bucket)
        return seconds

    def _bucket(self, kit: "SealedKit") -> str:
        name = f"b-{new_id()}"
        self._ceph.make_bucket(name)
        url = self._ceph.url(name)
        with contextlib.closing(open_store(url, self._ceph.access("service"))) as store:
            store.create(SERVICE_CARD, io.BytesIO(to_json(kit.service.card())))
        return name

    def _config(self, bucket: str, in_flight: int, endpoint: str = "") -> Config:
        return Config(
            store=self._ceph.url(bucket, endpoint),
            store_access=str(self._access),
            store_in_flight=in_flight,
        )

    def _run(self, kit: "SealedKit", config: Config) -> tuple[float, int, str]:
        """Seconds and bytes of memory that one run took, and what it said."""
        command = kit.command(config, "--once")
        command[1:3] = ["-c", _PROGRAM]
        started = time.perf_counter()
        # Compiled once, in the round that does not count, as the package does it on a kit.
        bytecode = str(self._root / "bytecode")
        changes = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode}
        done = run(*command, env=_environment(changes))
        seconds = time.perf_counter() - started
        found = re.search(rb"peak (\d+)", done.stderr)
        assert found
        return seconds, int(found[1]) << 10, done.stdout.decode()

    def _compare(self, kit: "SealedKit", bucket: str) -> None:
        access = self._ceph.access("service")
        with contextlib.closing(open_store(self._ceph.url(bucket), access)) as store:
            for name, data in kit.contents().items():
                file = store.open(name)
                if file is None or file.read() != data:
                    raise NotPossible(f"{name} did not arrive as it is here.")


class SealedKit:
    """A home with films in it, as the recorder leaves them. What they hold is random."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.home = Home(root / "home", root / "run")
        self.home.prepare(self.home.kit, self.home.recordings)
        self.service = PrivateKeys.generate("service")
        self._id = new_id()
        self._signer = Signer.generate(f"kit-{self._id}")
        card = KitCard(id=self._id, verifier=str(self._signer.verifier))
        save_fact(self.home.kit_card, card)
        enrolled = Enrolled(
            service=self.service.card(),
            practitioners=(PrivateKeys.generate("practitioner").card(),),
        )
        save_fact(self.home.enrolled, enrolled)
        self._objects: dict[str, Path] = {}

    def film(self, segments: int, size: int, receipts: str = "") -> None:
        """A film of so many segments of `size` bytes. With `receipts` it has been confirmed by the
        store of that address, and only its manifest is really here."""
        name, case = new_id(), new_id()
        folder = self.home.recording(name)
        folder.mkdir(parents=True)
        now = datetime.now(UTC)
        started = films.beginning(name, self.service.identity.recipient, case, self._id)
        closed = [self._segment(folder, number, size, not receipts) for number in range(segments)]
        ended = FilmEnded.after(closed, EndReason.BUTTON, now)
        text = self._signer.sign(manifest_lines(started, *closed, ended))
        (folder / "manifest").write_text(text)
        files = [("manifest", len(text.encode()), hashlib.sha256(text.encode()).hexdigest())]
        files += [(one.name, one.size, one.sha256) for one in closed]
        files += [(one.index, one.index_size, one.index_sha256) for one in closed]
        for file, length, digest in files:
            thing = film_object(case, name, file)
            self._objects[thing] = folder / file
            if receipts:
                path = receipt_path(self.home, thing)
                path.parent.mkdir(parents=True, exist_ok=True)
                receipt = Receipt(
                    object=thing, size=length, sha256=digest, store=receipts, at=now, how="verified"
                )
                path.write_bytes(to_json(receipt))

    def _segment(self, folder: Path, number: int, size: int, here: bool) -> SegmentClosed:
        """A segment's line in the manifest; the files themselves only if they are to be `here`."""
        digests = []
        files = ((segment_name(number), size), (index_name(number), 20_000 if size else 0))
        for file, length in files:
            data = (VERSION_LINE + random.randbytes(length))[:length]  # noqa: S311 - as sealed
            if here:
                (folder / file).write_bytes(data)
            digests.append(hashlib.sha256(data).hexdigest())
        return SegmentClosed(
            number=number,
            name=files[0][0],
            size=size,
            sha256=digests[0],
            frames=900,
            seconds=30.0,
            index=files[1][0],
            index_size=files[1][1],
            index_sha256=digests[1],
        )

    def command(self, config: Config, *options: str) -> list[str]:
        """What sends this home, as `config` says otherwise."""
        settings = self._root / "attune.toml"
        places = {"home": str(self.home.root), "run": str(self.home.run)}
        write_config(settings, structs.replace(config, **places))
        return [sys.executable, "-m", "appliance.sync", "--config", str(settings), *options]

    def contents(self) -> dict[str, bytes]:
        """What the store should hold of the films, by name."""
        return {name: path.read_bytes() for name, path in self._objects.items()}

    def confirmed(self) -> int:
        """How many receipts there are."""
        return sum(1 for _ in self.home.receipts.rglob("*.json"))

    def has_confirmed(self, count: int) -> Callable[[], bool]:
        """Says whether there are so many by now."""
        return lambda: self.confirmed() >= count

    def forget(self) -> None:
        """As if nothing had been sent."""
        shutil.rmtree(self.home.receipts, ignore_errors=True)


def _until(
    reached: Callable[[], bool],
    running: subprocess.Popen[bytes],
    command: Sequence[str],
    till_done: bool = False,
) -> subprocess.Popen[bytes]:
    """Wait for a moment, and start the sender again whenever it is down."""
    end = time.monotonic() + 300
    while not reached():
        if running.poll() is not None:
            if running.returncode == 0 and till_done:
                return running
            if running.returncode == 0:
                raise NotPossible("Everything was sent before it had been killed often enough.")
            running = _started(command)
        if time.monotonic() > end:
            running.kill()
            raise NotPossible("It was not sent in five minutes.")
        time.sleep(0.005)
    return running


@contextlib.contextmanager
def _counting(target: int) -> Iterator[tuple[int, Callable[[], int]]]:
    """A port that leads to `target`, both on loopback, and how many bytes went there through it."""
    total, lock = 0, threading.Lock()

    def carry(source: socket.socket, sink: socket.socket, count: bool) -> None:
        nonlocal total
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if count:
                    with lock:
                        total += len(data)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    class Through(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", target)) as there,
            ):
                back = threading.Thread(target=carry, args=(there, self.request, False))
                back.start()
                carry(self.request, there, True)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Through) as door:
        door.daemon_threads = True
        threading.Thread(target=door.serve_forever, daemon=True).start()
        yield door.server_address[1], lambda: total
        door.shutdown()


def _started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _environment(changes: dict[str, str]) -> dict[str, str]:
    # What this computer says of other stores would change how rclone goes about it.
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return ours | changes
