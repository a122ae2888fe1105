"""A key on paper: any two of three shares give it back, and a wrong word is told."""

import itertools
import random
from pathlib import Path

import pytest
from shamir_mnemonic.wordlist import WORDLIST

from appliance.age.identities import generate_identity
from appliance.commands.main import run
from appliance.vault.escrow import WrongShare, join, split
from appliance.vault.keys import HalfKeys, read_keys

IDENTITY = generate_identity()
SHARES = split(IDENTITY)


def typed(*numbers: int) -> list[str]:
    return [" ".join(SHARES[number]) for number in numbers]


@pytest.mark.parametrize("x25519", [False, True])
def test_any_two_of_the_three_shares_give_the_key_back_as_what_it_was(x25519: bool) -> None:
    identity = generate_identity(x25519)
    shares = [" ".join(words) for words in split(identity)]
    for two in itertools.permutations(shares, 2):
        assert join(two).secret_text() == identity.secret_text()
    assert join(shares).secret_text() == identity.secret_text()


def test_one_share_gives_nothing() -> None:
    with pytest.raises(WrongShare, match="One share says nothing"):
        join(typed(0))
    with pytest.raises(WrongShare, match="Share 2 was given twice"):
        join(typed(1, 1))


def test_a_word_that_is_none_is_told_with_its_share_and_the_word_that_it_may_be() -> None:
    words = [*SHARES[1]]
    right, words[6] = words[6], words[6] + "x"
    with pytest.raises(WrongShare) as told:
        join([*typed(0), " ".join(words)])
    assert f"Share 2: word 7, '{right}x', is none of the list." == told.value.sentence
    assert right in told.value.hint


def test_wherever_one_word_is_another_it_is_told_which() -> None:
    dice = random.Random(7)
    for place, right in enumerate(SHARES[2]):
        words = [*SHARES[2]]
        words[place] = dice.choice([word for word in WORDLIST if word != right])
        with pytest.raises(WrongShare) as told:
            join([*typed(0), " ".join(words)])
        assert told.value.sentence.startswith(
            f"Share 2: word {place + 1}, '{words[place]}', is not"
        )
        assert f"'{right}'" in told.value.hint


def test_words_that_were_swapped_or_left_out_are_told_with_their_share() -> None:
    words = [*SHARES[0]]
    words[3], words[9] = words[9], words[3]
    for wrong in (words, SHARES[0][1:], [*SHARES[0], "academic"], ["academic"], []):
        with pytest.raises(WrongShare, match="Share 2"):
            join([*typed(1), " ".join(wrong)])


def test_shares_of_two_keys_are_told_apart() -> None:
    other = split(generate_identity())
    with pytest.raises(WrongShare, match="Share 2 belongs to another key"):
        join([*typed(0), " ".join(other[1])])


# --- The commands ---------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> Path:
    assert run(["keygen", "--role", "opening", "-o", str(tmp_path / "escrow.key")]) == 0
    return tmp_path / "escrow.key"


def test_what_was_printed_gives_the_key_file_back(key: Path, tmp_path: Path) -> None:
    sheets = tmp_path / "sheets"
    assert run(["split", str(key), "-o", str(sheets)]) == 0
    paths = sorted(sheets.iterdir())
    assert [path.name for path in paths] == ["share-1.txt", "share-2.txt", "share-3.txt"]
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    again = tmp_path / "again.key"
    assert run(["join", str(paths[2]), str(paths[0]), "-o", str(again)]) == 0
    assert again.read_bytes() == key.read_bytes()
    assert Path(f"{again}.pub").read_bytes() == Path(f"{key}.pub").read_bytes()
    assert run(["join", str(paths[2]), str(paths[0]), "-o", str(again)]) == 1


def test_what_also_signs_is_not_put_on_paper(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for role in ("service", "signing", "root"):
        key = tmp_path / f"{role}.key"
        run(["keygen", "--role", role, "-o", str(key)])
        assert run(["split", str(key), "-o", str(tmp_path / "sheets")]) == 1
        assert "not a key that only opens" in capsys.readouterr().err
    assert not (tmp_path / "sheets").exists()


def test_an_opening_key_is_one_that_age_reads(key: Path) -> None:
    keys = read_keys(key.read_bytes(), lambda: "")
    assert isinstance(keys, HalfKeys) and keys.identity is not None
    assert key.read_text().splitlines()[-1] == keys.identity.secret_text()
