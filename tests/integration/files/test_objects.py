"""Given objects in a store, when they come, change, go, or the store fails, then the table has what the store holds."""

import itertools
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.files.inbox import Inbox, schema
from tests.object_store import ObjectStore
from tests.polling import until
from topline.changes import Position, TableChanges
from topline.errors import ConfigError, SourceHalted, TransientError
from topline.sources.base import Context, Resume
from topline.sources.files import Settings, create, stores

HEAD = "id,amount\n"
_BUCKETS = itertools.count()


@pytest.fixture(scope="module")
def store() -> Iterator[ObjectStore]:
    store = ObjectStore()
    yield store
    store.close()


class Bucket(Inbox):
    """A bucket of its own; `put` and `remove` are objects below in/."""

    def __init__(self, root: Path, store: ObjectStore, path: str = "in", **options: Any) -> None:
        self.store, self.bucket = store, f"objects-{next(_BUCKETS)}"
        store.reset()
        store.client.create_bucket(Bucket=self.bucket)
        self.more = {"objects": store.settings()}
        paths = [path] if isinstance(path, str) else path
        super().__init__(root, path=[f"s3://{self.bucket}/{one}" for one in paths], **options)

    def put(self, name: str, data: bytes | str) -> str:
        """Its partition."""
        self.store.put(self.bucket, f"in/{name}", data.encode() if isinstance(data, str) else data)
        return f"sales:s3://{self.bucket}/in/{name}"

    def remove(self, name: str) -> None:
        self.store.remove(self.bucket, f"in/{name}")

    def gets(self) -> int:
        return sum(request.endswith((".csv", ".gz")) for request in self.store.requests)


