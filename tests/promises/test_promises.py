"""The promises, one after the other, on a real recorder.

README.md lists them; each test's name is the sentence it shows.
"""

import base64
import hashlib
import json
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from appliance.age.unsealing import SealedReader
from appliance.casework.closing import withdraw
from appliance.config import Config
from appliance.errors import NoMatch
from appliance.film.manifest import EndReason
from appliance.film.recording import open_recording
from appliance.protocol.permits import PressRefusal
from appliance.records.files import new_id, to_json
from appliance.selftest.kit import Kit
from appliance.selftest.seen import Seen
from appliance.selftest.visit import Visit
from appliance.vault.keys import PrivateKeys


def recordings(visit: Visit) -> list[Path]:
    return sorted(visit.kit.home.recordings.glob("*"))


def film_of(visit: Visit, recording: str) -> bytes:
    directory = visit.kit.home.recording(recording)
    with closing(open_recording(directory, [visit.case.identity])) as opened:
        return opened.film.read_at(0, opened.film.size)


def played(visit: Visit, recording: str) -> Seen:
    return Seen.of(film_of(visit, recording))


# 1. No agreement, no film.


def refused(visit: Visit, reason: PressRefusal) -> None:
    visit.kit.press(0.1)
    status = visit.kit.recorder_shows("a refusal", lambda s: s.reason == reason.value)
    assert status.frames_in == 0
    assert recordings(visit) == []


def test_1_without_a_permit_a_press_opens_no_camera(visit: Visit) -> None:
    refused(visit, PressRefusal.NO_PERMIT)


def test_1_a_permit_altered_by_one_byte_opens_no_camera(visit: Visit) -> None:
    note = visit.keys.signer.sign(to_json(visit.permit()).decode() + "\n")
    visit.place(note.replace('"limit":20', '"limit":30'))
    refused(visit, PressRefusal.PERMIT_NOT_SIGNED)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"not_after": datetime.now(UTC) - timedelta(seconds=30)}, PressRefusal.EXPIRED),
        ({"kit": new_id()}, PressRefusal.OTHER_KIT),
        ({"boot": "the boot before"}, PressRefusal.OTHER_BOOT),
    ],
)
def test_1_a_permit_that_is_not_for_here_and_now_opens_no_camera(
    visit: Visit, changes: dict[str, object], reason: PressRefusal
) -> None:
    visit.place(visit.keys.signer.sign(to_json(visit.permit(**changes)).decode() + "\n"))
    refused(visit, reason)


def test_1_a_permit_that_is_taken_away_never_counts_again(visit: Visit) -> None:
    visit.arm()
    note = visit.kit.home.permit.read_text()
    visit.kit.home.permit.unlink()
    visit.kit.recorder_shows("disarmed", lambda s: s.state == "idle")
    visit.place(note)
    refused(visit, PressRefusal.DISARMED)


@pytest.mark.parametrize("time", [None, datetime(1970, 1, 1, tzinfo=UTC)])
def test_1_a_kit_that_is_not_sure_of_the_time_opens_no_camera(
    new_visit: Callable[..., Visit], time: datetime | None
) -> None:
    visit = new_visit()
    if time:
        visit.vouch(time)
        assert sorted(visit.status.answers.values()) == ["done", "refused"]
    visit.place(visit.keys.signer.sign(to_json(visit.permit()).decode() + "\n"))
    refused(visit, PressRefusal.CLOCK_NOT_TRUSTED)


# 3. A film ends when it was agreed to end.


def test_3_a_film_ends_at_its_limit_and_does_not_begin_again(visit: Visit) -> None:
    visit.arm(limit=5)
    began = visit.film()
    ended = visit.ended()
    assert ended.ended == "limit"
    assert 4.8 <= played(visit, began.recording).seconds <= 5.05
    time.sleep(1.5)
    assert len(recordings(visit)) == 1 and visit.status.state == "ready"


def test_3_the_film_s_own_time_ends_it_where_the_clock_s_deadline_is_far_off(
    new_visit: Callable[..., Visit],
) -> None:
    visit = new_visit(hurry=True)
    visit.vouch()
    visit.arm(limit=300)
    pressed = time.monotonic()
    began = visit.film()
    ended = visit.ended(100)
    pictures = 300 * visit.kit.config.pictures_a_second
    assert time.monotonic() - pressed < 250
    assert ended.ended == "limit" and ended.frames_in == ended.frames_out == pictures
    assert len(recordings(visit)) == 1
    directory = visit.kit.home.recording(began.recording)
    with closing(open_recording(directory, [visit.case.identity])) as opened:
        assert opened.complete and len(opened.film.frames) == pictures


# 4. Anyone can stop it.


def test_4_a_press_ends_the_film_at_once(visit: Visit) -> None:
    visit.arm()
    visit.film()
    visit.kit.button("down")
    ended = visit.ended()
    visit.kit.button("up")
    assert ended.ended == "button"
    assert ended.frames_in == ended.frames_out
    assert ended.timings_ms["stop_to_closed"] < 1000


def test_4_the_press_that_ends_a_film_does_not_begin_another(visit: Visit) -> None:
    visit.arm()
    visit.film()
    visit.kit.press(0.2)
    visit.ended()
    time.sleep(1)
    assert len(recordings(visit)) == 1 and visit.status.state == "ready"


