"""Apicurio Registry, which answers as Confluent's does; its schemas lie in PostgreSQL."""

import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict

from tests.cluster.process import Process, Server, java


@dataclass
class Registry:
    """`home`: where its distribution lies; `dsn` gives the database of its own, once its server runs."""

    home: Path
    folder: Path
    port: int
    dsn: Callable[[], str]

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {
            "QUARKUS_HTTP_HOST": "127.0.0.1",
            "QUARKUS_HTTP_PORT": str(self.port),
            "QUARKUS_MANAGEMENT_HOST": "127.0.0.1",
            "QUARKUS_MANAGEMENT_PORT": "0",
            "APICURIO_STORAGE_KIND": "sql",
            "APICURIO_STORAGE_SQL_KIND": "postgresql",
        }
        command = [java(21), "-Xmx384m", "-XX:+UseSerialGC", "-jar", str(self.home / "quarkus-run.jar")]
        server = Server("registry", command, [self.port], self._healthy, environment, secrets=self._database)
        self.process = Process(server, self.folder)

    @property
    def url(self) -> str:
        """Its Confluent API."""
        return f"http://127.0.0.1:{self.port}/apis/ccompat/v7"

    def _database(self) -> dict[str, str]:
        found = conninfo_to_dict(self.dsn())
        return {
            "APICURIO_DATASOURCE_URL": f"jdbc:postgresql://{found['host']}:{found['port']}/{found['dbname']}",
            "APICURIO_DATASOURCE_USERNAME": str(found["user"]),
            "APICURIO_DATASOURCE_PASSWORD": str(found["password"]),
        }

    def _healthy(self) -> bool:
        with urllib.request.urlopen(f"{self.url}/subjects", timeout=2) as answer:
            return bool(answer.status == 200)
