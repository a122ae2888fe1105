"""Times in words and in forms."""

from fractions import Fraction

from web_ui.wording.times import exact


def test_a_time_in_a_form_never_lies_behind_its_frame() -> None:
    for frame in range(2000):
        for rate in (Fraction(30), Fraction(30000, 1001), Fraction(25)):
            minutes, seconds = exact(frame / rate).split(":")
            told = 60 * int(minutes) + Fraction(seconds)
            assert (frame - 1) / rate < told <= frame / rate
