"""What topline.yml may say below `flink`: where the cluster is, and how the job runs."""

from typing import Literal

from pydantic import Field

from topline.config import Project, Settings
from topline.errors import ConfigError
from topline.kafka.settings import Login, Tls
from topline.section import Section, where


class Server(Settings):
    url: str = Field(description="Its REST API, such as `http://flink:8083` (the gateway), `http://flink:8081` (the cluster).")
    login: Login | None = Field(None, description="User and password, by HTTP basic authentication.")
    tls: Tls = Field(default_factory=lambda: Tls(), description="Certificates. They are always verified.")


class MiniBatch(Settings):
    latency: float = Field(
        0.5, ge=0, le=60, description="Seconds for which changes wait, to be folded together; 0: each goes through by itself."
    )
    rows: int = Field(20_000, ge=1, description="Changes that wait at most.")


class FlinkSettings(Settings):
    gateway: Server = Field(description="The SQL Gateway, which takes the job.")
    cluster: Server = Field(description="The JobManager, which tells how the job stands.")
    parallelism: int = Field(1, ge=1, le=10_000, description="Parts in which the job runs side by side.")
    state: Literal["hashmap", "rocksdb"] = Field(
        "hashmap",
        description="Where the job's state lies: in memory, or in RocksDB on local disks (larger than memory, slower).",
    )
    checkpoint_interval: float = Field(10, gt=0, le=3600, description="Seconds between checkpoints.")
    mini_batch: MiniBatch = Field(default_factory=lambda: MiniBatch(), description="Changes folded together.")
    jars: list[str] = Field(
        default_factory=list,
        description="Jars that the gateway adds to the job, as it finds them, beside the cluster's class path.",
    )
    options: dict[str, str] = Field(default_factory=dict, description="Other options of Flink, by its names; they win.")
    timeout: float = Field(300, gt=0, le=3600, description="Seconds for which gateway and cluster may say nothing.")


def flink_settings(project: Project) -> FlinkSettings:
    """The project's. ConfigError, a fault a line, also where there are none."""
    raw = project.config.flink
    if not raw:
        raise ConfigError(
            f"{where(project, '')}: flink: the project has no Flink; write `flink:` with its `gateway.url` and `cluster.url`"
        )
    section = Section(project, "flink", raw)
    settings = section.settings(FlinkSettings)
    if settings is None or section.faults:
        raise ConfigError("\n".join(section.faults))
    return settings
