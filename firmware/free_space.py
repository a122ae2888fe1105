"""Free space on the card, and a film's share of it, held before the film begins.

A file of that size, `kit/room`, holds it and shrinks a little ahead of the film, which a margin
covers. So a film that may begin can be finished although the page and the logs write meanwhile. Its
end has a share of its own, held until there is nothing left to film: on a card that others have
filled, a film can still be closed and signed in it.
"""

import os
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path

_OVERHEAD = 1.3
"""A film on the card against its bit rate: sound, boxes, seals, filled-up chunks."""
_MARGIN = 64 << 20
"""Bytes that must stay free whatever is filmed: logs, manifests, the page's documents."""
_AHEAD = 8 << 20
"""Bytes that are given back before the film needs them."""
_END = 64 << 10
"""Bytes held to the last: a film's index, its last lines and their signature."""
_FULL = (ENOSPC, EDQUOT, EFBIG)


class FreeSpace:
    """Free space on the card that holds `path`. One thread, but for `taken`: the film's writer."""

    def __init__(self, path: Path, bit_rate: int) -> None:
        """`bit_rate` of a film, in bits a second. What an earlier end left held is free again."""
        self._path = path
        self._bytes_a_second = bit_rate / 8 * _OVERHEAD
        self._held = self._reserved = 0
        path.unlink(missing_ok=True)

    def seconds(self) -> float:
        """Seconds of film that there is space for. Raises OSError."""
        disk = os.statvfs(self._path.parent)
        return max(disk.f_bavail * disk.f_frsize + self._held - _MARGIN, 0) / self._bytes_a_second

    def reserve(self, seconds: float) -> bool:
        """Hold space for a film of `seconds` and for its end, in place of what was held. False if
        there is none.

        Blocks are set aside, not written: it takes milliseconds. Raises OSError for a card that
        refuses for another reason.
        """
        self.release()
        size = round(seconds * self._bytes_a_second)
        descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o640)
        try:
            # With the margin, so that it is there too; only the film's own share stays held.
            os.posix_fallocate(descriptor, 0, size + _END + _MARGIN)
            os.ftruncate(descriptor, size + _END)
        except OSError as error:
            self._path.unlink()
            if error.errno in _FULL:
                return False
            raise
        finally:
            os.close(descriptor)
        self._reserved, self._held = size, size + _END
        return True

    def taken(self, size: int) -> None:
        """The film has `size` bytes on the card by now. Raises OSError."""
        held = max(self._reserved - size - _AHEAD, 0) + _END
        # A card wears: not for every fragment.
        if self._held - held >= _AHEAD or held == _END < self._held:
            os.truncate(self._path, held)
            self._held = held

    def release(self) -> None:
        """Hold nothing any more."""
        self._path.unlink(missing_ok=True)
        self._held = self._reserved = 0
