"""Runs every check over one kind of origin. A waived check must fail: a waiver that is not needed is stale."""

from collections.abc import Callable

import pytest

from tests.conformance.checks import CHECKS
from tests.conformance.origin import Origin

Check = Callable[[Origin], None]


def hold(origin: Origin, check: Check) -> None:
    """AssertionError where the source breaks the check, or keeps one that it waives."""
    if check.__name__ not in origin.waivers:
        check(origin)
        return
    try:
        check(origin)
    except AssertionError:
        return
    raise AssertionError(f"the waiver of {check.__name__} is stale: the check passes. Remove it")


class SourceSuite:
    """Subclass it, and give a fixture `origin`."""

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_standard(self, origin: Origin, check: Check) -> None:
        hold(origin, check)

    def test_waivers_name_checks_and_give_reasons(self, origin: Origin) -> None:
        known = {check.__name__ for check in CHECKS}
        assert set(origin.waivers) <= known
        assert all(len(reason) > 20 for reason in origin.waivers.values())
