"""Every odd film, by the name under which somebody would send it."""

from collections.abc import Mapping

from appliance.bench.odd import kinds, looks, times
from appliance.bench.odd.expected import OddFilm

FILMS: Mapping[str, OddFilm] = {**times.FILMS, **looks.FILMS, **kinds.FILMS}
