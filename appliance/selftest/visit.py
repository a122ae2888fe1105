"""A kit at a family's home whose recorder runs alone: what the page would write is written here."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import msgspec

from appliance.protocol.permits import Permit
from appliance.protocol.requests import Enrol, SetTime, place_request
from appliance.protocol.status import RecorderStatus
from appliance.records.clock import SystemClock, Vouch
from appliance.records.files import new_id, save, save_fact
from appliance.records.signing import sign_fact
from appliance.selftest.kit import Kit
from appliance.vault.cases import Cases, Details, OpenCase
from appliance.vault.keys import PrivateKeys, lock


def enrol(kit: Kit, service: PrivateKeys, practitioner: PrivateKeys) -> RecorderStatus:
    """Set a new kit up for a service and its practitioner, with a press."""
    now = SystemClock().read()
    asked = Enrol(
        id=new_id(),
        boot=now.boot,
        boottime=now.boottime,
        service=service.card(),
        practitioner=practitioner.card(),
    )
    place_request(kit.home, asked)
    kit.recorder_shows("presence asked for", lambda s: s.state == "presence")
    kit.press(0.1)
    return kit.recorder_shows("enrolled", lambda s: s.answers.get(asked.id) == "done")


@dataclass(frozen=True)
class Visit:
    """A practitioner and a service are enrolled, and there is one case."""

    kit: Kit
    keys: PrivateKeys
    service: PrivateKeys
    case: OpenCase

    @classmethod
    def begin(cls, kit: Kit) -> Self:
        """Start the recorder and set it up, with a press. Nobody has vouched for the time yet."""
        kit.home.prepare(kit.home.permits, kit.home.web_requests, kit.home.cases)
        kit.start("recorder")
        kit.recorder_shows("the recorder", lambda s: s.state == "idle", 20)
        keys, service = PrivateKeys.generate("practitioner"), PrivateKeys.generate("service")
        enrol(kit, service, keys)
        details = Details(label="nobody's family", check_word="harbour")
        case = Cases(kit.home).create(details, keys, service.chain, [keys.signer.verifier])
        return cls(kit, keys, service, case)

    @property
    def status(self) -> RecorderStatus:
        found = self.kit.status()
        assert found is not None
        return found

    def vouch(self, time: datetime | None = None) -> None:
        """Say what time it is, as unlocking the page does; the truth if no `time` is given."""
        now = SystemClock().read()
        word = Vouch(
            kit=self.status.kit, time=time or now.wall, boot=now.boot, boottime=now.boottime
        )
        note = sign_fact(self.keys.signer, word)
        request = SetTime(id=new_id(), boot=now.boot, boottime=now.boottime, note=note)
        place_request(self.kit.home, request)
        self.kit.recorder_shows("an answer", lambda s: request.id in s.answers)

    def let_in(self, passphrase: str) -> None:
        """What the set-up of the page would have written: the practitioner's key, under this."""
        place = self.kit.home.keys.of(self.keys.card().name)
        place.mkdir(parents=True)
        save(place.identity, lock(self.keys, passphrase, work=10), mode=0o600)
        save_fact(place.card, self.keys.card())

    def permit(self, **changes: Any) -> Permit:
        """A permit that is right in every field, but for `changes`."""
        now = datetime.now(UTC)
        permit = Permit(
            id=new_id(),
            kit=self.status.kit,
            case=self.case.id,
            recipient=self.case.record.recipient,
            consent="0" * 64,
            kind="visit",
            limit=20,
            sound=True,
            films=5,
            boot=self.status.boot,
            not_before=now - timedelta(minutes=1),
            not_after=now + timedelta(hours=1),
        )
        return msgspec.structs.replace(permit, **changes)

    def place(self, note: str) -> None:
        """Put a text where the order to film lies, whatever it is."""
        save(self.kit.home.permit, note.encode())

    def arm(self, **changes: Any) -> Permit:
        """Arm the kit and wait for its light to say so."""
        permit = self.permit(**changes)
        self.place(sign_fact(self.keys.signer, permit))
        self.kit.recorder_shows("ready", lambda s: s.state == "ready" and s.permit == permit.id)
        return permit

    def film(self) -> RecorderStatus:
        """Press, and wait until film is on the card."""
        self.kit.press(0.1)
        return self.kit.recorder_shows(
            "filming", lambda s: s.state == "filming" and s.frames_out > 0
        )

    def ended(self, seconds: float = 30.0) -> RecorderStatus:
        """Wait for the film to end."""
        return self.kit.recorder_shows(
            "the end", lambda s: bool(s.ended) and s.state not in ("filming", "stopping"), seconds
        )
