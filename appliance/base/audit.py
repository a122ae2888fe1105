"""Whether a store holds what it should. Nothing is changed.

By its listing, every file that a signed manifest names is there, in its size; of a sample, byte for
byte. Each case has a key that the service's own opens, unless it was withdrawn: then it has none.
Each answer is the one that the ledger knows.

It cannot miss a film whose manifest is gone as well, nor a document: that a kit sees, which holds
its receipts against the store when it is switched on.
"""

import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from appliance.base.cases import newest_key
from appliance.base.ledger import Ledger
from appliance.base.orders import read_or_none
from appliance.errors import BadInput, NoMatch
from appliance.film.manifest import parse_manifest
from appliance.protocol.objects import tombstone_object
from appliance.records.files import ID
from appliance.records.signing import Verifier
from appliance.stores.store import ServiceStore, measure
from appliance.vault.keys import PrivateKeys

Code = Literal["missing", "size", "content", "manifest", "no-manifest", "key", "key-left", "answer"]
SENTENCES: dict[Code, str] = {
    "missing": "is named by its film's manifest and is not there: it is on its way, or was lost.",
    "size": "has another size than its film's manifest says.",
    "content": "is not what its film's manifest says.",
    "manifest": "cannot be believed: it is damaged, or no kit or person of this service signed it.",
    "no-manifest": "is a film whose manifest was lost.",
    "key": "has no key that the service's keys open, so that nobody here can open its films.",
    "key-left": "is a key of a case that was withdrawn.",
    "answer": "is not the answer that the ledger knows.",
}
_FILM = re.compile(
    rf"(?P<film>cases/(?P<case>{ID.pattern})/(recordings|imports)/{ID.pattern}/)[^/]+"
)
_CASE = re.compile(rf"cases/(?P<case>{ID.pattern})/.+")
_LARGEST = 64 << 20
"""Bytes: no manifest is longer."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    object: str
    code: Code

    @property
    def sentence(self) -> str:
        return f"{self.object} {SENTENCES[self.code]}"


@dataclass(frozen=True)
class Audit:
    """What was looked at, and what was found."""

    objects: int
    cases: int
    films: int
    read: int
    """Files of films that were read and compared byte for byte."""
    findings: tuple[Finding, ...]


@dataclass
class Auditor:
    """One look through a store."""

    store: ServiceStore
    keys: PrivateKeys
    signers: Sequence[Verifier]
    """Kits and people whose manifests count."""
    ledger: Ledger
    sample: float = 0.0
    """Which part of the files of films is read, from 0 to 1."""
    chance: Callable[[], float] = random.SystemRandom().random
    _sizes: dict[str, int] = field(default_factory=dict)
    _read: int = 0

    def audit(self) -> Audit:
        """Raises SendInterrupted, SendRefused."""
        self._sizes = {entry.name: entry.size for entry in self.store.list("")}
        films: dict[str, list[str]] = defaultdict(list)
        cases: dict[str, list[str]] = defaultdict(list)
        for name in self._sizes:
            if found := _FILM.fullmatch(name):
                films[found["film"]].append(name)
            if found := _CASE.fullmatch(name):
                cases[found["case"]].append(name)
        findings = [
            *(finding for film in sorted(films) for finding in self._film(film)),
            *(finding for case in sorted(cases) for finding in self._keys(case, cases[case])),
            *self._answers(),
        ]
        return Audit(len(self._sizes), len(cases), len(films), self._read, tuple(findings))

    def _film(self, film: str) -> Iterator[Finding]:
        if f"{film}manifest" not in self._sizes:
            yield Finding(film, "no-manifest")
            return
        try:
            manifest = parse_manifest(self._text(f"{film}manifest"), self.signers)
        except BadInput:
            manifest = None
        # Only what is finished and signed is ever sent.
        if manifest is None or manifest.signed_by is None:
            yield Finding(f"{film}manifest", "manifest")
            return
        for name, size, sha256 in manifest.files:
            there = self._sizes.get(film + name)
            if there is None:
                yield Finding(film + name, "missing")
            elif there != size:
                yield Finding(film + name, "size")
            elif self.chance() < self.sample and not self._holds(film + name, sha256):
                yield Finding(film + name, "content")

    def _holds(self, name: str, sha256: str) -> bool:
        self._read += 1
        file = self.store.open(name)
        if file is None:
            return False
        with file:
            return measure(file).sha256 == sha256

    def _keys(self, case: str, names: Sequence[str]) -> Iterator[Finding]:
        closing = self.ledger.closing(case)
        if closing is not None and not closing.ids["held"]:
            for name in names:
                if name.startswith(f"cases/{case}/identity-"):
                    yield Finding(name, "key-left")
            return
        try:
            if newest_key(self.store, self.keys, case) is None and closing is None:
                yield Finding(f"Case {case}", "key")
        except NoMatch:
            yield Finding(f"Case {case}", "key")

    def _answers(self) -> Iterator[Finding]:
        known = {}
        for order, line in self.ledger.of("answered").items():
            where = tombstone_object(line.ids["case"] if line.ids["whole"] else order)
            if not line.ids["whole"] or self.ledger.closing(line.ids["case"]) is line:
                known[where] = line.ids["answer"].encode()
        lie = {name for name in self._sizes if name.startswith("tombstones/")}
        for name in sorted(lie | set(known)):
            if name not in lie or read_or_none(self.store, name) != known.get(name):
                yield Finding(name, "answer")

    def _text(self, name: str) -> str:
        file = self.store.open(name)
        if file is None:
            return ""
        with file:
            return file.read(_LARGEST).decode(errors="replace")
