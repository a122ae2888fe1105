"""What the page's process gives back."""

import weakref

from web_ui import memory


class _Cycle:
    def __init__(self) -> None:
        self.itself = self


def test_what_refers_to_itself_is_dropped_at_once() -> None:
    for give in (memory.drop_pictures, memory.give_back):
        left = weakref.ref(_Cycle())
        assert left() is not None
        give()
        assert left() is None
