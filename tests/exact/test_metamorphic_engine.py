"""Given one history of a shop in a real PostgreSQL, when the engine lives through it, comes after it, or crashes all the way,
then the results database has the same rows, by count and hash."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import psycopg
import pytest
from psycopg import sql

from tests.conftest import Postgres
from tests.exact.pipe import digest
from tests.faults.histories import Folder, Shop
from tests.faults.world import World, world

ACTS = 9
Act = Callable[[], str]


def lives_through(made: World, acts: list[Act]) -> None:
    """Small batches as they come, each published before the next."""
    made.open()
    for act in acts:
        act()
        made.catch_up()


def comes_after(made: World, acts: list[Act]) -> None:
    """One first copy in bulk."""
    for act in acts:
        act()
    made.open()


def falls_behind(made: World, acts: list[Act]) -> None:
    """A first copy, then one long backlog."""
    made.open()
    made.catch_up()
    made.close(checkpoint=True)
    for act in acts:
        act()
    made.open()


def crashes(made: World, acts: list[Act]) -> None:
    """Wherever a few turns led."""
    made.open()
    for number, act in enumerate(acts):
        act()
        for _ in range(number % 4):
            made.turn()
        made.close()
        made.open()


def results(made: World) -> dict[str, tuple[int, str]]:
    names = [name for name, model in made.started.plan.models.items() if model.published]
    with psycopg.connect(made.results_dsn) as connection:
        tables = {
            name: connection.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier("topline", name))) for name in names
        }
        return digest({name: Counter(cursor.fetchall()) for name, cursor in tables.items()})


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(4))
def test_the_way_through_a_history_leaves_no_trace(tmp_path: Path, postgres: Postgres, seed: int) -> None:
    found = {}
    for way in (lives_through, comes_after, falls_behind, crashes):
        with world(tmp_path / way.__name__, postgres.dsn("shop"), postgres.dsn("results")) as made:
            chance = Random(seed)
            Folder(chance).happen(made)
            shop = Shop(chance)
            way(made, [lambda shop=shop, made=made: shop.happen(made.shop)] * ACTS)  # type: ignore[misc]
            made.catch_up()
            made.require_exact()
            found[way.__name__] = results(made)
    assert all(count for count, _ in found["lives_through"].values()), "the history says nothing of some model"
    assert all(one == found["lives_through"] for one in found.values()), found
