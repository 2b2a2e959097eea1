"""Whether the results are whole and go on: for /readyz."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Readiness:
    """heartbeat_age: seconds since the engine spoke, None if it never did. sources: (name, state, last error).

    halted: model -> why it stands still; held: table -> why its changes are kept and not folded.
    """

    epoch: int
    unpublished: tuple[str, ...]
    heartbeat_age: float | None
    sources: tuple[tuple[str, str, str], ...]
    halted: Mapping[str, str]
    held: Mapping[str, str]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Readiness":
        details = row["details"] or {}
        return cls(
            row["newest"] or 0,
            tuple(row["unpublished"]),
            row["heartbeat_age"],
            tuple(map(tuple, row["sources"])),
            details.get("halted_models", {}),
            details.get("held_tables", {}),
        )


READINESS = """
SELECT (SELECT epoch FROM {writer}) AS newest,
       (SELECT coalesce(array_agg(model ORDER BY model), '{{}}') FROM {models} WHERE epoch = 0 AND NOT retired) AS unpublished,
       (SELECT extract(epoch FROM clock_timestamp() - heartbeat)::float8 FROM {engine}) AS heartbeat_age,
       (SELECT details FROM {engine}) AS details,
       (SELECT coalesce(json_agg(json_build_array(source, state, last_error) ORDER BY source), '[]')
        FROM {source_status}) AS sources
"""
