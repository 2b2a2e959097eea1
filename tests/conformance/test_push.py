"""The push source keeps the standard."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from tests.conformance.origin import TABLE, Origin
from tests.conformance.suite import SourceSuite
from topline.sources.base import Context, Source
from topline.sources.push import Settings, create
from topline.sources.push.bodies import NDJSON, Content


class PushOrigin(Origin):
    """An API that puts requests into the inbox: each verb is one request."""

    waivers: ClassVar[Mapping[str, str]] = {
        "current_is_the_origin": "what was sent is gone from the inbox once it is in the log: there is nothing to list",
        "resync_reads_anew": "what was sent is gone from the inbox once it is in the log: the sender has to send it again",
    }

    def __init__(self, root: Path) -> None:
        self._root, self._state = root, root / ".topline"
        self._state.mkdir()
        settings = {"kind": "push", "tables": {"things": {"on_invalid": "keep"}}}
        self._context = Context("origin", {"things": TABLE}, root, self._state)
        self._settings = Settings.model_validate(settings)
        [self._intake] = create(self._context, self._settings).intakes

    def source(self) -> Source:
        return create(self._context, self._settings)

    def put(self, rows: Mapping[str, str | None]) -> None:
        self._post(*({"id": key, "value": value} for key, value in rows.items()))

    def delete(self, ids: Sequence[str]) -> None:
        self._post(*({"id": key, "_deleted": True} for key in ids))

    def interrupt(self) -> None:
        self._state.rename(self._root / "away")
        self._state.write_text("a file where a folder is expected")

    def mend(self) -> None:
        self._state.unlink()
        (self._root / "away").rename(self._state)

    def corrupt(self, good: Mapping[str, str | None]) -> bytes:
        raw = b'{"id": "broken", "value": "\xff'
        first, *others = (json.dumps({"id": key, "value": value}).encode() for key, value in good.items())
        self._intake.accept(b"\n".join([first, raw, *others]), Content(NDJSON))
        return raw

    def _post(self, *rows: Mapping[str, object]) -> None:
        self._intake.accept("\n".join(map(json.dumps, rows)).encode(), Content(NDJSON))


class TestPush(SourceSuite):
    @pytest.fixture
    def origin(self, tmp_path: Path) -> Origin:
        return PushOrigin(tmp_path)
