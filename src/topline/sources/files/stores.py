"""Files in object stores (S3, Google Cloud Storage, Azure), by obstore. An object is never half written: it need not settle.

An object's version is its e_tag. It is read in ranges, each on the condition that the e_tag is still the same, so that a
broken connection costs one range, and two versions are never mixed.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from topline.errors import ConfigError, SourceHalted, TransientError
from topline.sources.base import Fault
from topline.sources.files.ahead import SMALL, Ahead
from topline.sources.files.content import Opened, OtherVersion, Place, Stat
from topline.sources.files.found import Found
from topline.sources.files.patterns import Pattern
from topline.sources.files.settings import FileTable
from topline.sources.files.storesettings import SCHEMES, ObjectStores

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult, ObjectMeta
    from obstore.store import AzureStore, GCSStore, S3Store

    Client = AzureStore | GCSStore | S3Store

_RANGE = 8 << 20  # bytes asked for at once, and held
_LEAST = 64 << 10  # where more does not come in time
_TRIES = 3
_WHOLE = 6  # so many times longer may a whole answer take than silence
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_URL = re.compile(r"([a-z0-9]+)://([^/]*)/?(.*)", re.DOTALL)
_STATUS = re.compile(r"status code: (\d{3}[^:<\n]*)")
_CODE = re.compile(r"<Code>([^<]*)</Code>(?:\s*<Message>([^<]*)</Message>)?")
_AGAIN = (408, 425, 429)  # of the 4xx those that another try may heal
_REMEDIES = {
    401: "set the credentials below `objects`, or in the environment",
    403: "give these credentials the right to list the bucket and to read its objects",
    404: "make the bucket, or correct its name or the endpoint",
    301: "set `objects.region` to the bucket's region",
    400: "set `objects.region` and the credentials as the store says",
}


def is_url(path: str) -> bool:
    return "://" in path


class Stores:
    """The clients, one a bucket, made when first asked for."""

    def __init__(self, settings: ObjectStores, root: Path) -> None:
        self._settings, self._root = settings, root
        self._clients: dict[str, Client] = {}
        self._ahead = Ahead()

    def close(self) -> None:
        self._ahead.close()

    def bucket(self, url: str) -> tuple["Bucket", str]:
        """The bucket that a URL names, and the key in it. ConfigError where the settings are at fault."""
        match = _URL.fullmatch(url)
        if match is None or match[1] not in SCHEMES or not match[2]:
            raise ConfigError(
                f"{url!r} is not the URL of a bucket; write s3://BUCKET/PATH, gs://BUCKET/PATH or az://CONTAINER/PATH"
            )
        name = f"{match[1]}://{match[2]}"
        if name not in self._clients:
            self._clients[name] = self._client(match[1], match[2])
        return Bucket(name, self._clients[name], self._ahead), match[3]

    def listing(self, table: str, url: str, settings: FileTable) -> "ObjectListing":
        bucket, path = self.bucket(url)
        return ObjectListing(table, bucket, Pattern.of(path, settings, folder=path.endswith("/") or None))

    def _client(self, scheme: str, bucket: str) -> "Client":
        try:
            from obstore import exceptions, store
        except ImportError:
            raise ConfigError(
                f"{scheme}:// needs the library obstore, which is not installed: pip install 'topline[objects]'"
            ) from None
        kind: Any = {"s3": store.S3Store, "gs": store.GCSStore, "az": store.AzureStore}[scheme]
        try:
            return kind(bucket, config=self._config(scheme), client_options=self._options(), retry_config=self._retries())  # type: ignore[no-any-return]
        except (exceptions.BaseError, ValueError, OSError) as error:
            raise ConfigError(f"objects: {scheme}://{bucket} cannot be used: {_first_line(error)}") from None

    def _config(self, scheme: str) -> dict[str, Any]:
        s = self._settings
        known: dict[str, dict[str, Any]] = {
            "s3": {
                "endpoint": s.endpoint,
                "region": s.region,
                "access_key_id": s.access_key,
                "secret_access_key": s.secret_key,
                "session_token": s.session_token,
            },
            "gs": {"base_url": s.endpoint, "service_account": s.service_account and str(self._root / s.service_account)},
            "az": {"endpoint": s.endpoint, "account_name": s.account, "account_key": s.account_key},
        }
        config = {name: _plain(value) for name, value in known[scheme].items() if value is not None}
        return config | ({"skip_signature": True} if s.anonymous else {})

    def _retries(self) -> Any:
        """The library's own, for requests that are refused or break; what is too slow is up to us."""
        return {
            "max_retries": _TRIES,
            "retry_timeout": timedelta(seconds=_WHOLE * self._settings.silence),
            "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
        }

    def _options(self) -> dict[str, Any]:
        s = self._settings
        limits = {"connect_timeout": 5, "read_timeout": s.silence, "timeout": _WHOLE * s.silence}
        options: dict[str, Any] = {name: f"{round(1000 * seconds)}ms" for name, seconds in limits.items()}
        if s.endpoint is not None and s.endpoint.startswith("http://"):
            options["allow_http"] = True
        if s.ca is not None:
            options["root_certificate"] = (self._root / s.ca).read_bytes()
        return options


