"""Whatever a service answers: a poll gives rows and letters, or fails with an error of ours."""

from collections.abc import Iterator, Mapping

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutations import mutated
from tests.fuzz.services import SEEDS, Check, checks

FAST = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
BOTH = pytest.mark.parametrize("name", SEEDS)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Check]]:
    with checks(tmp_path_factory.mktemp("services")) as found:
        yield found


@BOTH
@FAST
@given(data=st.data())
def test_an_answer_is_rows_letters_or_an_error_of_ours(services: Mapping[str, Check], name: str, data: st.DataObject) -> None:
    services[name](data.draw(mutated(SEEDS[name])))


@pytest.mark.long
@pytest.mark.timeout(1800)
@BOTH
@settings(FAST, max_examples=2000)
@given(data=st.data())
def test_an_answer_is_rows_letters_or_an_error_of_ours_in_thousands(
    services: Mapping[str, Check], name: str, data: st.DataObject
) -> None:
    services[name](data.draw(mutated(SEEDS[name], most=10)))
