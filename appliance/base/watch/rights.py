"""Whether kits can read what base makes in a folder, where they come as another user."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from appliance.base.status import Finding
from appliance.stores.folder import FolderStore

_MADE_BY_BASE = ("service/", "tombstones/")
_NAMED = 3


def unreadable(url: str) -> Iterator[Finding]:
    """What base made in the folder at `url` and the folder's own user cannot read; nothing for any
    other engine. Raises SendInterrupted, SendRefused."""
    address = urlsplit(url)
    if address.scheme not in ("", "file"):
        return
    folder = Path(unquote(address.path) if address.scheme else url)
    with contextlib.closing(FolderStore(folder)) as store:
        found = [name for place in _MADE_BY_BASE for name in store.closed_to_others(place)]
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        yield Finding(
            f"Kits that come to {folder} as another user cannot read what base made there: "
            f"{', '.join(found[:_NAMED])}{more}.",
            None,
            f"As root: chown -R --reference={folder} {folder}/*, then chmod -R a+rX {folder}/*",
        )
