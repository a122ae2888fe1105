"""A folder as a store: the service's disk, or an encrypted share of its office.

No library does this: the object must be on the disk before its name appears. obstore (0.12) links
first and never syncs, so that a power cut leaves an empty object under a name that may not be
written again.
"""

import contextlib
import errno
import io
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, BinaryIO

from appliance.errors import (
    KitError,
    NotAFile,
    NotLetIn,
    SendFailed,
    SendInterrupted,
    StoreMissing,
)
from appliance.stores.answers import full, too_large
from appliance.stores.endings import Ending
from appliance.stores.store import NAME, Entry, Put, checked_name, pieces


class FolderStore:
    """A folder that is there, on a disk or on a share.

    It is held open: if the share goes away, what follows fails instead of filling the empty folder
    underneath. No symbolic link inside is ever followed, because kits that we do not know may
    write there too.
    """

    def __init__(self, root: Path) -> None:
        self._path = root.absolute()
        with self._told():
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    @property
    def url(self) -> str:
        return self._path.as_uri()

    @property
    def ends(self) -> tuple[Ending, ...]:
        return ()

    def create(self, name: str, source: IO[bytes]) -> Put:
        *folders, last = checked_name(name).split("/")
        with self._told(), self._folders(folders, make=True) as chain:
            _clear(last, chain[-1])
            put = (
                Put.ALREADY_THERE
                if _is_there(last, chain[-1])
                else _write(last, chain[-1], source, self._root)
            )
            # Again even if nothing was made: the last try may have been cut just before this.
            for folder in reversed(chain):
                _sync_folder(folder)
        return put

    def open(self, name: str) -> BinaryIO | None:
        *folders, last = checked_name(name).split("/")
        with self._told(), contextlib.suppress(FileNotFoundError):
            with self._folders(folders) as chain:
                file = os.open(last, _READ, dir_fd=chain[-1])
            if not stat.S_ISREG(os.fstat(file).st_mode):
                os.close(file)
                raise NotAFile(
                    f"Under {name} the store holds something that is no file.",
                    "Ask the service to look at its folder.",
                )
            with contextlib.suppress(OSError):  # not every file system can forget
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            return io.BufferedReader(_Stored(file, self))
        return None

    def list(self, prefix: str) -> Iterator[Entry]:
        *folders, stem = prefix.split("/")
        with self._told(), contextlib.suppress(FileNotFoundError):
            with self._folders(folders) as chain:
                found = _entries(chain[-1], stem)
            for name, size in found:
                whole = "/".join([*folders, name])
                if size is None:
                    yield from self.list(f"{whole}/")
                else:
                    yield Entry(whole, size)

    def remove(self, name: str) -> None:
        *folders, last = checked_name(name).split("/")
        with self._told(), contextlib.suppress(FileNotFoundError), self._folders(folders) as chain:
            _destroy(last, chain[-1])
            _sync_folder(chain[-1])

    def purge(self, prefix: str) -> tuple[str, ...]:
        *folders, stem = prefix.split("/")
        removed: list[str] = []
        failed: OSError | None = None
        with self._told(), contextlib.suppress(FileNotFoundError), self._folders(folders) as chain:
            for name in sorted(os.listdir(chain[-1])):
                unfinished = name.startswith(f".{stem}") and name.endswith(_UNFINISHED)
                if not name.startswith(stem) and not unfinished:
                    continue
                whole = "/".join([*folders, name])
                inside: list[str] = []
                try:
                    if _is_folder(name, chain[-1]):
                        inside = [entry.name for entry in self.list(f"{whole}/")]
                    _destroy(name, chain[-1])
                except OSError as error:
                    # One that stays must not keep the others.
                    failed = error
                else:
                    removed += inside or [whole]
            _sync_folder(chain[-1])
            if failed is not None:
                raise failed
        return tuple(name for name in removed if not name.endswith(_UNFINISHED))

    def sweep(self, before: datetime) -> int:
        swept = 0
        with self._told():
            for _, _, files, folder in os.fwalk(".", dir_fd=self._root, follow_symlinks=False):
                for name in files:
                    if not _is_unfinished(name):
                        continue
                    with contextlib.suppress(FileNotFoundError):
                        made = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime
                        if made < before.timestamp():
                            os.unlink(name, dir_fd=folder)
                            swept += 1
        return swept

    def closed_to_others(self, prefix: str) -> Iterator[str]:
        """What lies under names that start so and cannot be read by everybody who may read the
        store's own folder, outermost first. Raises SendInterrupted, SendRefused."""
        like = os.fstat(self._root)
        folders = prefix.rstrip("/").split("/")
        names = ["/".join(folders[: depth + 1]) for depth in range(len(folders))]
        for name in (*names, *(entry.name for entry in self.list(prefix))):
            with self._told(), contextlib.suppress(FileNotFoundError, NotADirectoryError):
                *above, last = name.split("/")
                with self._folders(above) as chain:
                    found = os.stat(last, dir_fd=chain[-1], follow_symlinks=False)
                if not _as_open(found, like):
                    yield name

    def close(self) -> None:
        # So that a share can be unmounted between two runs.
        root, self._root = self._root, -1
        if root >= 0:
            os.close(root)

    @contextlib.contextmanager
    def _folders(self, names: Sequence[str], make: bool = False) -> Iterator[Sequence[int]]:
        """Open the root and the folders below it, one inside the other, outermost first."""
        chain = [self._root]
        try:
            for name in names:
                made = make and _make(name, chain[-1])
                chain.append(os.open(name, _READ | os.O_DIRECTORY, dir_fd=chain[-1]))
                if made:
                    _open_to_all_who_use_it(chain[-1], self._root)
            yield chain
        finally:
            for folder in chain[1:]:
                os.close(folder)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the file system says into what a person can do about it."""
        try:
            yield
        except KitError:
            raise
        except OSError as error:
            raise self.failure(error) from error

    def failure(self, error: OSError) -> SendFailed:
        """What an error of the file system means for sending."""
        if error.errno in (errno.ENOENT, errno.ESTALE) or not self._path.is_dir():
            return StoreMissing(
                f"The service's folder {self._path} is not there.",
                "Connect or mount it, then send again. It is never made anew: what looks like it "
                "would lie on this kit's own card.",
            )
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.EISDIR):
            return NotAFile(
                f"In the service's folder {self._path}, something lies where a folder or a file "
                "should be.",
                "Ask the service to look at it; nothing is ever sent through a link.",
            )
        if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
            return NotLetIn(
                f"The service's folder {self._path} cannot be written or read by this kit "
                f"({error.strerror}).",
                "Ask the service to let this kit write there, then send again.",
            )
        if error.errno == errno.EFBIG:
            return too_large(str(self._path))
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return full(str(self._path))
        return SendInterrupted(
            f"Sending to {self._path} was interrupted ({error.strerror}).",
            "Nothing is lost; what is missing goes with the next try.",
        )


class _Stored(io.FileIO):
    """An object that is being read. What the file system says becomes a SendFailed."""

    def __init__(self, file: int, store: FolderStore) -> None:
        super().__init__(file, "rb")
        self._store = store

    def readinto(self, buffer: bytearray | memoryview) -> int | None:  # type: ignore[override]
        try:
            return super().readinto(buffer)
        except OSError as error:
            raise self._store.failure(error) from error

    def readall(self) -> bytes:
        try:
            return super().readall()
        except OSError as error:
            raise self._store.failure(error) from error


# Without waiting: what looks like an object may be a pipe that nobody writes to.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_UNFINISHED = ".unfinished"
_ERASED_AT_ONCE = 1 << 20


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") and name.endswith(_UNFINISHED)


def _is_there(name: str, folder: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        os.stat(name, dir_fd=folder, follow_symlinks=False)
        return True
    return False


def _is_folder(name: str, folder: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    return False


def _clear(name: str, folder: int) -> None:
    """Remove what a killed try left of an object. If another kit is writing it at this very moment,
    that kit cannot name its file, and tries again."""
    for leftover in os.listdir(folder):
        if leftover.startswith(f".{name}.") and leftover.endswith(_UNFINISHED):
            _unlink(leftover, folder)


def _make(name: str, folder: int) -> bool:
    """Make a folder; False if it is there."""
    try:
        os.mkdir(name, 0o770, dir_fd=folder)
    except FileExistsError:
        return False
    return True


def _open_to_all_who_use_it(made: int, root: int) -> None:
    """Give what was made here the rights of the store's own folder, and a folder its owner too: the
    service and its kits come as different users. Where the file system knows no such thing, what
    mounted it decides."""
    like, mine = os.fstat(root), os.fstat(made)
    folder = stat.S_ISDIR(mine.st_mode)
    if folder:
        # Only root may, and who was given that right alone.
        with contextlib.suppress(OSError):
            os.fchown(made, like.st_uid, like.st_gid)
    with contextlib.suppress(OSError):
        os.fchmod(made, stat.S_IMODE(like.st_mode) & (0o7777 if folder else 0o666))


def _as_open(made: os.stat_result, like: os.stat_result) -> bool:
    """True if whoever may read the folder that it should be like may read what was made in it."""
    needed = 0o5 if stat.S_ISDIR(made.st_mode) else 0o4
    in_group = made.st_mode >> 3 if made.st_gid == like.st_gid else made.st_mode
    owner = made.st_mode >> 6 if made.st_uid == like.st_uid else in_group
    readers = (
        (like.st_mode >> 6, owner),
        (like.st_mode >> 3, in_group),
        (like.st_mode, made.st_mode),
    )
    return all(mode & needed == needed for may, mode in readers if may & 0o5 == 0o5)


def _write(name: str, folder: int, source: IO[bytes], root: int) -> Put:
    """Write under another name, sync, and only then give it its own, if nobody has it by now."""
    temporary = f".{name}.{secrets.token_hex(4)}{_UNFINISHED}"
    try:
        descriptor = os.open(temporary, _WRITE | os.O_CREAT | os.O_EXCL, 0o660, dir_fd=folder)
        with open(descriptor, "wb") as file:
            file.writelines(pieces(source))
            file.flush()
            _open_to_all_who_use_it(file.fileno(), root)
            os.fsync(file.fileno())
        return _name(temporary, name, folder)
    finally:
        _unlink(temporary, folder)


def _name(temporary: str, name: str, folder: int) -> Put:
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except FileExistsError:
        return Put.ALREADY_THERE
    except FileNotFoundError as error:
        raise SendInterrupted(
            f"Another kit was sending {name} at the same moment.", "It goes with the next try."
        ) from error
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        # No links on this file system (a FAT stick, some shares). Between looking and renaming
        # another kit could come first; the read-back then shows it.
        if _is_there(name, folder):
            return Put.ALREADY_THERE
        os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    return Put.CREATED


def _entries(folder: int, stem: str) -> list[tuple[str, int | None]]:
    """Name and size of what is in a folder, no size for a folder; nothing hidden or unfinished."""
    found: list[tuple[str, int | None]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(stem) or not NAME.fullmatch(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                found.append((entry.name, None))
            elif entry.is_file(follow_symlinks=False):
                found.append((entry.name, entry.stat(follow_symlinks=False).st_size))
    # A folder's objects sort by their whole names, so the folder sorts as if its slash were there.
    return sorted(found, key=lambda item: item[0] + "/" if item[1] is None else item[0])


def _destroy(name: str, folder: int) -> None:
    """Overwrite a file, sync, unlink; a folder with all that is in it. Anything else is only
    unlinked."""
    with contextlib.suppress(FileNotFoundError):
        if _is_folder(name, folder):
            inner = os.open(name, _READ | os.O_DIRECTORY, dir_fd=folder)
            try:
                for inside in os.listdir(inner):
                    _destroy(inside, inner)
            finally:
                os.close(inner)
            os.rmdir(name, dir_fd=folder)
            return
        if stat.S_ISREG(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            with open(os.open(name, _WRITE, dir_fd=folder), "wb", buffering=0) as file:
                found = os.fstat(file.fileno())
                # A kit may have made one that is endless and takes up nothing.
                left = min(found.st_size, max(found.st_blocks * 512, _ERASED_AT_ONCE))
                while left > 0:
                    left -= file.write(secrets.token_bytes(min(left, _ERASED_AT_ONCE)))
                os.fsync(file.fileno())
        os.unlink(name, dir_fd=folder)


def _unlink(name: str, folder: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _sync_folder(folder: int) -> None:
    try:
        os.fsync(folder)
    except OSError as error:
        # Some shares cannot sync a folder; they write names through.
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
            raise
