"""A path followed through the schema instead of an answer: what it cannot find is known before anything is asked."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from topline.sources.soap.shapes import Shape

_MOST_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a path stands. `shape`: of an element there, None where the schema does not say; `many`: it is a list of such."""

    shape: Shape | None
    many: bool = False


_UNKNOWN = Spot(None)


def walk(node: Mapping[str, Any], spot: Spot, faults: list[str]) -> Spot:
    """Where the path with this syntax tree leads from `spot`; what cannot be is added to `faults`."""
    step = _STEPS.get(node["type"])
    return step(node, spot, faults) if step else _UNKNOWN


def _field(node: Mapping[str, Any], spot: Spot, faults: list[str]) -> Spot:
    name, shape = str(node["value"]), spot.shape
    if shape is None:
        return _UNKNOWN
    if spot.many:
        faults.append(f"{name} is looked up where elements repeat: write [] behind the name before it")
        return _UNKNOWN
    if name in shape.known:
        child = shape.child(name)
        if child.array_of is not None:
            return Spot(child.array_of, many=True)
        return Spot(child, many=shape.known[name].repeats)
    if shape.is_text:
        faults.append(f"{name} is looked up in plain text")
    elif shape.children is not None and not _is_special(name, shape):
        faults.append(f"there is no {name}; there are {_names(shape)}")
    return _UNKNOWN


def _is_special(name: str, shape: Shape) -> bool:
    """Attributes and text: `@name`, `name@attribute`, `#text`."""
    return name == "#text" or (name.startswith("@") and name[1:] in shape.attributes) or "@" in name[1:]


def _names(shape: Shape) -> str:
    names = [*shape.known, *(f'"@{name}"' for name in shape.attributes)]
    more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
    return (", ".join(names[:_MOST_SHOWN]) or "no elements") + more


def _chain(node: Mapping[str, Any], spot: Spot, faults: list[str]) -> Spot:
    for child in node["children"]:
        spot = walk(child, spot, faults)
    return spot


def _projection(node: Mapping[str, Any], spot: Spot, faults: list[str]) -> Spot:
    left, right, *condition = node["children"]
    item = Spot(walk(left, spot, faults).shape)
    for one in condition:
        walk(one, item, faults)
    return Spot(walk(right, item, faults).shape, many=True)


def _flatten(node: Mapping[str, Any], spot: Spot, faults: list[str]) -> Spot:
    return Spot(walk(node["children"][0], spot, faults).shape, many=True)


def _index(_node: Mapping[str, Any], spot: Spot, _faults: list[str]) -> Spot:
    return Spot(spot.shape)


def _itself(_node: Mapping[str, Any], spot: Spot, _faults: list[str]) -> Spot:
    return spot


def _both(node: Mapping[str, Any], spot: Spot, faults: list[str]) -> Spot:
    """Of `a || b` and `a == b`, both sides are looked at; where it leads is not known."""
    for child in node["children"]:
        walk(child, spot, faults)
    return _UNKNOWN


_STEPS: Mapping[str, Callable[[Mapping[str, Any], Spot, list[str]], Spot]] = {
    "field": _field,
    "subexpression": _chain,
    "index_expression": _chain,
    "pipe": _chain,
    "projection": _projection,
    "filter_projection": _projection,
    "flatten": _flatten,
    "index": _index,
    "slice": _itself,
    "identity": _itself,
    "current": _itself,
    "comparator": _both,
    "or_expression": _both,
    "and_expression": _both,
    "not_expression": _both,
}
