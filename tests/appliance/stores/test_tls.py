"""Who is believed to be the store, and what is told of who is not."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from appliance.bench.certificates import TODAY, Authority, Valid
from appliance.errors import WrongStore, WrongTime
from appliance.stores.tls import knock, pinned

DAY = timedelta(days=1)


@contextlib.contextmanager
def answering(authority: Authority, folder: Path, valid: Valid = TODAY) -> Iterator[int]:
    """The port of a server with a certificate of this authority. It answers one knock."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue(folder, "store", ["localhost"], valid))
    with socket.create_server(("localhost", 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):
                wire, _ = server.accept()
                with wire, context.wrap_socket(wire, server_side=True) as spoken:
                    spoken.recv(1)

        thread = threading.Thread(target=answer)
        thread.start()
        yield server.getsockname()[1]
    thread.join()


@pytest.mark.parametrize(
    ("valid", "said"),
    [((-2 * DAY, -DAY), "has run out"), ((DAY, 2 * DAY), "is not valid yet")],
)
def test_a_wrong_clock_and_a_certificate_that_has_run_out_are_told_as_such(
    tmp_path: Path, valid: Valid, said: str
) -> None:
    """Not as somebody else who answered: in that, people look for another network."""
    authority = Authority()
    with answering(authority, tmp_path, valid) as port, pytest.raises(WrongTime, match=said):
        knock("localhost", port, pinned(authority.pem), 10.0)


@pytest.mark.parametrize("valid", [TODAY, (-2 * DAY, -DAY)])
def test_who_has_another_authoritys_certificate_is_not_the_store_whatever_its_date(
    tmp_path: Path, valid: Valid
) -> None:
    with answering(Authority(), tmp_path, valid) as port, pytest.raises(WrongStore):
        knock("localhost", port, pinned(Authority().pem), 10.0)


def test_the_pin_may_be_the_authority_in_the_middle_or_above_where_the_store_shows_it(
    tmp_path: Path,
) -> None:
    above = Authority()
    middle = Authority(above)
    with answering(middle, tmp_path) as port:
        knock("localhost", port, pinned(middle.pem), 10.0)
    with answering(middle, tmp_path) as port:
        knock("localhost", port, pinned((tmp_path / "store.crt").read_text()), 10.0)
    # It was not shown here, so that nothing leads up to the one above.
    with answering(middle, tmp_path) as port, pytest.raises(WrongStore):
        knock("localhost", port, pinned(above.pem), 10.0)
