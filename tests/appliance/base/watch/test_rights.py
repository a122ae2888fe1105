"""What kits cannot read of a folder is told by base, not by the kits that it keeps out."""

import os
from pathlib import Path

import pytest

from appliance.base.watch.rights import unreadable
from tests.support.homes import new_store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    new_store(tmp_path / "service")
    (tmp_path / "service").chmod(0o755)
    for path in (tmp_path / "service").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return tmp_path / "service"


def test_a_store_that_everybody_may_read_is_well(folder: Path) -> None:
    assert list(unreadable(folder.as_uri())) == []
    assert list(unreadable("sftp://kit@host.example/x")) == []


@pytest.mark.parametrize(("name", "mode"), [("service", 0o750), ("service/card.json", 0o640)])
def test_what_others_cannot_read_is_named_with_what_to_do(
    folder: Path, name: str, mode: int
) -> None:
    (folder / name).chmod(mode)
    (found,) = unreadable(str(folder))
    assert name in found.what and "as another user" in found.what
    assert f"--reference={folder}" in found.to_do
    # A folder that is its owner's alone has nobody else to be read by.
    folder.chmod(0o700)
    assert list(unreadable(str(folder))) == []


@pytest.mark.skipif(os.getuid() != 0, reason="another owner takes root")
def test_what_the_folders_own_user_cannot_read_is_named(folder: Path) -> None:
    folder.chmod(0o750)
    (folder / "service" / "card.json").chmod(0o640)
    assert list(unreadable(str(folder))) == []
    os.chown(folder, 4711, 4711)
    assert "service/card.json" in next(unreadable(str(folder))).what
