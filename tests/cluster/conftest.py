"""The stack that tests share: a server starts when a test first asks for it."""

from collections.abc import Iterator

import pytest

from tests.cluster.stack import Stack
from tests.conftest import discard


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack")) as made:
        yield made
        discard(made.postgres)
