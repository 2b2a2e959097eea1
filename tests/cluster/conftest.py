"""The stack that tests share: a server starts when a test first asks for it."""

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from tests.cluster.stack import Stack
from tests.conftest import discard

collect_ignore = [] if find_spec("pyspark") else ["test_spark_models.py"]
"""It speaks with Spark in this process: make test-cluster installs pyspark, make test does without it."""


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack")) as made:
        yield made
        discard(made.postgres)
