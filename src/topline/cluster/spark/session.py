"""The door to Spark: the one module that imports it, a session as the models need it, and what its errors mean here."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from topline.cluster.spark.settings import SparkSettings
from topline.errors import ConfigError, ToplineError, TransientError, WorkError

try:
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException
    from pyspark.sql import Column, DataFrame, SparkSession
    from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
    from pyspark.sql.functions import arrow_udf
    from pyspark.storagelevel import StorageLevel
except ImportError:
    raise ConfigError("Spark needs its library: pip install 'topline[spark]'") from None

__all__ = ["Column", "DataFrame", "F", "SparkSession", "StorageLevel", "arrow_udf", "session", "translated"]

_SEMANTICS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",  # an overflow is an error, never another number
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.caseSensitive": "false",
    "spark.sql.session.collation.enabled": "false",
    "spark.sql.redaction.options.regex": "(?i)url|jaas|ssl|password",
}
"""What the models' SQL means rests on these: nothing overrides them."""
_TUNED = {"spark.sql.codegen.wholeStage": "false"}
"""Staging's macros are more code than one method of the JVM holds: it was compiled in vain first, for seconds."""
_LOCAL = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1", "spark.ui.enabled": "false"}
_QUIET = {"spark.log.level": "ERROR", "spark.ui.showConsoleProgress": "false"}
_NO_JAVA = "JAVA_GATEWAY_EXITED"
_SUBMITTED = "PYSPARK_GATEWAY_PORT"  # set by spark-submit for its driver


@contextmanager
def session(settings: SparkSettings, root: Path, name: str) -> Iterator[SparkSession]:
    """A session of its own, stopped at the end. ConfigError where there is no Java, or no jar."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(name)
    for option, value in _options(settings, root).items():
        builder = builder.config(option, value)
    with translated("start Spark"):
        spark = builder.getOrCreate()
    try:
        yield spark
    finally:
        spark.stop()


def _options(settings: SparkSettings, root: Path) -> Mapping[str, str]:
    """Under spark-submit what concerns the cluster is its own affair: its flags are not overridden."""
    found = {} if _SUBMITTED in os.environ else dict(_of_the_cluster(settings, root))
    conf = {option: _written(value) for option, value in settings.conf.items()}
    return {**found, **_TUNED, "spark.sql.shuffle.partitions": str(settings.shuffle_partitions), **conf, **_SEMANTICS}


def _of_the_cluster(settings: SparkSettings, root: Path) -> Iterator[tuple[str, str]]:
    yield "spark.master", settings.master
    yield "spark.driver.memory", settings.driver_memory
    yield from _QUIET.items()
    if settings.master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        yield from _LOCAL.items()
    if settings.jars is None:
        yield "spark.jars.packages", ",".join(settings.packages)
    else:
        yield "spark.jars", ",".join(_jars(root / settings.jars))


def _jars(folder: Path) -> list[str]:
    found = sorted(map(str, folder.glob("*.jar")))
    if not found:
        raise ConfigError(
            f"spark.jars: no jar lies in {folder}; name the folder with Spark's Kafka connector and what it needs, or leave "
            "`jars` out: then `packages` are fetched"
        )
    return found


def _written(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Errors of Spark in our words: what one of our own functions raised on an executor as itself, else WorkError."""
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        raise _failure(str(error), doing) from error


def _failure(text: str, doing: str) -> ToplineError:
    if _NO_JAVA in text:
        return ConfigError("Spark needs Java 17 or 21, and its start failed: install one, or name it in JAVA_HOME")
    ours = [line for line in text.splitlines() if line.startswith("topline.errors.")]
    if ours:
        kind, _, said = ours[-1].removeprefix("topline.errors.").partition(": ")
        return TransientError(said) if kind == "TransientError" else WorkError(said)
    return WorkError(f"Spark cannot {doing}: {_first(text)}")


def _first(text: str) -> str:
    """The cause, else what Spark says first: its messages go on with plans and traces of the stack."""
    lines = [line.strip().removeprefix(": ") for line in text.splitlines() if line.strip()]
    caused = [line.partition("Exception: ")[2] for line in lines if line.startswith("Caused by: ") and "Exception: " in line]
    said = [line for line in lines if not line.startswith(("An error occurred while calling", "at "))]
    return (caused[-1:] or said[:1] or ["it does not say why"])[0][:500]
