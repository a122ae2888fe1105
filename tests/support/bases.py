"""A service with its folder of keys and its store, run as its people run it, and a kit of it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from appliance.protocol.objects import order_object
from appliance.protocol.orders import FilmWithdrawal, ShareEnd, Withdrawal
from appliance.records.files import save, to_json
from appliance.records.signing import sign_fact
from appliance.vault.cases import OpenCase
from appliance.vault.keys import PrivateKeys
from tests.support.homes import SendingKit, new_store, practitioner, service

Order = Withdrawal | FilmWithdrawal | ShareEnd


class Base:
    """Everything in `root`: keys/, service/ (the store) and kit/."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = new_store(root / "service")
        self.store = root / "service"
        self.kit = SendingKit(root / "kit", self.store)
        self.keys = root / "keys"
        (self.keys / "practitioners").mkdir(parents=True)
        save(self.keys / "service.key", service().text().encode(), mode=0o600)
        save(self.keys / "practitioners" / "one.pub", to_json(practitioner().card()))

    def run(self, *words: str, said: str = "") -> "subprocess.CompletedProcess[str]":
        """`attune base STORE -i KEYS` and these words; `said`: what somebody types meanwhile."""
        command = [sys.executable, "-m", "appliance.base", self.store.as_uri(), "-i"]
        return subprocess.run(
            [*command, str(self.keys), *words],
            input=said,
            capture_output=True,
            text=True,
            check=False,
        )

    def told(self, *words: str, status: int = 0) -> dict[str, Any]:
        """What a verb prints as an object."""
        done = self.run(*words, "--json")
        assert done.returncode == status, done.stderr
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    def opened(self, case: str) -> OpenCase:
        """The case as its practitioner has it on the kit."""
        return self.kit.cases.open(case, practitioner(), [practitioner().signer.verifier])

    def place(self, fact: Order, keys: PrivateKeys) -> Path:
        """What somebody puts at the store who has a kit's way in, signed by these keys."""
        path = self.store / order_object(fact.id)
        path.parent.mkdir(exist_ok=True)
        path.write_text(sign_fact(keys.signer, fact))
        return path

    def enrolled(self) -> PrivateKeys:
        """Another practitioner of this service, who works with none of its families."""
        other = PrivateKeys.generate("practitioner")
        save(self.keys / "practitioners" / f"{other.card().name}.pub", to_json(other.card()))
        return other

    def identities(self, case: str) -> list[str]:
        """The key files of a case at the store."""
        return sorted(path.name for path in (self.store / "cases" / case).glob("identity-*"))

    def sent(self) -> str:
        """A family's case that was sent; its id."""
        case = self.kit.case().id
        self.kit.film(case)
        self.kit.sync()
        return case

    def withdrawn(self) -> tuple[str, str]:
        """A case that was sent, then withdrawn on the kit; its id, and that of the order."""
        case = self.sent()
        order = self.kit.withdraw(case)
        self.kit.sync()
        return case, order
