"""What numbered files are called: each home's own names, and names beside others'."""

import pytest

from appliance.errors import BadFile
from appliance.protocol.names import Numbered, beside, is_beside, numbered, numbered_name

HOME, OTHER, ITEM = "a" * 16, "b" * 16, "c" * 16
SHA = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("file", "taken_apart"),
    [
        ("goals-0001.age", ("goals", 1, "", "")),
        (f"goals-0012-{HOME}.age", ("goals", 12, HOME, "")),
        (f"clip-{ITEM}-0001.age", (f"clip-{ITEM}", 1, "", "")),
        (f"clip-{ITEM}-0003-{HOME}.age", (f"clip-{ITEM}", 3, HOME, "")),
        (f"goals-0001-{HOME}-{SHA[:16]}.age", ("goals", 1, HOME, SHA[:16])),
        (f"clip-{ITEM}-0001-{HOME}-{'a' * 16}.age", (f"clip-{ITEM}", 1, HOME, "a" * 16)),
    ],
)
def test_a_name_says_what_it_is_which_number_and_by_whose_home(
    file: str, taken_apart: tuple[str, int, str, str]
) -> None:
    assert numbered(file) == Numbered(file, *taken_apart)


@pytest.mark.parametrize(
    "file",
    [
        *(
            "",
            "goals.age",
            "goals-1.age",
            ".goals-0001.age",
            "goals-0001.age.new",
            "Goals-0001.age",
        ),
        *("../goals-0001.age", "goals-0001.age\n", f"goals-0001-{HOME}x.age"),
        f"goals-0001-{HOME}-zz.age",
    ],
)
def test_anything_else_is_no_numbered_file(file: str) -> None:
    assert numbered(file) is None


def test_what_is_written_is_read() -> None:
    for home in ("", HOME):
        name = numbered_name(f"clip-{ITEM}", 7, home)
        assert numbered(name) == Numbered(name, f"clip-{ITEM}", 7, home)


def test_no_home_makes_a_path_of_a_name() -> None:
    with pytest.raises(BadFile):
        numbered_name("goals", 1, "../../x")
    with pytest.raises(BadFile):
        beside("cases/x/goals-0001.age", "../x", SHA)


@pytest.mark.parametrize(
    ("name", "there"),
    [
        (f"cases/{ITEM}/identity-0002.age", f"cases/{ITEM}/identity-0002-{HOME}-{SHA[:16]}.age"),
        (f"c/documents/goals-0002-{HOME}.age", f"c/documents/goals-0002-{HOME}-{SHA[:16]}.age"),
        (f"c/derived/{ITEM}/0003.mp4.age", f"c/derived/{ITEM}/0003-{HOME}-{SHA[:16]}.mp4.age"),
        (f"c/derived/{ITEM}/0003.mended", f"c/derived/{ITEM}/0003-{HOME}-{SHA[:16]}.mended"),
    ],
)
def test_a_name_beside_another_has_the_home_and_the_content_in_it(name: str, there: str) -> None:
    assert beside(name, HOME, SHA) == there
    assert is_beside(there, name)
    assert not is_beside(name, name) and not is_beside(there, there)
    assert not is_beside(there, name.replace("000", "001"))
    assert not is_beside(there.replace(HOME, "", 1), name)


def test_what_goes_beside_a_numbered_file_is_a_version_of_the_same() -> None:
    there = numbered(beside(f"goals-0002-{HOME}.age", HOME, SHA))
    assert there and (there.stem, there.number, there.home) == ("goals", 2, HOME)
    assert there.digest == SHA[:16]
