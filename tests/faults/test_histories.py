"""Given any history of a shop and its branches, restarts, folds of the log and lost connections among it, when the engine has
caught up, then PostgreSQL has exactly what the models say, by the log and by PostgreSQL's own computation."""

import random
from pathlib import Path

import pytest

from tests.conftest import Postgres
from tests.faults.histories import Folder, Shop
from tests.faults.world import World, world

STEPS = 8


class Trouble:
    """What happens to the engine itself, between two things that happen to its sources."""

    def __init__(self, random_: random.Random) -> None:
        self._rng = random_

    def happen(self, world: World) -> str:
        acts = [self.nothing] * 4 + [
            self.crash,
            self.crash,
            self.stop,
            self.compact,
            self.resync,
            self.lose,
            self.checkpoint,
            self.audit,
        ]
        act = self._rng.choice(acts)
        act(world)
        return act.__name__

    def nothing(self, world: World) -> None:
        for _ in range(self._rng.randrange(20)):
            world.turn()

    def crash(self, world: World) -> None:
        self.nothing(world)
        world.close()
        world.open()

    def stop(self, world: World) -> None:
        self.nothing(world)
        world.close(checkpoint=True)
        world.open()

    def checkpoint(self, world: World) -> None:
        world.engine.machinery.checkpoints.save()

    def compact(self, world: World) -> None:
        world.engine.machinery.log.compact()

    def resync(self, world: World) -> None:
        world.resync(self._rng.choice(["shop", "branches", "shop.orders", "shop.order_items", "shop.customers"]))

    def lose(self, world: World) -> None:
        world.lose_connections(self._rng.choice(["topline publisher", "topline%", "%"]))

    def audit(self, world: World) -> None:
        self.nothing(world)
        if not world.engine.holds.held_models():
            world.require_audited()


def live_through(made: World, seed: int) -> None:
    chance = random.Random(seed)
    shop, folder, trouble = Shop(chance), Folder(chance), Trouble(chance)
    for _ in range(5):
        shop.place(made.shop)
    made.open()
    for step in range(STEPS):
        story = []
        for _ in range(chance.randrange(1, 5)):
            story.append(shop.happen(made.shop))
            story.append(trouble.happen(made))
        story += folder.happen(made)
        story.append(trouble.happen(made))
        print(f"seed {seed} step {step}: {', '.join(story)}")
        made.catch_up()
        made.require_exact()


@pytest.mark.parametrize("seed", [0])
def test_any_history_ends_exact(tmp_path: Path, postgres: Postgres, seed: int) -> None:
    settings = {"sources__branches__tables__sales__on_remove": "retract" if seed % 2 else "keep"}
    with world(tmp_path / "sales", postgres.dsn("shop"), postgres.dsn("results"), **settings) as made:
        live_through(made, seed)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(1, 23))
def test_any_longer_history_ends_exact(tmp_path: Path, postgres: Postgres, seed: int) -> None:
    test_any_history_ends_exact(tmp_path, postgres, seed)
