"""What tries that were cut have left at a store is removed by its age, by whoever may."""

import contextlib
import io
import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tests.stores.servers import Server


def test_a_file_without_end_at_an_sftp_server_is_purged_as_any_other(sftp: Server) -> None:
    root = Path(unquote(urlsplit(sftp.url).path))
    with contextlib.closing(sftp.open()) as kit:
        kit.create("cases/endless/identity-0001.age", io.BytesIO(b"x" * 3_000_000))
        kit.create("cases/endless/identity-0003.age", io.BytesIO(b""))
    path = root / "cases" / "endless" / "identity-0002.age"
    path.touch()
    os.truncate(path, 1 << 40)
    shutil.chown(path, path.parent.owner())
    with contextlib.closing(sftp.open_as_service()) as one_who_may:
        names = one_who_may.purge("cases/endless/identity-")
        assert [name[-8:] for name in names] == ["0001.age", "0002.age", "0003.age"]
    assert list(path.parent.iterdir()) == []


def test_what_cut_tries_left_at_an_sftp_server_is_swept_by_whoever_may(sftp: Server) -> None:
    folder = Path(unquote(urlsplit(sftp.url).path)) / "cases" / "swept"
    with contextlib.closing(sftp.open()) as kit:
        kit.create("cases/swept/x", io.BytesIO(b"x"))

    def left(days: float) -> Path:
        path = folder / f".y.{days}.unfinished"
        path.write_bytes(b"half")
        at = time.time() - days * 86400
        os.utime(path, (at, at))
        shutil.chown(path, folder.owner())
        return path

    old, young = left(2), left(0.5)
    with contextlib.closing(
        sftp.open()
    ) as kit:  # This account may not remove, and sends all the same.
        kit.create("cases/swept/y", io.BytesIO(b"y"))
        assert old.exists()
    with contextlib.closing(sftp.open_as_service()) as one_who_may:
        one_who_may.create("cases/swept/z", io.BytesIO(b"z"))
        assert (old.exists(), young.exists()) == (False, True)
        old = left(2)
        assert one_who_may.sweep(datetime.now(UTC) - timedelta(days=1)) == 1
        assert (old.exists(), young.exists()) == (False, True)
        assert len(list(one_who_may.list("cases/swept/"))) == 3
