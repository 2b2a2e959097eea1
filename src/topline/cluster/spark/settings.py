"""What topline.yml may say below `spark`: where the batch runs, and with what. Under spark-submit its flags say that."""

from pydantic import Field

from topline.config import Project, Settings
from topline.errors import ConfigError
from topline.section import Section

CONNECTOR = "org.apache.spark:spark-sql-kafka-0-10_2.13:4.1.3"


class SparkSettings(Settings):
    master: str = Field(
        "local[*]", description="Where it runs: `local[*]` (this machine), `spark://host:7077`, `yarn`, `k8s://..`."
    )
    jars: str | None = Field(
        None, description="Folder with the jars of Spark's Kafka connector, relative to the project, in place of `packages`."
    )
    packages: list[str] = Field([CONNECTOR], description="Spark's Kafka connector by Maven coordinates, fetched at the start.")
    driver_memory: str = Field("2g", pattern=r"^\d+[kmgt]$", description="Memory of the driver's JVM; with `local` of all.")
    shuffle_partitions: int = Field(16, ge=1, le=100_000, description="Parts into which rows are spread by key.")
    conf: dict[str, str | int | bool] = Field(default_factory=dict, description="Other settings, by Spark's names.")


def spark_settings(project: Project) -> SparkSettings:
    """The project's. ConfigError, a fault a line."""
    section = Section(project, "spark", project.config.spark)
    settings = section.settings(SparkSettings)
    if settings is None or section.faults:
        raise ConfigError("\n".join(section.faults))
    return settings
