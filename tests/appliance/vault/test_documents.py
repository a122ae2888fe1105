"""A document is what its file is called, and nothing else: read in the form of today and before."""

from datetime import UTC, datetime

import pytest

from appliance.age.sealing import seal
from appliance.errors import BadFile, BadSignature, NoMatch
from appliance.protocol.names import Numbered, numbered
from appliance.records.files import from_json
from appliance.vault.cases import Goal, Goals
from appliance.vault.documents import Heading, digest_of, open_document, text_of
from appliance.vault.keys import PrivateKeys
from appliance.vault.versions import Replaced

KEYS = PrivateKeys.generate("practitioner")
CASE, HOME, OTHER, DIGEST = "c" * 16, "a" * 16, "b" * 16, "0" * 16
GOALS = Goals(goals=(Goal(id="g" * 16, text="more turns together"),))
BEFORE = f'{{"attune":"document/v1","case":"{CASE}","name":"goals","number":1}}'


def heading(home: str = HOME, number: int = 2) -> Heading:
    after = (Replaced("goals-0001.age", "0" * 64),)
    return Heading(
        case=CASE, name="goals", number=number, home=home, after=after, at=datetime.now(UTC)
    )


def sealed(text: str, keys: PrivateKeys = KEYS) -> bytes:
    return seal(keys.signer.sign(text).encode(), [KEYS.identity.recipient])


def named(file: str) -> Numbered:
    found = numbered(file)
    assert found is not None
    return found


def opened(data: bytes, file: str, case: str = CASE) -> Goals:
    document = open_document(data, [KEYS.identity], [KEYS.signer.verifier], case, named(file))
    return from_json(document.body, Goals)


def test_a_document_of_today_says_which_home_wrote_it_when_and_what_it_replaces() -> None:
    said = heading()
    text = text_of(said, GOALS)
    document = open_document(
        sealed(text), [KEYS.identity], [KEYS.signer.verifier], CASE, named(f"goals-0002-{HOME}.age")
    )
    version = document.version
    assert (version.name.home, version.after, version.at) == (HOME, said.after, said.at)
    assert version.digest == digest_of(KEYS.signer.sign(text)) and not version.numbered_only
    assert from_json(document.body, Goals) == GOALS


@pytest.mark.parametrize("file", ["goals-0001.age", f"goals-0001-{HOME}-{DIGEST}.age"])
def test_one_from_before_homes_had_names_is_read_under_its_own_name_and_beside_another(
    file: str,
) -> None:
    body = text_of(heading(), GOALS).partition("\n")[2]
    assert opened(sealed(f"{BEFORE}\n{body}"), file) == GOALS


@pytest.mark.parametrize(
    "file",
    [
        "goals-0002.age",
        f"goals-0002-{OTHER}.age",
        f"goals-0002-{OTHER}-{DIGEST}.age",
        f"goals-0003-{HOME}.age",
        f"details-0002-{HOME}.age",
        f"goals-{'d' * 16}-0002-{HOME}.age",
    ],
)
def test_a_document_under_another_name_than_its_own_is_refused(file: str) -> None:
    with pytest.raises(BadFile, match="belongs elsewhere"):
        opened(sealed(text_of(heading(), GOALS)), file)


def test_one_of_another_case_is_refused() -> None:
    with pytest.raises(BadFile, match="belongs elsewhere"):
        opened(sealed(text_of(heading(), GOALS)), f"goals-0002-{HOME}.age", case="d" * 16)


def test_one_from_before_is_not_given_a_home() -> None:
    body = text_of(heading(), GOALS).partition("\n")[2]
    with pytest.raises(BadFile, match="belongs elsewhere"):
        opened(sealed(f"{BEFORE}\n{body}"), f"goals-0001-{HOME}.age")


def test_what_nobody_here_signed_or_what_is_no_text_is_refused() -> None:
    file = f"goals-0002-{HOME}.age"
    with pytest.raises(BadSignature):
        opened(sealed(text_of(heading(), GOALS), PrivateKeys.generate("practitioner")), file)
    with pytest.raises(BadFile, match="not text"):
        opened(seal(b"\xff", [KEYS.identity.recipient]), file)
    with pytest.raises(BadFile):
        opened(sealed("one line\n"), file)
    stranger = PrivateKeys.generate("practitioner")
    with pytest.raises(NoMatch):
        open_document(sealed(text_of(heading(), GOALS)), [stranger.identity], [], CASE, named(file))