@pytest.fixture
def bucket(tmp_path: Path, store: ObjectStore) -> Bucket:
    return Bucket(tmp_path, store)


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that an object of some kilobytes takes several requests."""
    monkeypatch.setattr(stores, "_RANGE", 4096)


def rows_of(value: str, count: int = 20_000) -> str:
    return HEAD + "".join(f"{n},{value}\n" for n in range(count))


def test_a_prefix_holds_the_files_right_below_it(bucket: Bucket) -> None:
    for name in ("a b%20é#?.csv", "b.csv", ".hidden.csv", "sub/c.csv", "no.xyz"):
        bucket.put(name, HEAD + f"{name},1\n")
    bucket.store.put(bucket.bucket, "inner/d.csv", (HEAD + "d,1\n").encode())
    bucket.read()
    assert sorted(row[0] for row in bucket.rows) == ["a b%20é#?.csv", "b.csv"]
    assert bucket.source.check() == []


def test_globs_reach_into_folders_and_listings_have_pages(
    tmp_path: Path, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "3")
    bucket = Bucket(tmp_path, store, path=["in/**/*.csv", "*.csv"])  # type: ignore[arg-type]
    names = [f"{folder}{number}.csv" for folder in ("", "x/", "x/y/", ".no/") for number in range(5)]
    for name in names:
        bucket.put(name, HEAD + f"{name},1\n")
    store.put(bucket.bucket, "top.csv", (HEAD + "top,1\n").encode())
    bucket.read()
    assert sorted(row[0] for row in bucket.rows) == sorted([*(name for name in names if ".no" not in name), "top"])


def test_two_versions_of_one_size_in_one_second_are_two(bucket: Bucket) -> None:
    partition = bucket.put("a.csv", HEAD + "1,a\n")
    bucket.read()
    bucket.put("a.csv", HEAD + "1,b\n")
    bucket.read()
    assert bucket.rows == [("1", "a"), ("1", "b")]
    assert bucket.positions == {partition: Position(2, 3)}


def test_the_same_bytes_written_again_are_not_even_asked_for(bucket: Bucket) -> None:
    bucket.put("a.csv", HEAD + "1,a\n")
    bucket.read()
    bucket.store.requests.clear()
    bucket.put("a.csv", HEAD + "1,a\n")
    bucket.read()
    assert (bucket.gets(), bucket.rows) == (0, [("1", "a")])


@pytest.mark.usefixtures("small_ranges")
def test_an_object_replaced_while_it_is_read_is_read_again(bucket: Bucket) -> None:
    """Never are two versions mixed: the old one stops where it was, and the new one retracts what it lacks."""
    partition = bucket.put("a.csv", rows_of("old"))
    bucket.restart()
    assert bucket.commit_one(max_rows=10)
    bucket.put("a.csv", rows_of("new", 19_000))
    until(lambda: bucket.commit_one() is None and bucket.source.reached_end())
    changes = [part for part in bucket.parts if isinstance(part, TableChanges)]
    values = {(int(hi), row["amount"]) for part in changes for hi, row in zip(part.hi, part.rows.to_pylist(), strict=True)}
    assert values == {(1, "old"), (2, "new")}
    assert bucket.positions == {partition: Position(2, 19_002)}
    assert [sweep.below for sweep in bucket.sweeps] == [2]


@pytest.mark.usefixtures("small_ranges")
@pytest.mark.parametrize("on_remove", ["keep", "retract"])
def test_an_object_removed_while_it_is_read(tmp_path: Path, store: ObjectStore, on_remove: str) -> None:
    bucket = Bucket(tmp_path, store, on_remove=on_remove)
    bucket.put("other.csv", HEAD + "x,1\n")
    bucket.read()
    partition = bucket.put("a.csv", rows_of("old"))
    bucket.restart()
    assert bucket.commit_one(max_rows=10)
    bucket.remove("a.csv")
    until(lambda: bucket.commit_one() is None and bucket.source.reached_end())
    if on_remove == "retract":
        until(lambda: bucket.commit_one() is None and bucket.sweeps)
    assert [sweep.partition for sweep in bucket.sweeps] == ([partition] if on_remove == "retract" else [])


@pytest.mark.usefixtures("small_ranges")
def test_a_torn_connection_costs_a_range_and_not_the_object(bucket: Bucket) -> None:
    text = rows_of("a")
    bucket.put("a.csv", text)
    bucket.restart()
    bucket.store.cut = 2
    until(lambda: bucket.commit_one() is None and bucket.source.reached_end())
    assert bucket.rows == [(str(n), "a") for n in range(20_000)]
    assert bucket.gets() <= len(text) // 4096 + 1 + 2


@pytest.mark.usefixtures("small_ranges")
def test_a_store_that_keeps_failing_is_tried_again_and_nothing_comes_twice(bucket: Bucket) -> None:
    bucket.put("a.csv", rows_of("a"))
    bucket.restart()
    assert bucket.commit_one(max_rows=10)
    done = len(bucket.rows)
    bucket.store.refuse = lambda _request: "500 Internal Server Error"
    with pytest.raises(TransientError, match=r"cannot read s3://.*: 500 Internal Server Error Refused by the test"):
        until(lambda: bucket.commit_one(max_rows=5000) is None)
    bucket.store.reset()
    assert 0 < done < 20_000
    bucket.restart()
    until(lambda: bucket.commit_one() is None and bucket.source.reached_end())
    assert [row[0] for row in bucket.rows] == [str(n) for n in range(20_000)]


def test_small_objects_that_wait_are_asked_for_together(bucket: Bucket) -> None:
    """Each answer is held back until four are under way; every object is asked for once."""
    for number in range(40):
        bucket.put(f"{number}.csv", HEAD + f"{number},x\n")
    together = threading.Barrier(4, timeout=10)

    def hold(request: str) -> str:
        if request.endswith(".csv"):
            together.wait()
        return ""

    bucket.store.refuse = hold
    bucket.read(max_rows=7)
    assert sorted(bucket.rows) == sorted((str(number), "x") for number in range(40))
    assert bucket.gets() == 40


def test_an_object_that_is_replaced_after_it_was_asked_for_is_read_again(bucket: Bucket) -> None:
    """It is replaced between the asking and its turn."""
    for name in ("a", "b"):
        bucket.put(f"{name}.csv", HEAD + f"{name},old\n")
    bucket.source.open(Resume())
    until(lambda: bucket.gets() == 2, what="both are asked for")
    bucket.put("b.csv", HEAD + "b,new\n")
    until(lambda: bucket.commit_one(max_rows=1) is None and ("b", "new") in bucket.rows)
    assert bucket.rows == [("a", "old"), ("b", "old"), ("b", "new")]


def test_what_lies_before_an_object_that_cannot_be_read_comes(bucket: Bucket) -> None:
    first = bucket.put("a.csv", HEAD + "1,a\n")
    bucket.put("b.csv", HEAD + "2,b\n")
    bucket.store.refuse = lambda request: "403 Forbidden" if request.endswith("b.csv") else ""
    bucket.source.open(Resume())
    batch = bucket.source.read(10, 0.01)
    assert batch is not None
    assert batch.positions == {first: Position(1, 3)}
    with pytest.raises(SourceHalted, match=r"cannot read s3://.*/in/b.csv: 403 Forbidden"):
        bucket.source.read(10, 0.01)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        ("403 Forbidden", SourceHalted, "give these credentials the right"),
        ("401 Unauthorized", SourceHalted, "set the credentials"),
        ("301 Moved Permanently", SourceHalted, "region"),
        ("429 Too Many Requests", TransientError, "429"),
        ("503 Slow Down", TransientError, "503"),
    ],
)
def test_what_a_person_must_mend_halts_and_what_passes_is_tried_again(
    bucket: Bucket, status: str, kind: type[Exception], words: str
) -> None:
    bucket.store.refuse = lambda _request: status
    with pytest.raises(kind, match=words) as raised:
        bucket.source.open(Resume())
    assert f"cannot list s3://{bucket.bucket}/in" in str(raised.value)
    faults = bucket.source.check()
    assert [fault.where for fault in faults] == ["sources.branch.tables.sales.path"]
    assert all("secret" not in f"{fault} {raised.value}" for fault in faults)


def test_a_bucket_that_is_not_there_halts(bucket: Bucket) -> None:
    bucket.options["path"] = "s3://nowhere-at-all/in"
    source = bucket.make()
    with pytest.raises(SourceHalted, match=r"NoSuchBucket.*make the bucket"):
        source.open(Resume())
    assert [fault.remedy for fault in source.check()] == ["make the bucket, or correct its name or the endpoint"]


def test_a_server_that_is_away_is_tried_again(bucket: Bucket) -> None:
    bucket.more = {"objects": {**bucket.store.settings(), "endpoint": "http://127.0.0.1:1"}}
    with pytest.raises(TransientError, match="cannot list"):
        bucket.make().open(Resume())


def test_a_key_that_no_path_can_name_halts_with_the_remedy(bucket: Bucket) -> None:
    bucket.put("x//y.csv", HEAD)
    bucket.options["path"] = f"s3://{bucket.bucket}/in/**"
    with pytest.raises(SourceHalted, match="empty path segment; rename such objects"):
        bucket.make().open(Resume())


def test_packed_objects_and_objects_read_at_any_place(tmp_path: Path, store: ObjectStore) -> None:
    data = (HEAD + "1,a\n2,b\n").encode()
    bucket = Bucket(tmp_path, store)
    bucket.put("a.csv.zst", bytes(pa.compress(data, codec="zstd", asbytes=True)))
    bucket.read()
    assert bucket.rows == [("1", "a"), ("2", "b")]
    other = Bucket(tmp_path, store, path="in/*.parquet")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"id": ["1"], "amount": ["1.50"]}), sink)
    other.put("a.parquet", sink.getvalue().to_pybytes())
    other.read()
    assert other.rows == [("1", "1.50")]
    assert [path for path in (tmp_path / "state").rglob("*") if path.is_file()] == []


def test_a_dead_letter_is_read_again_with_its_objects_header(bucket: Bucket) -> None:
    bucket.put("a.csv", "amount,id\n5\n6,1\n")
    bucket.read()
    (letter,) = bucket.letters
    assert letter.locator == f"s3://{bucket.bucket}/in/a.csv:2"
    still = bucket.source.reread(letter)
    assert not isinstance(still, TableChanges)
    assert "1 fields" in still.reason


def test_the_time_of_an_object_is_its_last_change(bucket: Bucket) -> None:
    bucket.put("a.csv", HEAD + "1,a\n")
    bucket.read()
    (batch,) = bucket.batches
    assert batch.time is not None
    assert abs((datetime.now(UTC) - batch.time).total_seconds()) < 60


@pytest.mark.parametrize("scheme", ["gs", "az"])
def test_other_stores_are_made_from_their_settings(tmp_path: Path, scheme: str) -> None:
    """No server of theirs is here: what can be seen is that the client is built and asks the endpoint that was named."""
    credentials: dict[str, dict[str, Any]] = {"az": {"account": "shop", "account_key": "a2V5"}, "gs": {"anonymous": True}}
    source = made(tmp_path, f"{scheme}://bucket/in/*.csv", {"endpoint": "http://127.0.0.1:1", **credentials[scheme]})
    with pytest.raises(TransientError, match=f"cannot list {scheme}://bucket/in: .*127.0.0.1:1"):
        source.open(Resume())


def made(root: Path, path: str, objects: dict[str, Any]) -> Any:
    settings = {"kind": "files", "objects": objects, "tables": {"sales": {"path": path}}}
    context = Context("branch", {"sales": schema("id", "amount")}, root, root / "state")
    return create(context, Settings.model_validate(settings))


@pytest.mark.parametrize(
    ("path", "objects", "words"),
    [
        ("s4://bucket/in", {}, "write s3://BUCKET/PATH"),
        ("s3:///in", {}, "is not the URL of a bucket"),
        ("az://container/in", {}, "Account must be specified"),
        ("az://container/in", {"account": "x", "account_key": "not base64!"}, "Invalid Access Key"),
        ("gs://bucket/in", {"service_account": "nowhere.json"}, "service account"),
        ("s3://bucket/in", {"ca": "nowhere.pem"}, "nowhere.pem"),
    ],
)
def test_settings_at_fault_are_named_before_anything_is_asked(
    tmp_path: Path, path: str, objects: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words) as raised:
        made(tmp_path, path, objects)
    assert str(raised.value).startswith("tables.sales.path: ")


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigError, match=r"pip install 'topline\[objects\]'"):
        made(tmp_path, "s3://bucket/in", {})


def test_plain_http_only_where_the_endpoint_says_so(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", bucket.store.url)
    with pytest.raises(SourceHalted, match="http:// is allowed only where"):
        made(tmp_path, f"s3://{bucket.bucket}/in", {"anonymous": True}).open(Resume())
