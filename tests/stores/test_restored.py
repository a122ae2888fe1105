"""What a store has lost comes back from a copy at a real server, and to one."""

import contextlib
import io
import shutil
import subprocess
import sys
from pathlib import Path

from tests.stores.servers import Server, write_access
from tests.support.bases import Base
from tests.support.homes import contents


def test_a_copy_over_sftp_gives_back_what_was_lost_and_so_does_a_folder_to_it(
    sftp: Server, tmp_path: Path
) -> None:
    at_base = Base(tmp_path)
    at_base.told("enrol", str(at_base.kit.home.kit / "kit.json"))
    at_base.sent()
    cases = at_base.store / "cases"
    before = contents(cases)
    assert sftp.service is not None
    access = str(write_access(tmp_path / "access", sftp.service))
    with contextlib.closing(sftp.open_as_service()) as there:
        for entry in list(there.list("")):
            there.purge(entry.name)
        for name, data in contents(at_base.store).items():
            there.create(name, io.BytesIO(data))
        shutil.rmtree(cases)
        at_base.told("restore", "--from", sftp.url, "--from-access", access)
        assert contents(cases) == before
        for entry in list(there.list("cases/")):
            there.purge(entry.name)
        words = ["-i", str(at_base.keys), "--access", access, "restore", "--from"]
        done = subprocess.run(
            [sys.executable, "-m", "appliance.base", sftp.url, *words, str(at_base.store)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert {entry.name.removeprefix("cases/") for entry in there.list("cases/")} == set(before)
