"""Files that can be read from anywhere."""

import io
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class Readable(Protocol):
    """What can be read from anywhere."""

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, length: int, /) -> bytes:
        """Up to `length` bytes from `offset`, fewer only at the end."""


class ReadAt(io.RawIOBase):
    """A seekable, read-only file, made of its `size` and of `read_at`."""

    size: int
    _position = 0

    def read_at(self, offset: int, length: int, /) -> bytes:
        """Up to `length` bytes from `offset`; none only at the end."""
        raise NotImplementedError

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return self.readall()
        data = self.read_at(self._position, size)
        self._position += len(data)
        return data

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        if base + offset < 0:
            raise ValueError("There is nothing before the start of a file.")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True
