"""Any machine with OpenSSH as a store, through asyncssh.

The host key is pinned; no agent, no settings and no known hosts of this machine count. An object is
written under another name, synced, and linked to its own, which the server refuses where something
has it already; it is read-only from its first byte, so that an account that may neither rename,
remove nor change modes can alter nothing that lies there (docs/stores.md).
"""

import asyncio
import contextlib
import io
import secrets
import stat
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import IO, BinaryIO, TypeVar
from urllib.parse import SplitResult, unquote

import asyncssh

from appliance.errors import (
    BadFile,
    BadInput,
    NotAFile,
    NotLetIn,
    SendFailed,
    SendRefused,
    StoreMissing,
)
from appliance.records.files import lines
from appliance.records.reading import ReadAt
from appliance.stores.access import Access
from appliance.stores.answers import (
    full,
    interrupted,
    not_let_in,
    not_reached,
    not_supported,
    not_the_store,
)
from appliance.stores.endings import Ending
from appliance.stores.store import NAME, Entry, Put, checked_name, in_turn, pieces

_UNFINISHED = ".unfinished"
_READ_AHEAD = 1 << 20
_FULL = 1 << 20
"""Bytes: with less left, a write that failed is told as a full disk."""
_ERASED_AT_ONCE = 1 << 20
_ERASED = 64 << 20
"""Bytes that are overwritten of a file: a kit may have made one that is endless and takes up
nothing. What was sealed opens no more without its beginning."""
_OLD = timedelta(days=1)
"""A try that began so long ago is not under way any more."""
_T = TypeVar("_T")


def open_sftp(address: SplitResult, access: Access, patience: float) -> "SftpStore":
    """The store at sftp://user@host:port/folder, which must be there."""
    if not address.hostname or not address.username or address.password or address.query:
        raise BadInput(
            "The address of the store is no place to send to.",
            "Write sftp://USER@HOST/FOLDER; the key is in the access file.",
        )
    return SftpStore(address, access, patience)