def _plain(value: Any) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else value


@dataclass(frozen=True, slots=True)
class Bucket:
    """`name` is its URL. What goes wrong comes as TransientError or SourceHalted."""

    name: str
    client: "Client"
    ahead: Ahead

    def listed(self, prefix: str, deep: bool) -> Iterator["ObjectMeta"]:
        """What lies below a prefix (whole parts of a key), or with it right below."""
        with self.asking(f"list {self.name}/{prefix}"):
            if not deep:
                yield from self.client.list_with_delimiter(prefix or None)["objects"]
                return
            for page in self.client.list(prefix or None):
                yield from page

    def head(self, key: str) -> "ObjectMeta":
        """FileNotFoundError where there is none."""
        with self.asking(f"look at {self.name}/{key}"):
            return self.client.head(key)

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        from obstore import exceptions

        try:
            yield
        except FileNotFoundError:
            raise
        except exceptions.InvalidPathError as error:
            text = f"cannot {what}: {_first_line(error)}; rename such objects, or name a path that does not hold them"
            raise SourceHalted(text) from None
        except exceptions.BaseError as error:
            raise _judged(what, str(error)) from None


def _judged(what: str, text: str) -> TransientError | SourceHalted:
    """By the status that the store answered with; without one, the network is at fault."""
    match = _STATUS.search(text)
    status = int(match[1][:3]) if match else 0
    code = _CODE.search(text)
    why = " ".join(part for part in (match[1].strip() if match else "", *(code.groups("") if code else ())) if part)
    why = why or _first_line(text)
    if 300 <= status < 500 and status not in _AGAIN:
        return SourceHalted(f"cannot {what}: {why}; {_REMEDIES.get(status, 'see what the store says')}")
    if "incorrectly configured region" in text:
        return SourceHalted(f"cannot {what}: {why}; {_REMEDIES[301]}")
    if "builder error" in text:
        return SourceHalted(f"cannot {what}: {why}; http:// is allowed only where `objects.endpoint` says it")
    return TransientError(f"cannot {what}: {why}")


def _first_line(error: object) -> str:
    """Without the query of a URL, which may be signed."""
    return re.sub(r"\?\S*", "", str(error).strip().split("\n")[0])


@dataclass(frozen=True, slots=True)
class StoredObject:
    """`stat`: the version that is meant; None for the one that is there."""

    bucket: Bucket
    key: str
    stat: Stat | None = None

    @property
    def shown(self) -> str:
        return f"{self.bucket.name}/{self.key}"

    @property
    def local(self) -> Path | None:
        return None

    def open(self) -> Opened:
        return _OpenObject(self.bucket, self.key, self.stat or _stat(self.bucket.head(self.key)))

    def prepare(self) -> None:
        if self.stat is not None and 0 < self.stat.size <= SMALL:
            again = _OpenObject(self.bucket, self.key, self.stat)
            self.bucket.ahead.ask((self.shown, self.stat.e_tag), again.fetch)


