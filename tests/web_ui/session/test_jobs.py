"""Work in the background: it can be given up, it says how far it is, and it breaks in words."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from appliance.errors import NotPossible
from web_ui.session.jobs import GivenUp, Job, Work

CASE = SimpleNamespace(id="a" * 16)
FILM = "b" * 16
PATIENCE = 60
"""Seconds. What is waited for is always an event."""


@pytest.fixture
def work() -> Iterator[Work]:
    made = Work()
    yield made
    made.close()


def bring(work: Work, make: Callable[[Job], None]) -> Job:
    """Have a film brought, to its end: one is brought at a time, and another one comes after it."""
    over = threading.Event()
    job = work.bring(CASE, FILM, make)
    work.bring(SimpleNamespace(id="of nobody"), FILM, lambda _: over.set())
    assert over.wait(PATIENCE)
    return job


class Held:
    """Work that waits for a word before it tells how far it is."""

    def __init__(self) -> None:
        self.began, self.may_go_on, self.over = (threading.Event() for _ in range(3))
        self.came_through = False

    def __call__(self, job: Job) -> None:
        self.began.set()
        assert self.may_go_on.wait(PATIENCE)
        try:
            job.told(0.5)
            self.came_through = True
        finally:
            self.over.set()


def test_work_that_is_given_up_ends_where_it_says_how_far_it_is(work: Work) -> None:
    held = Held()
    job = work.bring(CASE, FILM, held)
    assert held.began.wait(PATIENCE) and work.brought(CASE.id) == [job]
    work.give_up(CASE.id, job.id)
    held.may_go_on.set()
    assert held.over.wait(PATIENCE) and not held.came_through
    assert work.brought(CASE.id) == []
    with pytest.raises(GivenUp):
        job.told(0.6)


def test_nobody_gives_up_the_work_of_another_case(work: Work) -> None:
    held = Held()
    job = work.bring(CASE, FILM, held)
    work.give_up("c" * 16, job.id)
    held.may_go_on.set()
    assert held.over.wait(PATIENCE) and held.came_through


def test_closing_ends_what_is_under_way_and_begins_nothing_that_waits(work: Work) -> None:
    held, begun = Held(), []
    work.bring(CASE, FILM, held)
    work.bring(CASE, FILM, lambda _: begun.append(True))
    assert held.began.wait(PATIENCE)
    work.close()
    held.may_go_on.set()
    assert held.over.wait(PATIENCE) and not held.came_through
    work._bringing.shutdown()
    assert not begun


def test_how_far_it_is_never_runs_back_and_is_all_only_at_the_end(work: Work) -> None:
    shown: list[int] = []

    def make(job: Job) -> None:
        for done in (0.7, 0.2, 2.0):
            job.told(done)
            shown.extend(work.making().values())

    job = bring(work, make)
    assert shown == [70, 70, 99]
    assert (job.state, job.done) == ("done", 1.0)


def test_what_breaks_is_told_in_words_and_logged_without_one_of_the_familys(
    work: Work, caplog: pytest.LogCaptureFixture
) -> None:
    def make(_: Job) -> None:
        raise RuntimeError("Robin and Alex")

    job = bring(work, make)
    assert job.state == "failed" and str(job.error).startswith("It could not be made.")
    assert "RuntimeError" in caplog.text and "Robin" not in caplog.text


def test_a_refusal_is_told_as_it_is(work: Work) -> None:
    def make(_: Job) -> None:
        raise NotPossible("The card is full.")

    assert str(bring(work, make).error) == "The card is full."


def test_a_film_is_looked_through_by_one_job_until_that_is_done(work: Work) -> None:
    go_on = threading.Event()

    @contextmanager
    def lend() -> Iterator[None]:
        assert go_on.wait(PATIENCE)
        raise NotPossible("It cannot be read.")
        yield

    job = work.look_through(CASE, FILM, lend, None)
    assert work.look_through(CASE, FILM, lend, None) is job
    assert work.look_through(CASE, "c" * 16, lend, None) is not job
    go_on.set()
    work._looking.shutdown()
    assert work.look_through(CASE, FILM, lend, None) is job, "what failed is not tried for ever"
