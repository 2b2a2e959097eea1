"""Named points at which a fault test may end the process, as a crash would. Without that test's variable they do nothing.

`TOPLINE_TEST_KILL_AT=append:before-commit` kills (SIGKILL) at the first pass of that point, `append:before-commit@3` at the
third. A name says what was just done or is about to be done: `component:place`.
"""

import os
import signal

VARIABLE = "TOPLINE_TEST_KILL_AT"


class _Countdown:
    def __init__(self, setting: str) -> None:
        self.name, _, passes = setting.partition("@")
        self.left = int(passes or 1)

    def reached(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


_armed = _Countdown(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


def point(name: str) -> None:
    """The process dies here when a fault test names this point."""
    if _armed is not None and _armed.name == name:
        _armed.reached()
