"""A SOAP server a test, with the sales service on it."""

from collections.abc import Iterator

import pytest

from tests.soap_server.server import SoapServer
from tests.soap_server.services import SalesService


@pytest.fixture
def server() -> Iterator[SoapServer]:
    server = SoapServer()
    yield server
    server.close()


@pytest.fixture
def sales(server: SoapServer) -> SalesService:
    service = server.services["/sales"] = SalesService()
    return service
