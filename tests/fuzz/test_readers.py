"""Whatever bytes come: no reader crashes, and what came in is rows or letters."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutations import mutated
from tests.fuzz.readers import READERS

FAST = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
LONG = settings(FAST, max_examples=5000)
BOTH = pytest.mark.parametrize("name", READERS)


@BOTH
@FAST
@given(data=st.data())
def test_nothing_is_lost_in_silence(name: str, data: st.DataObject) -> None:
    target = READERS[name]
    target.check(data.draw(mutated(target.seeds)))


@pytest.mark.long
@pytest.mark.timeout(1800)
@BOTH
@LONG
@given(data=st.data())
def test_nothing_is_lost_in_silence_in_thousands(name: str, data: st.DataObject) -> None:
    target = READERS[name]
    target.check(data.draw(mutated(target.seeds, most=12)))
