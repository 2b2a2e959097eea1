"""The embedded PostgreSQL as a server of the stack: it outlives the command that started it."""

from collections.abc import Sequence
from pathlib import Path

from tests.cluster.process import listens, require_free
from topline.embedded import EmbeddedPostgres


class Postgres:
    """In `folder`/postgres. Who starts it never lets go of it, so it runs until `stop`."""

    name = "postgres"

    def __init__(self, folder: Path, port: int = 0) -> None:
        """`port`: where it is to be, which who only ends it need not know."""
        self._folder, self._port = folder, port
        self._server = EmbeddedPostgres(folder)

    @property
    def ports(self) -> Sequence[int]:
        return [self._port]

    @property
    def pid(self) -> int | None:
        return self._server.pid()

    @property
    def healthy(self) -> bool:
        return self.pid is not None and listens(self._port)

    @property
    def log(self) -> Path:
        return self._server.place / "server.log"

    @property
    def password(self) -> Path:
        """The file that holds it."""
        return self._folder / "postgres" / "password"

    def begin(self) -> None:
        require_free(self._port, self.name)
        home = self._folder / "postgres"
        home.mkdir(parents=True, exist_ok=True)
        (home / "port").write_text(str(self._port))
        self._server.start()

    def await_ready(self) -> None:
        """It is, once it has begun."""

    def dsn(self, database: str) -> str:
        return self._server.dsn(database)

    def stop(self) -> None:
        if self.pid is not None:
            self._server.start()  # as its user, who may be its last
            self._server.stop()
