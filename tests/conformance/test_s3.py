"""The files source keeps the standard over an object store too."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from tests.conformance.origin import TABLE, Origin
from tests.conformance.suite import SourceSuite
from tests.conformance.test_files import HEADER, line
from tests.object_store import ObjectStore
from topline.sources.base import Context, Source
from topline.sources.files import Settings, create

_BUCKETS = itertools.count()


class ObjectsOrigin(Origin):
    """Three objects, each the home of some keys; every change of a key writes its object anew, within the same second."""

    waivers: ClassVar[Mapping[str, str]] = {
        "transactions_are_whole": "an object store has no transactions: the rows of an object become visible as they are read",
    }

    def __init__(self, root: Path, store: ObjectStore) -> None:
        self._root, self._store, self._bucket = root, store, f"conformance-{next(_BUCKETS)}"
        self._objects: dict[str, dict[str, str | None]] = {}
        store.reset()
        store.client.create_bucket(Bucket=self._bucket)

    def source(self) -> Source:
        settings = {
            "kind": "files",
            "poll": 0.01,
            "objects": self._store.settings(),
            "tables": {"things": {"path": f"s3://{self._bucket}/in/*.csv"}},
        }
        context = Context("origin", {"things": TABLE}, self._root, self._root / ".topline")
        return create(context, Settings.model_validate(settings))

    def put(self, rows: Mapping[str, str | None]) -> None:
        for key, value in rows.items():
            self._objects.setdefault(f"f{ord(key[-1]) % 3}.csv", {})[key] = value
        self._write({f"f{ord(key[-1]) % 3}.csv" for key in rows})

    def delete(self, ids: Sequence[str]) -> None:
        for name, rows in self._objects.items():
            if rows.keys() & set(ids):
                self._objects[name] = {key: value for key, value in rows.items() if key not in ids}
                self._write({name})

    def interrupt(self) -> None:
        self._store.refuse = lambda _request: "503 Slow Down"

    def mend(self) -> None:
        self._store.reset()

    def corrupt(self, good: Mapping[str, str | None]) -> bytes:
        first, *others = (line(key, value) for key, value in good.items())
        raw = b'broken,"\xff quote" and more,fields\r\n'
        self._store.put(self._bucket, "in/corrupt.csv", HEADER.encode() + first + raw + b"".join(others))
        return raw

    def _write(self, names: set[str]) -> None:
        for name in sorted(names):
            lines = [line(key, value) for key, value in self._objects[name].items()]
            self._store.put(self._bucket, f"in/{name}", HEADER.encode() + b"".join(lines))


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    store = ObjectStore()
    yield store
    store.close()


class TestObjects(SourceSuite):
    @pytest.fixture
    def origin(self, tmp_path: Path, store: ObjectStore) -> Origin:
        return ObjectsOrigin(tmp_path, store)
