"""The packages that a kit which films families has not: what each takes out of the kit's."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEBIAN = ROOT / "systemd" / "debian"
FOLDERS = {
    line: DEBIAN / f"{package}.prerm"
    for package, named in (
        ("attune-kit-scene", "scene-files"),
        ("attune-base", "base-files"),
        ("attune-bench", "bench-files"),
    )
    for line in (DEBIAN / named).read_text().split()
    if (ROOT / line).is_dir()
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_python_compiled_in_a_folder_goes_with_its_package(folder: str) -> None:
    """Otherwise the folder stays: dpkg removes none that has something in it."""
    removed = re.findall(r"find /opt/attune/lib -path '\*/(\S+)/\*'", FOLDERS[folder].read_text())
    assert folder in removed
