"""What the sources that ask over TLS are tested with."""

import pytest

from tests.servers.certificates import Certificates, made


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return made(tmp_path_factory.mktemp("certificates"))
