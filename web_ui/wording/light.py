"""The light as the page draws it, from the very table that the recorder plays."""

from itertools import accumulate
from math import ceil

from markupsafe import Markup

from appliance.protocol.status import PATTERNS, Pattern

SPAN = 5.0
"""Seconds that a still picture shows; of a pattern that takes longer, once through."""
_WIDTH, _HEIGHT = 200, 20


def css() -> str:
    """The style sheet that plays each pattern wherever `data-light` names it.

    The colours are the sheet's that uses this: --app-lit and --app-dark.
    """
    rules = [_moving(pattern) for pattern in Pattern]
    still = ", ".join(f'[data-light="{pattern}"]' for pattern in Pattern if _is_ever_lit(pattern))
    # Who wants nothing to move sees whether it is ever lit; words and the still picture say more.
    rules.append(
        "@media (prefers-reduced-motion: reduce) {\n"
        "  [data-light] { animation: none !important; }\n"
        f"  {still} {{ background: var(--app-lit); }}\n}}\n"
    )
    return "".join(rules)


def picture(pattern: Pattern) -> Markup:
    """The rhythm of a pattern as a bar from left to right: full where the light is on. It has the
    colour of the words beside it, so it prints and is there in forced colours."""
    whole = lasts(pattern)
    span = max(SPAN, whole)
    steps = [*PATTERNS[pattern]] * ceil(span / whole)
    bars: list[str] = []
    begins = 0.0
    for lit, seconds in steps:
        if lit and begins < span:
            wide = min(seconds, span - begins)
            bars.append(
                f'<rect x="{_WIDTH * begins / span:.2f}" y="3" '
                f'width="{_WIDTH * wide / span:.2f}" height="{_HEIGHT - 6}"/>'
            )
        begins += seconds
    return Markup(  # noqa: S704 - numbers alone
        f'<svg class="app-rhythm" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-hidden="true" '
        f'focusable="false" fill="currentColor">{"".join(bars)}'
        f'<rect x="0.5" y="0.5" width="{_WIDTH - 1}" height="{_HEIGHT - 1}" rx="3" fill="none" '
        'stroke="currentColor"/></svg>'
    )


def lasts(pattern: Pattern) -> float:
    """Seconds until a pattern begins again."""
    return sum(seconds for _lit, seconds in PATTERNS[pattern])


def _moving(pattern: Pattern) -> str:
    steps = PATTERNS[pattern]
    if len(steps) == 1:
        return f'[data-light="{pattern}"] {{ background: var(--app-{_colour(steps[0][0])}); }}\n'
    whole = lasts(pattern)
    begins = accumulate((seconds for _lit, seconds in steps[:-1]), initial=0.0)
    frames = " ".join(
        f"{100 * at / whole:.3f}% {{ background: var(--app-{_colour(lit)}); }}"
        for at, (lit, _seconds) in zip(begins, steps, strict=True)
    )
    return (
        f"@keyframes light-{pattern} {{ {frames} }}\n"
        f'[data-light="{pattern}"] '
        f"{{ animation: light-{pattern} {whole:.2f}s step-end infinite; }}\n"
    )


def _is_ever_lit(pattern: Pattern) -> bool:
    return any(lit for lit, _seconds in PATTERNS[pattern])


def _colour(lit: bool) -> str:
    return "lit" if lit else "dark"
