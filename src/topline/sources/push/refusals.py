"""Why the inbox does not take a request: nothing of it was kept."""

from collections.abc import Sequence

from topline.errors import UsageError

SHOWN = 100  # faults named in one answer


class Refusal(UsageError):  # noqa: N818 - they name what becomes of the request
    """Base: the sender has to act."""


class InvalidRows(Refusal):
    """`faults`: the first ones, each with the number of its record in the body (from 1), field, value and what is allowed."""

    def __init__(self, faults: Sequence[str]) -> None:
        count = len(faults)
        self.faults = list(faults[:SHOWN])
        more = f", of which {SHOWN} are shown" if count > SHOWN else ""
        what = self.faults[0] if count == 1 else f"{count} records are no rows of this table{more}"
        super().__init__(f"{what}. Nothing of this request was kept")


class InboxFull(Refusal):
    """The engine is behind; the same request may be sent again later."""


class KeyReused(Refusal):
    """An Idempotency-Key that another body had before."""

    def __init__(self, key: str) -> None:
        super().__init__(
            f"the Idempotency-Key {key!r} was used for another body; a new request needs a new key, a retry the same body"
        )
