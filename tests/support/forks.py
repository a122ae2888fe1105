"""A case in another home, as it was when its card was copied; what is written there comes here."""

import shutil
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from appliance.records.files import CaseFolder
from appliance.vault.cases import OpenCase

OTHER = "b" * 16
"""The other home's name."""


@dataclass
class There:
    """The same case on another kit."""

    case: OpenCase
    documents: Path

    def arrives(self) -> None:
        """What was written there comes here."""
        for path in self.case.directory.documents.iterdir():
            here = self.documents / path.name
            if not here.exists():
                shutil.copy(path, here)


def copied(case: OpenCase, folder: Path, at: datetime) -> There:
    """What the other kit has is in `folder`; there it is `at` this time."""
    shutil.copytree(case.directory, folder)
    there = replace(case, directory=CaseFolder(folder), home=OTHER, now=lambda: at, _known={})
    return There(there, case.directory.documents)