class _OpenObject:
    def __init__(self, bucket: Bucket, key: str, stat: Stat) -> None:
        self._bucket, self._key, self.stat = bucket, key, stat
        self._shown = f"{bucket.name}/{key}"
        self._begin = 0  # of what is held
        self._held = memoryview(b"")
        self._place = 0  # within it
        self._at_once = _RANGE

    def read(self, size: int) -> bytes:
        if self._place == len(self._held):
            self._begin, self._place = self._begin + len(self._held), 0
            self._held = memoryview(b"")
            if self._begin < self.stat.size:
                early = self._bucket.ahead.take((self._shown, self.stat.e_tag)) if not self._begin else None
                self._held = memoryview(early or self.fetch())
        piece = bytes(self._held[self._place : self._place + size])
        self._place += len(piece)
        return piece

    def fetch(self) -> bytes:
        """The next range. A connection that breaks amid an answer, or is too slow for it, costs that answer only: less is asked
        for, again."""
        shown = self._shown
        with self._bucket.asking(f"read {shown}"):
            for tries_left in reversed(range(_TRIES)):
                wanted = min(self._at_once, self.stat.size - self._begin)
                result = self._get(wanted)
                if result is None or _stat(result.meta) != self.stat:
                    raise OtherVersion(shown)
                data = _body(result, last=not tries_left)
                if len(data) == wanted:
                    return data
                self._at_once = max(_LEAST, self._at_once // 8)
        raise TransientError(f"cannot read {shown}: {len(data)} bytes came of {wanted}")

    def _get(self, wanted: int) -> "GetResult | None":
        """None where the object is gone or another; an e_tag that is weak is no condition."""
        from obstore import exceptions

        options: GetOptions = {"range": (self._begin, self._begin + wanted)}
        if not self.stat.e_tag.startswith("W/"):
            options["if_match"] = self.stat.e_tag
        try:
            return self._bucket.client.get(self._key, options=options)
        except (FileNotFoundError, exceptions.PreconditionError):
            return None

    def changed(self) -> bool:
        """`read` would have said it."""
        return False

    def close(self) -> None:
        self._held = memoryview(b"")


def _body(result: "GetResult", *, last: bool) -> bytes:
    """b"" where the connection broke, and there is another try."""
    from obstore import exceptions

    try:
        return bytes(result.bytes())
    except exceptions.BaseError:
        if last:
            raise
        return b""


def _stat(meta: "ObjectMeta") -> Stat:
    mtime_ns = (meta["last_modified"] - _EPOCH) // timedelta(microseconds=1) * 1000
    return Stat(meta["size"], mtime_ns, e_tag=meta["e_tag"] or f"W/{mtime_ns}")


class ObjectListing:
    """The objects of one table below one prefix of a bucket."""

    def __init__(self, table: str, bucket: Bucket, pattern: Pattern) -> None:
        self._table, self._bucket, self._pattern = table, bucket, pattern
        self._prefix = "" if pattern.base == "." else pattern.base
        self._known: dict[str, Found] = {}  # by key, as of the last look

    def files(self) -> Iterator[tuple[Found, bool]]:
        before, self._known = self._known, {}
        skip = len(self._prefix) + 1 if self._prefix else 0
        for meta in self._bucket.listed(self._prefix, self._pattern.deep):
            key = meta["path"]
            stat, found = _stat(meta), before.get(key)
            if found is None or found.stat != stat:
                if not self._pattern.means(key[skip:]):
                    continue
                place = StoredObject(self._bucket, key, stat)
                found = Found(self._table, place, place.shown, stat)
            self._known[key] = found
            yield found, True

    def faults(self, where: str) -> list[Fault]:
        try:
            next(self._bucket.listed(self._prefix, deep=True), None)
        except (TransientError, SourceHalted) as error:
            problem, _, remedy = str(error).rpartition("; ") if isinstance(error, SourceHalted) else (str(error), "", "")
            return [Fault(where, problem, remedy or "check the network, the endpoint and the credentials")]
        return []


def place_of(name: str, stores: Stores) -> Place:
    """The object of a name as `Found` has it."""
    bucket, key = stores.bucket(name)
    return StoredObject(bucket, key)


def faults_of(paths: Mapping[str, Iterable[str]], stores: Stores) -> list[str]:
    """Why a table's URLs cannot be used, a line each."""
    faults = []
    for table, urls in paths.items():
        for url in filter(is_url, urls):
            try:
                stores.bucket(url)
            except ConfigError as error:
                faults.append(f"tables.{table}.path: {error}")
    return faults
