"""After a new card: why a case is held is read by the new keys, and by the old one no more."""

from pathlib import Path

import pytest

from appliance.age.unsealing import unseal
from appliance.base.custody.reasons import reseal_reasons
from appliance.errors import NoMatch, SendInterrupted
from appliance.stores.folder import FolderStore
from tests.appliance.base.custody.test_anew import opening
from tests.appliance.base.custody.test_keys import kept_apart
from tests.support.bases import Base
from tests.support.homes import contents, service


@pytest.fixture
def at_base(tmp_path: Path) -> Base:
    return Base(tmp_path)


def held(at_base: Base) -> Path:
    """A case that is held, before the service kept its keys apart: where the reason lies."""
    case = at_base.sent()
    words = ("hold", case, "--until", "2099-01-01", "--role", "lead")
    assert at_base.run(*words, said="an enquiry\n").returncode == 0
    (why,) = (at_base.store / "holds" / case).glob("why-*")
    return why


def test_it_is_sealed_to_the_new_keys_under_the_same_name(at_base: Base) -> None:
    why = held(at_base)
    away = kept_apart(at_base)
    for name in ("service", "daily"):
        (away / f"{name}.key").rename(at_base.keys / f"{name}.key")
    before = contents(at_base.store)
    assert at_base.told("reseal", "--dry-run")["reasons_unread"] == []
    assert contents(at_base.store) == before
    assert at_base.told("reseal")["reasons_unread"] == []
    (at_base.keys / "service.key").unlink()
    with pytest.raises(NoMatch):
        unseal(why.read_bytes(), [service().identity])
    sealed = why.read_bytes()
    assert at_base.told("hold", why.parent.name)["holds"][0]["reason"] == "an enquiry"
    assert at_base.told("reseal")["reasons_unread"] == [] and why.read_bytes() == sealed
    assert [path.name for path in why.parent.glob("why-*")] == [why.name]


@pytest.mark.parametrize("after", range(4))
def test_wherever_it_is_cut_short_a_copy_is_left_and_it_is_done_again(
    at_base: Base, after: int
) -> None:
    why = held(at_base)
    kept_apart(at_base)
    left = [after]

    class Cut(FolderStore):
        def step(self) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise SendInterrupted("The connection was lost.")

        def purge(self, prefix):  # type: ignore[no-untyped-def]
            self.step()
            return super().purge(prefix)

        def create(self, name, source):  # type: ignore[no-untyped-def]
            self.step()
            return super().create(name, source)

    keys = opening(at_base)
    with pytest.raises(SendInterrupted):
        list(reseal_reasons(Cut(at_base.store), keys))
    assert list(why.parent.glob("why-*"))
    assert [opened for _hold, opened in reseal_reasons(FolderStore(at_base.store), keys)] == [True]
    assert unseal(why.read_bytes(), [keys.identities[-1]])
    assert [path.name for path in why.parent.glob("why-*")] == [why.name]
