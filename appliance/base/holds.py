"""Holds at base: while one is on a case or a film, nothing of it is removed.

A hold is public as far as case, film, signer, since and until. Kits send theirs before any order
under it; the service places its own with the verb `hold`. It does not run out by itself: on its day
somebody looks at it again, and it ends when it is lifted.

    holds/<case>/<hold>          a HoldNotice, named by its content
    holds/<case>/<hold>-lifted   a HoldEnd
    holds/<case>/<hold>-refused  the service's no to a hold that waited for its word
    holds/<case>/why-<hold>.age  its reason, sealed to the service (`protocol.hold_reasons`)

The reason goes with its case: once that is withdrawn and nothing holds it any more.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from appliance.age.unsealing import unseal
from appliance.base.ledger import Ledger
from appliance.base.orders import put_note, read_or_none
from appliance.base.voices import Voices, Waits
from appliance.errors import (
    BadFile,
    BadInput,
    BadSignature,
    KitError,
    NotAFile,
    SendRefused,
)
from appliance.protocol.hold_reasons import (
    WHY_OBJECT,
    HoldReason,
    sealed_reason,
    why_object,
)
from appliance.protocol.objects import hold_object
from appliance.protocol.orders import HoldEnd, HoldNotice, hold_name, read_hold
from appliance.records.files import ID, from_json
from appliance.records.signing import Signer, sign_fact
from appliance.stores.store import ServiceStore, read_small
from appliance.vault.keys import PrivateKeys

_NAME = re.compile(rf"holds/(?P<hold>{ID.pattern}/[0-9a-f]{{16}})(?P<after>-lifted|-refused)?")


@dataclass
class Holds:
    """What is held now."""

    store: ServiceStore
    voices: Voices
    ledger: Ledger
    refused: list[tuple[str, KitError]] = field(default_factory=list)
    """Objects that look like a hold and are none that counts, and why."""
    _reasons: set[str] = field(default_factory=set)
    """The cases of which a reason was there when holds were heard."""

    def hear(self) -> None:
        """Take in what kits have sent, and put back what the store has lost. Raises
        SendInterrupted, SendRefused."""
        self.refused.clear()
        names = [entry.name for entry in self.store.list("holds/")]
        self.put_back(set(names))
        # A hold's name sorts before that of its end.
        for name in names:
            found = _NAME.fullmatch(name)
            if found is None and WHY_OBJECT.fullmatch(name):
                continue
            if found is None:
                self.refused.append((name, BadFile("This is not the name of a hold.")))
                continue
            hold, lifted = found["hold"], found["after"] == "-lifted"
            if hold in self.ledger.of("lifted" if lifted else "held"):
                continue
            if hold in self.ledger.of("declined"):
                continue
            try:
                if found["after"] == "-refused":
                    raise BadFile("This service has refused no such hold.")
                note = read_small(self.store, name) or b""
                self._lift(hold, note) if lifted else self._place(hold, note)
            except (BadInput, NotAFile, Waits) as error:
                self.refused.append((name, error))
        self._reasons = {why["case"] for name in names if (why := WHY_OBJECT.fullmatch(name))}
        for case in sorted(self._reasons):
            self.forget_reasons(case)

    def on(self, case: str, film: str = "") -> list[HoldNotice]:
        """What keeps a film, or anything of a case where none is named."""
        return [
            hold
            for hold in self.all().values()
            if hold.case == case and (not film or hold.film in ("", film))
        ]

    def all(self) -> dict[str, HoldNotice]:
        """Every hold that is not lifted, by its name."""
        return {
            name: read_hold(line.ids["note"].partition("\n")[0])
            for name, line in self.ledger.of("held").items()
            if name not in self.ledger.of("lifted")
        }

    def place(self, signer: Signer, case: str, film: str, now: datetime, until: datetime) -> str:
        """Place the service's own hold, or one that is looked at again on another day. Returns its
        name."""
        by = signer.verifier.name
        notice = HoldNotice(case=case, film=film, signer=by, since=now, until=until)
        note = sign_fact(signer, notice).encode()
        hold = f"{case}/{hold_name(note)}"
        self._place(hold, note)
        put_note(self.store, _where(hold), note)
        return hold

    def lift(self, signer: Signer, hold: str, now: datetime) -> None:
        """End a hold in the service's name."""
        case, _, name = hold.partition("/")
        placed = self.all().get(hold)
        if placed is not None and placed.since is not None:
            now = max(now, placed.since)  # A kit's clock may be ahead of ours.
        end = HoldEnd(case=case, hold=name, signer=signer.verifier.name, at=now)
        note = sign_fact(signer, end).encode()
        self._lift(hold, note)
        put_note(self.store, f"{_where(hold)}-lifted", note)

    def give_reason(self, keys: PrivateKeys, hold: str, role: str, reason: str) -> None:
        """Say, for the service alone, who decided on a hold of its own and why."""
        case, _, name = hold.partition("/")
        why = HoldReason(case=case, hold=name, role=role, reason=reason)
        put_note(self.store, why_object(case, name), sealed_reason(keys.signer, keys.chain, why))

    def reason(self, keys: PrivateKeys, hold: str) -> HoldReason | None:
        """Who decided on a hold and why; None where nothing was written down. Raises NoMatch where
        no key here opens it, BadInput or Incomplete for what is no reason of this hold."""
        case, _, name = hold.partition("/")
        sealed = read_or_none(self.store, why_object(case, name))
        if sealed is None:
            # Where it was being sealed anew, and that was cut short.
            sealed = read_or_none(self.store, why_object(case, name, anew=True))
        if sealed is None:
            return None
        text, by = self.voices.opened(unseal(sealed, keys.identities))
        why = from_json(text, HoldReason)
        if (why.case, why.hold, by) != (case, name, self.ledger.of("held")[hold].ids["by"]):
            raise BadFile("This is the reason for another hold.")
        return why

    def forget_reasons(self, case: str) -> None:
        """Remove why a case was held, if it is withdrawn and nothing holds it: nor may a hold that
        cannot be believed yet. Raises SendInterrupted, SendRefused."""
        closing = self.ledger.closing(case)
        if case not in self._reasons:
            return
        over = case in self.ledger.of("emptied") or (closing and not closing.ids["held"])
        if over and not self.on(case) and not self.waiting(case):
            self.store.purge(hold_object(case, "why-"))

    def waiting(self, case: str) -> bool:
        """True if a hold that nobody can tell yet whether it counts is on this case."""
        of_case = f"holds/{case}/"
        return any(
            name.startswith(of_case) and isinstance(error, Waits) for name, error in self.refused
        )

    def waits(self, case: str, hold: str) -> str:
        """Why a hold at the store waits for the service's word; '' where it does not. Raises
        SendInterrupted, SendRefused."""
        self.hear()
        for name, error in self.refused:
            if name == hold_object(case, hold) and isinstance(error, Waits):
                return error.sentence
        return ""

    def put_back(self, listed: Collection[str] | None = None) -> None:
        """Put every hold and every end of one where the store has lost it: by what it lists, or by
        what it holds where that is not given."""
        again = set()
        for kind, after in (("held", ""), ("lifted", "-lifted")):
            for hold, line in self.ledger.of(kind).items():  # type: ignore[arg-type]
                note = line.ids["note"].encode()
                where = f"{_where(hold)}{after}"
                try:
                    # When a hold is put there, its end makes way as well.
                    if listed is None or hold in again:
                        lost = read_or_none(self.store, where) != note
                    else:
                        lost = where not in listed
                    if lost:
                        put_note(self.store, where, note)
                        again.add(hold)
                except SendRefused as error:
                    self.refused.append((where, error))

    def _place(self, hold: str, note: bytes) -> None:
        text, by = self.voices.opened(note)
        notice = read_hold(text)
        if hold != f"{notice.case}/{hold_name(note)}" or notice.signer not in ("", by):
            raise BadFile("This hold belongs elsewhere.")
        if notice.since is not None:
            self.voices.check_was_here(by, notice.since)
        self.ledger.write("held", hold, note=note.decode(), by=by)

    def _lift(self, hold: str, note: bytes) -> None:
        text, by = self.voices.opened(note)
        end = from_json(text, HoldEnd)
        placed = self.ledger.of("held").get(hold)
        if hold != f"{end.case}/{end.hold}" or end.signer != by or placed is None:
            raise BadFile("This end of a hold belongs elsewhere.")
        since = read_hold(placed.ids["note"].partition("\n")[0]).since
        if since is None and self.voices.has_left(by):
            since = placed.at  # An older kit wrote it, and does not say when.
        if since is not None and end.at < since:
            # They may have left since, and dated it back.
            raise BadFile("This end of a hold is older than the hold.")
        self.voices.check_was_here(by, end.at)
        if not self.voices.is_service(by) and (
            self.voices.is_service(placed.ids["by"])
            or (by != placed.ids["by"] and not self.voices.works_in(end.case, by))
        ):
            raise BadSignature(f"{by} may not lift this hold.")
        self.ledger.write("lifted", hold, note=note.decode(), by=by)


def _where(hold: str) -> str:
    """The object of a hold, which the ledger calls by its case and its name."""
    return hold_object(*hold.split("/"))
