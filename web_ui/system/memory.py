"""What pictures and indexes took, given back: megabytes each, on a computer of a few hundred.

The allocator of glibc keeps what is freed, a heap a thread, unless it is told otherwise. Elsewhere
the numbers below are unknown, and nothing happens.
"""

import contextlib
import ctypes

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""As malloc.h of glibc has them."""
_LARGE = 1 << 17
"""Bytes from which on a piece of memory stands by itself, and goes when it is freed: pictures, and
the pieces in which a film is sent."""
_HEAPS = 1
"""Python's own lock lets hardly two threads ask for memory at once."""


def settle() -> None:
    """For the start of the process, before there are other threads."""
    with contextlib.suppress(OSError, AttributeError):
        _allocator().mallopt(_M_MMAP_THRESHOLD, _LARGE)
        _allocator().mallopt(_M_ARENA_MAX, _HEAPS)


def give_back() -> None:
    """Let the system have what is free. For the end of a piece of work."""
    with contextlib.suppress(OSError, AttributeError):
        _allocator().malloc_trim(0)


def _allocator() -> ctypes.CDLL:
    return ctypes.CDLL("libc.so.6")
