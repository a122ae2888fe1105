"""Settings of a service: read strictly, refused by name, and never a way around consent."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.casework.service_settings import Service, in_force, parse, put_in_force, shipped
from appliance.errors import BadFile
from appliance.protocol.permits import LONGEST_FILM
from appliance.records.files import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home", tmp_path / "run")
    home.prepare(home.keys)
    return home


def test_there_are_five_services_and_each_is_its_own() -> None:
    found = [parse(data) for data in shipped().values()]
    assert len(found) == len({service.title for service in found}) == 5
    assert len(set(found)) == 5


def test_no_service_films_longer_than_the_recorder_lets_anybody() -> None:
    for service in (Service(), *map(parse, shipped().values())):
        assert 60 * max(service.film_minutes) <= LONGEST_FILM.total_seconds()


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("film_minuts = [5]", "film_minuts"),
        ("film_minutes = []", "film_minutes"),
        ("film_minutes = [0]", "film_minutes"),
        ("film_minutes = [61]", "film_minutes"),
        ("film_minutes = [5.5]", "film_minutes"),
        ("film_minutes = [10, 5]", "film_minutes"),
        ('film_minutes = "5"', "film_minutes"),
        ('title = ""', "title"),
        ("roles = []", "roles"),
        ('offers = ["stealth"]', "offers"),
        ("rating_lowest = 10", "rating_lowest"),
        ("cycles_least = 4", "cycles_least"),
        ("retention_days = 0", "retention_days"),
        ("retention_days = 7", "warning_days"),
        ("warning_days = -1", "warning_days"),
        ("clip_seconds = 301", "clip_seconds"),
    ],
)
def test_a_wrong_field_is_refused_by_name_and_the_kit_stays_as_it_was(
    home: Home, line: str, named: str
) -> None:
    before = put_in_force(home, shipped()["eight-visits"])
    with pytest.raises(BadFile, match=named):
        put_in_force(home, line.encode())
    assert in_force(home) == before


@given(st.binary(max_size=300))
def test_whatever_is_given_is_settings_or_refused_in_words(data: bytes) -> None:
    try:
        parse(data)
    except BadFile as refused:
        assert refused.sentence and refused.hint


def test_a_kit_that_was_given_no_file_has_the_defaults(home: Home) -> None:
    assert in_force(home) == Service()


def test_a_damaged_file_is_refused_and_not_quietly_replaced(home: Home) -> None:
    put_in_force(home, shipped()["goals-first"])
    (home.keys / "service.toml").write_text("title = 3")
    with pytest.raises(BadFile, match="title"):
        in_force(home)