class SftpStore:
    """A folder at an SFTP server; one connection, which several threads may use."""

    def __init__(self, address: SplitResult, access: Access, patience: float) -> None:
        self._url = address.geturl()
        self._host = address.hostname or ""
        self._root = unquote(address.path).rstrip("/")
        self._patience = patience
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sftp", daemon=True)
        self._thread.start()
        self._connection: asyncssh.SSHClientConnection | None = None
        self._swept: set[str] = set()
        self._may_sweep = True
        try:
            self._client = self.run(self._connect(address, access))
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        return self._url

    @property
    def ends(self) -> tuple[Ending, ...]:
        return ()  # A key of OpenSSH's has no end.

    def create(self, name: str, source: IO[bytes]) -> Put:
        checked_name(name)
        folder, _, last = name.rpartition("/")
        if self.run(self._client.exists(self._path(name))):
            return Put.ALREADY_THERE
        self.run(self._client.makedirs(self._path(folder), exist_ok=True))
        self._sweep_own(folder)
        temporary = self._path(f"{folder}/.{last}.{secrets.token_hex(4)}{_UNFINISHED}")
        try:
            self._write(temporary, source)
            return self.run(self._name(temporary, self._path(name)))
        finally:
            # Where this account may not remove, the service's own program does (`sweep`).
            with contextlib.suppress(SendFailed):
                self.run(self._client.remove(temporary))

    def open(self, name: str) -> BinaryIO | None:
        path = self._path(checked_name(name))
        try:
            found = self.run(self._client.lstat(path))
            if found.type != asyncssh.FILEXFER_TYPE_REGULAR:
                raise NotAFile(
                    f"Under {name} the store holds something that is no file.",
                    "Ask the service to look at its folder.",
                )
            file = self.run(self._client.open(path, "rb"))
        except _NotThere:
            return None
        return io.BufferedReader(_Object(self, file, found.size or 0), _READ_AHEAD)

    def list(self, prefix: str) -> Iterator[Entry]:
        folder, _, stem = prefix.rpartition("/")
        try:
            found = self.run(self._listed(folder, stem))
        except _NotThere:
            return
        for name, size in found:
            if size is None:
                yield from self.list(f"{name}/")
            else:
                yield Entry(name, size)

    def remove(self, name: str) -> None:
        with contextlib.suppress(_NotThere):
            self.run(self._client.remove(self._path(checked_name(name))))

    def purge(self, prefix: str) -> tuple[str, ...]:
        folder, _, stem = prefix.rpartition("/")
        removed: list[str] = []

        def destroy(name: str) -> None:
            whole = f"{folder}/{name}" if folder else name
            inside = [entry.name for entry in self.list(f"{whole}/")] if whole in folders else []
            for one in (*inside, whole):
                self._destroy(self._path(one))
            if not name.startswith("."):
                removed.extend(inside or [whole])

        try:
            names = sorted(self.run(self._client.listdir(self._path(folder))))
            listed = self.run(self._listed(folder, stem))
            folders = {name for name, size in listed if size is None}
        except _NotThere:
            return ()
        in_turn(destroy, [name for name in names if _goes_with(name, stem)])
        return tuple(removed)

    def sweep(self, before: datetime) -> int:
        return self._sweep("", before, deep=True)

    def _sweep_own(self, folder: str) -> None:
        """What earlier tries in a folder have left, once for each connection, where this account
        may remove at all."""
        if self._may_sweep and folder not in self._swept:
            self._swept.add(folder)
            try:
                self._sweep(folder, datetime.now(UTC) - _OLD, deep=False)
            except NotLetIn:
                self._may_sweep = False

    def _sweep(self, folder: str, before: datetime, deep: bool) -> int:
        swept = 0
        try:
            folders, files = self.run(self._unfinished(folder, before))
        except _NotThere:
            return 0
        for path in files:
            with contextlib.suppress(_NotThere):
                self.run(self._client.remove(path))
                swept += 1
        for name in folders if deep else ():
            swept += self._sweep(f"{folder}/{name}" if folder else name, before, deep)
        return swept

    async def _unfinished(
        self, folder: str, before: datetime
    ) -> tuple[Sequence[str], Sequence[str]]:
        """The folders in a folder, and the paths of what was left unfinished there before then."""
        folders: Sequence[str] = ()
        files: Sequence[str] = ()
        async for entry in self._client.scandir(self._path(folder)):
            name, mode = str(entry.filename), entry.attrs.permissions or 0
            if stat.S_ISDIR(mode) and NAME.fullmatch(name):
                folders = (*folders, name)
                continue
            unfinished = stat.S_ISREG(mode) and name.startswith(".") and name.endswith(_UNFINISHED)
            if unfinished and (entry.attrs.mtime or 0) < before.timestamp():
                files = (*files, f"{self._path(folder)}/{name}")
        return folders, files

    def close(self) -> None:
        if self._loop.is_closed():
            return
        with contextlib.suppress(SendFailed):
            self.run(self._leave())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _leave(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            await self._connection.wait_closed()
        # So that the loop can let go of what it holds of a connection that ended by itself.
        await asyncio.sleep(0)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root or "/"

    async def _connect(self, address: SplitResult, access: Access) -> asyncssh.SFTPClient:
        try:
            hosts = [asyncssh.import_public_key(line) for line in lines(access.pin) if line]
            key = asyncssh.import_private_key(access.private_key)
        except asyncssh.KeyImportError as error:
            raise BadFile(
                "A key in the access file is none that OpenSSH would know.",
                "`pin` is the server's host key (ssh-ed25519 AAAA...), `private_key` an OpenSSH "
                "private key without a passphrase.",
            ) from error
        self._connection = await asyncssh.connect(
            self._host,
            address.port or 22,
            username=unquote(address.username or ""),
            known_hosts=(hosts, [], []),
            client_keys=[key],
            agent_path=None,
            config=None,
            preferred_auth="publickey",
            compression_algs=None,
            connect_timeout=self._patience,
            login_timeout=self._patience,
            keepalive_interval=self._patience / 4,
            keepalive_count_max=3,
        )
        client = await self._connection.start_sftp_client()
        if not await client.isdir(self._path("")):
            raise StoreMissing(
                f"The service's folder {self._path('')} is not at {self._host}.",
                "Ask your service for the right address of its store.",
            )
        return client

    def _write(self, path: str, source: IO[bytes]) -> None:
        file = self.run(
            self._client.open(
                path,
                asyncssh.FXF_WRITE | asyncssh.FXF_CREAT | asyncssh.FXF_EXCL,
                asyncssh.SFTPAttrs(permissions=0o444),
                encoding=None,
            )
        )
        try:
            for piece in pieces(source):
                self.run(self._told(file.write(piece)))
            self.run(self._told(file.fsync()))
        finally:
            self.run(file.close())

    async def _told(self, writing: Awaitable[_T]) -> _T:
        """What is written. OpenSSH has no word for a full disk but "Failure": so it is asked."""
        try:
            return await writing
        except asyncssh.SFTPFailure as error:
            left = _FULL
            with contextlib.suppress(asyncssh.Error):
                found = await self._client.statvfs(self._path(""))
                left = found.bavail * found.frsize
            if left < _FULL:
                raise asyncssh.SFTPNoSpaceOnFilesystem("") from error
            raise

    async def _name(self, temporary: str, path: str) -> Put:
        try:
            await self._client.link(temporary, path)
        except (asyncssh.SFTPOpUnsupported, asyncssh.SFTPFailure) as error:
            if await self._client.exists(path):
                return Put.ALREADY_THERE
            if isinstance(error, asyncssh.SFTPFailure):
                raise
            # A server without that extension: its rename does not write over anything either.
            await self._client.rename(temporary, path)
        except asyncssh.SFTPFileAlreadyExists:
            return Put.ALREADY_THERE
        return Put.CREATED

    async def _listed(self, folder: str, stem: str) -> Sequence[tuple[str, int | None]]:
        """Name and size of what is in a folder, no size for a folder, in the order of names."""
        found: list[tuple[str, int | None]] = []
        entries: AsyncIterator[asyncssh.SFTPName] = self._client.scandir(self._path(folder))
        async for entry in entries:
            name = str(entry.filename)
            if not name.startswith(stem) or not NAME.fullmatch(name):
                continue
            whole = f"{folder}/{name}" if folder else name
            if stat.S_ISDIR(entry.attrs.permissions or 0):
                found.append((whole, None))
            elif stat.S_ISREG(entry.attrs.permissions or 0):
                found.append((whole, entry.attrs.size or 0))
        return sorted(found, key=lambda item: item[0] + "/" if item[1] is None else item[0])

    def _destroy(self, path: str) -> None:
        """Overwrite a file, sync, remove."""
        with contextlib.suppress(_NotThere):
            found = self.run(self._client.lstat(path))
            if found.type == asyncssh.FILEXFER_TYPE_DIRECTORY:
                self.run(self._client.rmtree(path))
                return
            self.run(self._client.chmod(path, 0o600))
            file = self.run(self._client.open(path, "r+b"))
            try:
                left = min(found.size or 0, _ERASED)
                for start in range(0, left, _ERASED_AT_ONCE):
                    piece = secrets.token_bytes(min(left - start, _ERASED_AT_ONCE))
                    self.run(self._told(file.write(piece, start)))
                self.run(self._told(file.fsync()))
            finally:
                self.run(file.close())
            self.run(self._client.remove(path))

    def run(self, work: Awaitable[_T]) -> _T:
        """Do something on the connection, and turn what goes wrong into what to do about it."""

        async def in_time() -> _T:
            return await asyncio.wait_for(work, self._patience)

        future = asyncio.run_coroutine_threadsafe(in_time(), self._loop)
        try:
            return future.result()
        except SendFailed:
            raise
        except (asyncssh.Error, OSError, TimeoutError) as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> SendFailed:
        if isinstance(error, asyncssh.SFTPNoSuchFile | asyncssh.SFTPNoSuchPath):
            return _NotThere("That is not at the store.")
        if isinstance(error, asyncssh.HostKeyNotVerifiable):
            return not_the_store(self._host, "key")
        if isinstance(error, asyncssh.PermissionDenied | asyncssh.SFTPPermissionDenied):
            return not_let_in(self._host)
        if isinstance(error, asyncssh.SFTPNoSpaceOnFilesystem | asyncssh.SFTPQuotaExceeded):
            return full(self._host)
        if isinstance(error, asyncssh.SFTPOpUnsupported):
            return not_supported(self._host)
        if isinstance(error, ConnectionRefusedError) or (
            isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError)
        ):
            return not_reached(self._host)
        return interrupted(self._host)


def _goes_with(name: str, stem: str) -> bool:
    """True if this is purged with names that start so, or is a try at one that was cut short."""
    if name.endswith(_UNFINISHED):
        return name.startswith(f".{stem}")
    return name.startswith(stem) and NAME.fullmatch(name) is not None


class _NotThere(SendRefused):
    """An answer, where somebody asked for it."""


class _Object(ReadAt):
    """An object that is being read."""

    def __init__(self, store: SftpStore, file: asyncssh.SFTPClientFile, size: int) -> None:
        self._store, self._file, self.size = store, file, size

    def read_at(self, offset: int, length: int, /) -> bytes:
        data = self._store.run(self._file.read(length, offset))
        assert isinstance(data, bytes)
        return data

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(SendFailed, RuntimeError):  # the store may be closed by now
                self._store.run(self._file.close())
        super().close()