def test_4_holding_on_removes_the_film_and_letting_go_keeps_it(visit: Visit) -> None:
    visit.arm()
    kept = visit.film().recording
    visit.kit.button("down")
    visit.kit.recorder_shows("a countdown", lambda s: s.light == "removing")
    visit.kit.button("up")
    visit.kit.recorder_shows("the film kept", lambda s: s.state == "ready" and s.removable > 0)
    visit.film()
    visit.kit.press(6.0)
    visit.kit.recorder_shows("the film gone", lambda s: s.state == "ready" and not s.removable)
    assert [path.name for path in recordings(visit)] == [kept]
    assert played(visit, kept).seconds > 0


# 5. Never on the card in clear.


def test_5_no_box_of_a_film_and_no_key_lies_in_the_open(visit: Visit, tmp_path: Path) -> None:
    visit.arm()
    began = visit.film()
    visit.kit.recorder_shows("four seconds", lambda s: s.limit - s.remaining > 4)
    visit.kit.press(0.1)
    visit.ended()
    film = film_of(visit, began.recording)
    # Pieces of picture and sound as they lie in the film, from all over it.
    canaries = [film[at : at + 24] for at in range(2000, len(film) - 24, len(film) // 400)]
    canaries = [c for c in canaries if len(set(c)) > 12]
    assert len(canaries) > 50
    secrets = [visit.case.identity.secret_text().encode(), b"AGE-SECRET-KEY-", b"moof", b"mdat"]
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not [c for c in (*canaries, *secrets) if c in data], path.name


# 6. A stolen kit is a brick.


def test_6_what_was_filmed_opens_for_the_case_and_for_no_other_key(visit: Visit) -> None:
    visit.arm()
    began = visit.film()
    visit.kit.press(0.1)
    visit.ended()
    assert visit.case.record.recipient.startswith("age1pq1")
    for sealed in visit.kit.home.recording(began.recording).glob("*.age"):
        with open(sealed, "rb") as file, pytest.raises(NoMatch):
            SealedReader(file, [PrivateKeys.generate("practitioner").identity])
        with open(sealed, "rb") as file:
            assert SealedReader(file, [visit.case.identity]).complete


# 7. Pull the plug: at most one second is lost.


def test_7_a_killed_recorder_loses_a_second_at_most_and_says_so(visit: Visit) -> None:
    visit.arm()
    began = visit.film()
    visit.kit.recorder_shows("four seconds", lambda s: s.limit - s.remaining > 4.37)
    last = visit.status
    visit.kit.pull_the_plug("recorder")
    visit.kit.start("recorder")
    visit.kit.recorder_shows("the recorder", lambda s: s.boottime > last.boottime, 20)
    directory = visit.kit.home.recording(began.recording)
    with closing(open_recording(directory, [visit.case.identity])) as opened:
        assert opened.manifest.ended is not None
        assert opened.manifest.ended.why is EndReason.POWER
        assert [part for part in opened.missing if "the power was cut" in str(part)]
    found = played(visit, began.recording)
    assert last.frames_in / found.rate - found.seconds <= 1.0
    assert len(recordings(visit)) == 1


# 9. A withdrawal reaches every copy (this kit's part).


def test_9_a_withdrawal_ends_the_film_and_closes_every_copy(visit: Visit) -> None:
    visit.arm()
    began = visit.film()
    withdraw(visit.case.directory, visit.keys, visit.status.kit, datetime.now(UTC))
    assert visit.ended().ended == "withdrawn"
    visit.kit.press(0.1)
    visit.kit.recorder_shows("a refusal", lambda s: s.reason == PressRefusal.WITHDRAWN.value)
    # The recorder may have removed the film that was taken back; it began no other.
    assert {path.name for path in recordings(visit)} <= {began.recording}


# 10. What happened can be proven.


def test_10_a_manifest_is_checked_with_a_dozen_lines_of_public_tools(visit: Visit) -> None:
    visit.arm()
    began = visit.film()
    visit.kit.press(0.1)
    visit.ended()
    directory = visit.kit.home.recording(began.recording)
    name, _, key = visit.status.verifier.split("+", 2)
    text, _, last = (directory / "manifest").read_text().rpartition("\n\n")
    signature = base64.b64decode(last.split(" ")[2])[4:]
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[1:])
    public.verify(signature, text.encode() + b"\n")
    lines = [json.loads(line) for line in text.splitlines()]
    assert lines[1]["attune"] == "camera/v1"
    for line in lines[2:-1]:
        sealed = (directory / line["name"]).read_bytes()
        assert (len(sealed), hashlib.sha256(sealed).hexdigest()) == (line["size"], line["sha256"])
    assert lines[0]["case"] == visit.case.id and lines[-1]["why"] == "button"
    assert name == last.split(" ")[1]


# What is wrong with the kit itself is said in words.


def test_a_scene_that_is_no_film_is_refused_in_words(tmp_path: Path) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"this is not a film" * 1000)
    config = Config(
        home=str(tmp_path / "home"), run=str(tmp_path / "run"), camera="scene", scene=str(film)
    )
    done = Kit(config, tmp_path / "logs").run("recorder")
    assert done.returncode == 1
    assert "not a film" in done.stderr and "Traceback" not in done.stderr


def test_two_recorders_cannot_share_a_home(visit: Visit) -> None:
    done = visit.kit.run("recorder")
    assert done.returncode == 1
    assert "already running" in done.stderr and "Traceback" not in done.stderr
