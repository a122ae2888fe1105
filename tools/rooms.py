"""Draw the rooms and who imports whom, from the imports themselves, into docs/architecture.md.

    python tools/rooms.py

An arrow goes from a room to one that it imports. Left out is what another way says already: a room
two floors down is drawn below the one between. What stands alone is drawn with its package.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.project.test_layers import BEHIND_THE_WALL, ROOMS, imports, room_of  # noqa: E402

PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- drawn by tools/rooms.py -->\n", "<!-- end -->\n"
PROGRAMS = {"firmware": "the recorder", "appliance.sync": "the sender", "web_ui": "the page",
            "appliance.base": "for the service"}  # fmt: skip


def drawn(room: str) -> str:
    """The room as the picture has it: the page is one, and so is what starts the command."""
    if room.startswith("web_ui"):
        return "web_ui"
    return {"appliance.__main__": "appliance.commands"}.get(room, room)


def arrows() -> dict[str, set[str]]:
    """Each room that is drawn, and those that its modules import."""
    found: dict[str, set[str]] = {drawn(room): set() for room in ROOMS}
    for module, names in imports().items():
        here = room_of(module)
        for there in {room_of(name) for name in names}:
            if here and there and drawn(here) != drawn(there):
                found[drawn(here)].add(drawn(there))
    return found


def below(room: str, among: Mapping[str, set[str]]) -> set[str]:
    """All rooms that this one stands on."""
    return among[room].union(*(below(other, among) for other in among[room]))


def without_detours(among: Mapping[str, set[str]]) -> Iterator[tuple[str, str]]:
    """The arrows that no other way from the same room leads past."""
    for room, others in among.items():
        for other in sorted(others):
            if not any(other in below(between, among) for between in others - {other}):
                yield room, other


def picture() -> str:
    """The picture as Mermaid draws it, ready for the page."""
    among = arrows()
    lines = ["```mermaid", "flowchart TD"]
    for room in among:
        name, what = room.removeprefix("appliance."), PROGRAMS.get(room)
        box = f'(["{name}: {what}"])' if what else f'["{name}"]'
        lines.append(f"    {_id(room)}{box}")
    lines += [f"    {_id(room)} --> {_id(other)}" for room, other in without_detours(among)]
    walled = [_id(room) for room in among if room in BEHIND_THE_WALL]
    lines += ["    classDef opens stroke-width:3px", f"    class {','.join(walled)} opens", "```"]
    return "\n".join(lines) + "\n"


def page() -> str:
    """docs/architecture.md with the picture as it is now."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return f"{before}{BEGIN}{picture()}{END}{rest.partition(END)[2]}"


def _id(room: str) -> str:
    return room.replace(".", "_")


if __name__ == "__main__":
    PAGE.write_text(page())
