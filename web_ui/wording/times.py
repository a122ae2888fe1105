"""Times and lengths in words, in the kit's own time zone and the page's language."""

from datetime import date, datetime, time, timedelta
from fractions import Fraction

from babel.dates import format_date, format_datetime, format_time

from web_ui.wording.language import _, locale, ngettext


def in_words(moment: datetime) -> str:
    """'21 November 2026 at 14:05'."""
    local = moment.astimezone()
    return _(
        "%(day)s at %(time)s",
        day=format_date(local, "d MMMM y", locale=locale()),
        time=format_time(local, "HH:mm", locale=locale()),
    )


def day_in_words(day: date) -> str:
    """'21 November 2026'."""
    return format_date(day, "d MMMM y", locale=locale())


def last_day_before(end: datetime) -> str:
    """'21 November 2026': the last whole day before a midnight."""
    return day_in_words((end - timedelta(microseconds=1)).astimezone().date())


def until_words(end: datetime) -> str:
    """'the end of 21 November 2026', or the time if it is not midnight."""
    if end.astimezone() == start_of(end.astimezone().date()):
        return _("the end of %(day)s", day=last_day_before(end))
    return in_words(end)


def day_and_time(moment: datetime) -> str:
    """'Sat 21 Nov, 14:05', for lists."""
    return format_datetime(moment.astimezone(), "EEE d MMM, HH:mm", locale=locale())


def length(seconds: float | Fraction) -> str:
    """'5 minutes', '45 seconds', '2 min 5 s'."""
    whole = round(float(seconds))
    minutes, rest = divmod(whole, 60)
    if not minutes:
        return ngettext("%(num)s second", "%(num)s seconds", rest)
    if not rest:
        return ngettext("%(num)s minute", "%(num)s minutes", minutes)
    return _("%(minutes)s min %(seconds)s s", minutes=minutes, seconds=rest)


def stamp(seconds: float | Fraction) -> str:
    """A place in a film: '1:02.40'."""
    hundredths = round(seconds * 100)
    minutes, rest = divmod(hundredths, 6000)
    return f"{minutes}:{rest // 100:02}.{rest % 100:02}"


def exact(seconds: Fraction) -> str:
    """A place in a film for a form, '1:02.433': never later than it is, so that a frame that
    begins there is the first one from there on."""
    minutes, rest = divmod(int(seconds * 1000), 60_000)
    return f"{minutes}:{rest // 1000:02}.{rest % 1000:03}"


def start_of(day: date) -> datetime:
    """Midnight at which a day begins, in the kit's time zone."""
    return datetime.combine(day, time()).astimezone()


def end_of(day: date) -> datetime:
    """Midnight at which a day ends, in the kit's time zone."""
    return start_of(day + timedelta(days=1))
