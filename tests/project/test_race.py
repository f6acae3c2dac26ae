"""The race reports ratios of the same round, the contenders ahead of DAF, and why the others take no part."""

import re
from importlib.util import find_spec
from xml.etree import ElementTree as ET

import pytest

from benchmarks.race import wrk
from benchmarks.race.answers import Referee
from benchmarks.race.contenders import CONTENDERS, FLOOR, REFERENCES
from benchmarks.race.environments import LOCKS, versions_of
from benchmarks.race.pictures import plots_of
from benchmarks.race.report import growth_of, main_heat, page
from benchmarks.race.samples import Heat, Race, Sample
from benchmarks.race.summary import Spread, failures_of, ratio_of
from benchmarks.race.works import WORKS

ISSUED = """
    sync ORM, raw psycopg, Django ASGI, Django ASGI + pool, Django WSGI, django-async-backend, adrf, django-ninja,
    django-modern-rest, django-bolt, FastAPI + asyncpg, FastAPI + psycopg, Litestar, DAF on threads,
    DAF native, DAF native, plans kept
"""


def samples(*cpu: float, skip: int = -1, failures: dict[str, int] | None = None) -> list[Sample]:
    figures = {"rate": 100.0, "p50": 0.01, "p99": 0.02, "memory": 2**20, "threads": 3, "connections": 4}
    return [
        Sample(round=number, cpu=seconds, failures=failures or {}, **figures)
        for number, seconds in enumerate(cpu)
        if number != skip
    ]


@pytest.fixture
def race() -> Race:
    race = Race(about={"date": "today", "packages": {"django": {"django": "6.1.3"}}})
    race.heats[main_heat("in process", "one")] = {
        "DAF native": samples(1.0, 2.0, 4.0),
        "FastAPI + asyncpg": samples(0.9, 1.6, 2.0, failures={"500": 1}),
        "Django ASGI": samples(0.5, 4.0, 8.0),
    }
    return race


def test_a_ratio_divides_turns_of_the_same_round() -> None:
    # 3 / 1, 8 / 2 and 20 / 4; the ratio of the medians would be 8 / 2.
    assert ratio_of(samples(3.0, 8.0, 20.0), samples(1.0, 2.0, 4.0)) == Spread(4.0, 3.5, 4.5)


def test_a_round_that_one_of_the_two_missed_has_no_ratio() -> None:
    assert ratio_of(samples(3.0, 8.0, 20.0, skip=1), samples(1.0, 2.0, 4.0)) == Spread(4.0, 3.5, 4.5)
    assert ratio_of(samples(3.0, skip=0), samples(1.0)) is None


def test_a_spread_shows_its_quartiles_unless_it_has_one_value() -> None:
    assert Spread.of([1.0, 2.0, 3.0]).shown(digits=2) == "2.00 (1.50-2.50)"
    assert Spread.of([2.0]).shown(digits=2) == "2.00"


def test_failures_are_summed_up_over_the_rounds() -> None:
    assert failures_of(samples(1.0, 1.0, failures={"500": 2, "timeout": 1})) == "4 x 500, 2 x timeout"
    assert failures_of(samples(1.0)) == "0"


def test_the_figures_are_the_same_after_json(race: Race) -> None:
    race.absent["adrf"] = "no lock"
    race.excuse(main_heat("in process", "typed"), "django-bolt", "answered 500")
    race.idle["DAF native"] = {"clients": 1000, "bytes": 1024.0, "threads": 0, "connections": 0}

    assert Race.from_json(race.to_json()) == race


def test_the_page_names_those_ahead_with_both_quartiles(race: Race) -> None:
    _, _, ahead = page(race, {}).partition("## Ahead of DAF")
    ahead, _, _ = ahead.partition("## Contenders")

    assert "FastAPI + asyncpg | 0.80 (0.65-0.85)" in re.sub(" +", " ", ahead)
    assert "Django ASGI" not in ahead  # 0.5, 2 and 2: not in every round


