"""Odd films, as telephones, browsers, calls and recorders write them, each with what must become of
it; for the measures, and for the tests of what brings films in."""
