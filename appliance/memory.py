"""Give memory back to the system after pictures and indexes of megabytes.

glibc's allocator keeps what is freed, in a heap for each thread, unless it is told otherwise. With
another C library nothing happens.
"""

import contextlib
import ctypes

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
"""As malloc.h of glibc has them."""


def settle(large: int) -> None:
    """Call at the start of the process, before there are other threads: blocks of more than `large`
    bytes are given back as soon as they are freed, and all threads share one heap."""
    with contextlib.suppress(OSError, AttributeError):
        _allocator().mallopt(_M_MMAP_THRESHOLD, large)
        # Python's own lock leaves little use for more.
        _allocator().mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Give free memory back. Call at the end of a piece of work."""
    with contextlib.suppress(OSError, AttributeError):
        _allocator().malloc_trim(0)


def _allocator() -> ctypes.CDLL:
    return ctypes.CDLL("libc.so.6")
