"""What pictures and indexes take, given back: megabytes each, on a computer of a few hundred.

PyAV leaves decoded pictures in cycles, which Python collects only after thousands of other things;
and the allocator of glibc keeps what is freed, a heap a thread, unless it is told otherwise.
Elsewhere the numbers below are unknown, and nothing happens.
"""

import contextlib
import ctypes
import gc

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""As malloc.h of glibc has them."""
_LARGE = 1 << 19
"""Bytes from which on a piece of memory stands by itself: twice what a film is sent in."""
_HEAPS = 2


def settle() -> None:
    """For the start of the process, when everything that stays is there."""
    with contextlib.suppress(OSError, AttributeError):
        _allocator().mallopt(_M_MMAP_THRESHOLD, _LARGE)
        _allocator().mallopt(_M_ARENA_MAX, _HEAPS)
    # What stays need not be looked through each time.
    gc.freeze()


def drop_pictures() -> None:
    """Free pictures that are not used any more. Takes milliseconds."""
    gc.collect()


def give_back() -> None:
    """`drop_pictures`, and let the system have what is free. For the end of a piece of work."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        _allocator().malloc_trim(0)


def _allocator() -> ctypes.CDLL:
    return ctypes.CDLL("libc.so.6")
