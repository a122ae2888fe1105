"""The light on the page is the light on the kit."""

import re
from itertools import accumulate

import pytest

from appliance.protocol.status import PATTERNS, Pattern
from tests.support.places import ROOT
from web_ui.wording import light


def played(pattern: Pattern) -> list[tuple[bool, float]]:
    """The pattern as the style sheet plays it."""
    found = re.search(rf"@keyframes light-{pattern} {{ (.*) }}\n", light.css())
    rule = re.search(
        rf'\[data-light="{pattern}"\] {{ (?:background: var\(--app-(\w+)\)|'
        rf"animation: light-{pattern} ([\d.]+)s step-end infinite); }}",
        light.css(),
    )
    assert rule
    if not found:
        return [(rule[1] == "lit", 1.0)]
    whole = float(rule[2])
    frames = re.findall(r"([\d.]+)% { background: var\(--app-(\w+)\); }", found[1])
    times = [whole * float(at) / 100 for at, _colour in frames] + [whole]
    return [
        (colour == "lit", end - begin)
        for (_at, colour), begin, end in zip(frames, times, times[1:], strict=False)
    ]


@pytest.mark.parametrize("pattern", Pattern)
def test_the_page_plays_each_pattern_as_the_kit_s_light_does(pattern: Pattern) -> None:
    steps = played(pattern)
    assert [lit for lit, _seconds in steps] == [lit for lit, _seconds in PATTERNS[pattern]]
    assert [seconds for _lit, seconds in steps] == pytest.approx(
        [seconds for _lit, seconds in PATTERNS[pattern]], abs=0.005
    )


@pytest.mark.parametrize("pattern", Pattern)
def test_a_still_picture_is_full_exactly_while_the_light_is_on(pattern: Pattern) -> None:
    bars = [
        (float(x), float(x) + float(wide))
        for x, wide in re.findall(
            r'<rect x="([\d.]+)" y="3" width="([\d.]+)"', light.picture(pattern)
        )
    ]
    span = max(light.SPAN, light.lasts(pattern))
    ends = [*accumulate(seconds for _lit, seconds in PATTERNS[pattern])]
    for n in range(1000):
        at = (n + 0.5) * span / 1000
        step = next(i for i, end in enumerate(ends) if at % ends[-1] < end)
        seen = any(begin <= 200 * at / span <= end for begin, end in bars)
        assert seen is PATTERNS[pattern][step][0], at


def test_no_other_style_sheet_plays_a_pattern() -> None:
    for sheet in (ROOT / "web_ui" / "static").glob("*.css"):
        assert not re.search(r"data-light[^{]*{[^}]*animation", sheet.read_text()), sheet.name
