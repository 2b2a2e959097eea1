"""An object that does not come within the time of one answer is read in smaller parts, to its end."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.object_store import ObjectStore
from tests.servers.proxy import Network, Proxy, address
from topline.sources.files.stores import StoredObject, Stores
from topline.sources.files.storesettings import ObjectStores

DATA = bytes(range(256)) * 12_000  # 3 MB
SLOW = Network(delay=0.005, piece=1_000)  # at most 200 kB/s, so 15 s for all of it; one answer may take 6 s


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    store = ObjectStore()
    store.client.create_bucket(Bucket="slow")
    store.put("slow", "large", DATA)
    made = Proxy(address(store.url))
    yield made
    made.close()
    store.close()


@pytest.mark.long
def test_a_large_object_comes_through_a_slow_network(proxy: Proxy, tmp_path: Path) -> None:
    endpoint = f"http://127.0.0.1:{proxy.port}"
    settings = ObjectStores.model_validate({"endpoint": endpoint, "access_key": "id", "secret_key": "secret", "silence": 1})
    stores = Stores(settings, tmp_path)
    bucket, key = stores.bucket("s3://slow/large")
    opened = StoredObject(bucket, key).open()
    proxy.network = SLOW
    assert b"".join(iter(lambda: opened.read(1 << 20), b"")) == DATA
    stores.close()
