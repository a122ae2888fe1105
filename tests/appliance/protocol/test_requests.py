"""What the page asks of the recorder: read as it was placed, or refused."""

from pathlib import Path

import pytest

from appliance.errors import BadFile
from appliance.protocol.requests import (
    CorrectTime,
    Enrol,
    FactoryReset,
    LetIn,
    Preview,
    Remove,
    Renew,
    Request,
    SetTime,
    Stop,
    place_request,
    read_request,
)
from appliance.records.files import Home, new_id, to_json
from tests.support.homes import practitioner, service

ID = new_id()
COMMON = {"id": ID, "boot": "this boot", "boottime": 12.5}
STOP = Stop(**COMMON)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home", tmp_path / "run")
    made.prepare(made.web_requests)
    return made


@pytest.mark.parametrize(
    "request_",
    [
        STOP,
        Enrol(**COMMON, service=service().card(), practitioner=practitioner().card()),
        Preview(**COMMON, open=True),
        *(kind(**COMMON, note="x") for kind in (Renew, Remove, LetIn, SetTime)),
        *(kind(**COMMON, note="x") for kind in (CorrectTime, FactoryReset)),
    ],
    ids=lambda one: type(one).__name__,
)
def test_every_request_is_read_as_it_was_placed(home: Home, request_: Request) -> None:
    assert place_request(home, request_) == ID
    (path,) = home.web_requests.iterdir()
    assert read_request(path) == request_


def test_a_request_under_the_name_of_another_is_refused(home: Home) -> None:
    place_request(home, STOP)
    (path,) = home.web_requests.iterdir()
    with pytest.raises(BadFile, match="another name inside"):
        read_request(path.rename(path.with_name(f"{new_id()}.json")))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        to_json(STOP).replace(b"stop/v1", b"start/v1"),
        to_json(STOP).replace(b'"boot"', b'"more":1,"boot"'),
        to_json(Remove(**COMMON, note="x" * 256 * 1024)),
    ],
    ids=["empty", "nothing", "of no kind", "of a field too many", "too large"],
)
def test_what_is_no_request_is_refused(home: Home, text: bytes) -> None:
    path = home.web_requests / f"{ID}.json"
    path.write_bytes(text)
    with pytest.raises(BadFile):
        read_request(path)
