"""Makes docs/configuration.md from the settings as they are declared: `python -m topline.cli.reference`."""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from topline.cluster.flink.settings import FlinkSettings
from topline.cluster.spark.settings import SparkSettings
from topline.config import Config
from topline.kafka.settings import KafkaSettings
from topline.sources.registry import KINDS, settings_of

HEAD = """# Configuration

`topline.yml` stands in the project's folder. Made from the declarations in the code by `python -m topline.cli.reference`;
a test says when it is stale.

What wins, first to last: a flag (`--set engine.batch_rows=1000`), the environment (`TOPLINE_ENGINE__BATCH_ROWS=1000`; two
underscores stand for a dot), `.env` beside `topline.yml`, `topline.yml`, the default. A variable that begins with `TOPLINE_`
and names no setting is an error.

A secret is never written here, only where it is: `${env:NAME}` (environment or `.env`) or `${file:/path}` (relative to the
project's folder). A password in plain text is refused. Inside a DSN the secret may hold any character, as it is, not
encoded: `postgresql://topline:${env:PASSWORD}@db.example.org/rankings`. A whole DSN may come from the environment, with its
password: `TOPLINE_RESULTS__DSN`, or `dsn: ${env:SHOP_DSN}`.
"""

SECTIONS: dict[str, tuple[type[BaseModel], str]] = {
    "kafka": (KafkaSettings, "kafka.md"),
    "flink": (FlinkSettings, "flink.md"),
    "spark": (SparkSettings, "spark.md"),
}
"""Parts of the frame that packages of their own declare, and their pages."""
_MODULES = re.compile(r"\b(?:[a-z_]+\.)+(?=[A-Z])")


def reference() -> str:
    """The whole page, Markdown."""
    parts = [HEAD, "## The frame\n", _rows(Config, "")]
    for name, (settings, page) in SECTIONS.items():
        parts += [f"## `{name}`\n", f"Below `{name}`; see [{name}]({page}).\n", _rows(settings, "")]
    for kind in sorted(KINDS):
        parts += [
            f"## `kind: {kind}`\n",
            f"Below `sources.NAME`; see [{kind}](sources/{kind}.md).\n",
            _rows(settings_of(kind), ""),
        ]
    return "\n".join(parts)


def _rows(settings: type[BaseModel], prefix: str) -> str:
    lines = ["| name | type | default | what it is |", "| --- | --- | --- | --- |", *_fields(settings, prefix)]
    return "\n".join(lines) + "\n"


def _fields(settings: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        nested = _nested(field.annotation)
        cells = (f"`{path}`", _type(field), _default(field, nested), field.description or "")
        yield "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
        if nested is not None:
            yield from _fields(nested[0], path + nested[1])


def _nested(annotation: Any) -> tuple[type[BaseModel], str] | None:
    """The settings class inside an annotation, and how its names are reached; None for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, "."
    named = get_origin(annotation) is dict
    for argument in get_args(annotation):
        found = _nested(argument)
        if found is not None:
            return found[0], ".NAME" + found[1] if named else found[1]
    return None


def _type(field: FieldInfo) -> str:
    text = field.annotation.__name__ if isinstance(field.annotation, type) else str(field.annotation)
    return f"`{_MODULES.sub('', text).replace('NoneType', 'None')}`"


def _default(field: FieldInfo, nested: object) -> str:
    if field.is_required():
        return "required"
    if nested is not None or field.default is PydanticUndefined:
        return ""
    return f"`{json.dumps(field.default, default=str)}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
