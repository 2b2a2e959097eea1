"""Which cities a question is about: those that somebody may see, and those that he asks for."""

from dataclasses import dataclass
from typing import Any

from psycopg import sql

Place = tuple[str, str | None, str | None]
"""(country, region or None: all of it, city or None: all of it)."""
Places = frozenset[Place]
CITY = ("country", "region", "city")


@dataclass(frozen=True, slots=True)
class Condition:
    """SQL over columns country, region and city, and the values that it takes."""

    text: sql.Composable
    values: dict[str, Any]


def within(places: Places | None, **asked: str | None) -> Condition:
    """A row lies in one of `places` (None: anywhere) and has what is asked for by column (None: whatever)."""
    wanted = {name: value for name, value in asked.items() if value is not None}
    texts: list[sql.Composable] = [sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder(name)) for name in wanted]
    values: dict[str, Any] = dict(wanted)
    if places is not None:
        texts.append(sql.SQL(_SEEN))
        sorted_places = sorted(places, key=lambda place: tuple((part is not None, part or "") for part in place))
        values |= {f"_{name}": [place[n] for place in sorted_places] for n, name in enumerate(CITY)}
    return Condition(sql.SQL(" AND ").join(texts) if texts else sql.SQL("true"), values)


_SEEN = """EXISTS (
    SELECT FROM unnest(%(_country)s::text[], %(_region)s::text[], %(_city)s::text[]) AS seen (a, b, c)
    WHERE seen.a = country AND (seen.b IS NULL OR seen.b = region) AND (seen.c IS NULL OR seen.c = city)
)"""
