"""The guide: one file for the documents and for Help."""

import re

from appliance.protocol.status import Pattern
from web_ui.wording import guide
from web_ui.wording.status_line import lamp_in_words


def test_every_heading_of_the_guide_is_a_page_of_the_help() -> None:
    headings = re.findall(r"^## (.+)$", guide.FILE.read_text(), re.MULTILINE)
    assert headings == [part.title for part in guide.parts().values()]


def test_the_guide_says_of_the_light_what_the_page_says() -> None:
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", guide.parts()["light"].text, re.MULTILINE)[1:]
    assert len(rows) == len(Pattern)
    for pattern, (looks, means) in zip(Pattern, rows, strict=True):
        look, _colon, meaning = lamp_in_words(pattern).partition(": ")
        assert looks == look
        assert means == meaning if meaning else pattern is Pattern.OFF