def test_the_page_tells_why_a_contender_takes_no_part(race: Race) -> None:
    race.absent["adrf"] = "no release for this Python"
    race.excuse(Heat(place="HTTP", database="PostgreSQL", work="typed", callers=20), "django-bolt", "answered 500")

    text = re.sub(" +", " ", page(race, {}))

    assert "| adrf | all | cannot be installed: no release for this Python |" in text
    assert "| django-bolt | typed (HTTP, PostgreSQL) | answered 500 |" in text


def test_the_page_shows_every_figure_of_a_heat(race: Race) -> None:
    row = next(line for line in reversed(page(race, {}).splitlines()) if line.startswith("| FastAPI + asyncpg"))

    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1:3] == ["1,600,000 (1,250,000-1,800,000)", "0.80 (0.65-0.85)"]
    assert cells[4:] == ["100", "10.0", "20.0", "1", "3", "4", "3 x 500"]


def many_at_once(cpu: float) -> dict[Heat, dict[str, list[Sample]]]:
    heat = Heat(place="in process", database="PostgreSQL", work="one", callers=200)
    return {heat: {"DAF native": samples(1.0), "FastAPI + asyncpg": samples(cpu)}}


def test_growth_is_over_what_takes_part_at_every_number(race: Race) -> None:
    race.heats.update(many_at_once(3.0))

    base, lines = growth_of(race, "in process")

    assert base == "DAF native"  # the floor takes no part here
    assert {step: ratio.median for step, ratio in lines["FastAPI + asyncpg"].items()} == {20: 0.8, 200: 3.0}
    assert list(lines["Django ASGI"]) == [20]


def test_the_plots_are_xml_and_name_all_that_take_part(race: Race) -> None:
    race.heats.update(many_at_once(3.0))

    plots = plots_of(race)

    assert set(plots) == {"cpu", "growth"}
    for plot in plots.values():
        text = " ".join(ET.fromstring(plot.svg).itertext())
        assert "DAF native" in text
        assert "FastAPI + asyncpg" in text


def test_answers_are_alike_whatever_their_spaces_and_order() -> None:
    referee = Referee()

    assert not referee.objection("one", [(200, '{"id": 1, "title": "A"}')])
    assert not referee.objection("one", [(200, '{"title":"A","id":1}')])
    assert "others answered" in referee.objection("one", [(200, '{"title":"A","id":"1"}')])
    assert referee.objection("one", [(500, "broken")]) == "answered 500: broken"


def test_the_figures_of_the_client_are_read_among_its_other_output() -> None:
    found = wrk.read(
        "Running 2s test\n"
        'RACE {"requests": 1000, "microseconds": 2000000, "p50": 1500, "p99": 9000, '
        '"connect": 0, "read": 3, "write": 0, "status": 100, "timeout": 0}\n'
    )

    assert found == {
        "requests": 1000,
        "rate": 450.0,  # answers that are refusals do not count
        "p50": 0.0015,
        "p99": 0.009,
        "failures": {"read": 3, "status": 100},
    }


def test_every_contender_is_in_the_table() -> None:
    assert ", ".join(CONTENDERS) == " ".join(ISSUED.split())
    assert FLOOR in CONTENDERS
    assert set(REFERENCES) <= set(CONTENDERS)


@pytest.mark.parametrize("name", CONTENDERS)
def test_a_contender_is_complete(name: str) -> None:
    contender = CONTENDERS[name]

    assert contender.conditions
    assert set(contender.takes_no_part) <= set(WORKS)
    assert any(not contender.reason_against(work, "postgresql") for work in WORKS)
    assert contender.reason_against("one", "oracle") == "has no driver for oracle here"
    for module in (contender.application.partition(":")[0], contender.urls):
        if module.startswith("benchmarks."):
            assert find_spec(module), module


def test_every_environment_has_a_lock_with_hashes_and_no_index() -> None:
    environments = {contender.environment for contender in CONTENDERS.values()}

    assert {lock.stem for lock in LOCKS.glob("*.txt")} == environments
    for name in environments:
        lock = (LOCKS / f"{name}.txt").read_text()
        assert "--hash=sha256:" in lock
        assert not re.search(r"https?:|index-url|find-links", lock)
        assert versions_of(name)
