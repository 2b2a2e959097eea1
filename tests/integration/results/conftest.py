"""One database for all tests here, emptied for each: a database of its own would cost a server's stop some seconds."""

import pytest

from tests.conftest import Postgres
from tests.integration.results.support import emptied


@pytest.fixture(scope="session")
def results_database(postgres: Postgres) -> str:
    return postgres.dsn("results")


@pytest.fixture
def dsn(results_database: str) -> str:
    return emptied(results_database)
