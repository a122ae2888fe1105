"""Chance that a seed decides, and processes that die in the midst of what they do."""

import contextlib
import itertools
import os
import random
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

_DURABLE = (
    "fsync", "fdatasync", "replace", "rename", "link", "unlink", "rmdir", "mkdir", "truncate",
)  # fmt: skip
"""What changes a disk for good, or names on it."""


@contextlib.contextmanager
def chance_of(seed: str) -> Iterator[None]:
    """What this machine gives by chance comes from `seed`: names of cases and orders, what is
    looked at again. For a process that is made for one sequence."""
    inside = vars(random)
    before = inside["_urandom"]
    inside["_urandom"] = random.Random(seed).randbytes
    try:
        yield
    finally:
        inside["_urandom"] = before


def in_a_child(act: Callable[[], object], dies_at: int = 0) -> str:
    """Do it in a process of its own, which is killed before its `dies_at`-th durable call, if it
    comes to that. Returns what it raised, '' if nothing or if it was killed."""
    ours, theirs = os.pipe()
    with warnings.catch_warnings():
        # Whoever reads what a test prints may be a thread; the child never comes back to it.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        _be_the_child(act, dies_at, theirs)
    os.close(theirs)
    with open(ours, "rb") as told:
        words = told.read().decode()
    _pid, status = os.waitpid(child, 0)
    ended = os.waitstatus_to_exitcode(status)
    if words or ended == 0 or (dies_at and ended == -signal.SIGKILL):
        return words
    return f"The child ended with {ended}."


def _be_the_child(act: Callable[[], object], dies_at: int, told: int) -> None:
    try:
        if dies_at:
            _die_at(dies_at)
        act()
        os._exit(0)
    except BaseException:
        os.write(told, traceback.format_exc()[-32_000:].encode())
    finally:
        os._exit(1)


def _die_at(number: int) -> None:
    counted = itertools.count(1)

    def deadly(call: Callable[..., Any]) -> Callable[..., Any]:
        def called(*words: Any, **named: Any) -> Any:
            if next(counted) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*words, **named)

        return called

    for name in _DURABLE:
        vars(os)[name] = deadly(vars(os)[name])
