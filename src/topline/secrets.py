"""Secrets among a source's settings: which settings hold one, and those that were written down as they are."""

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, SecretStr


def secret_names(settings: type[BaseModel]) -> frozenset[str]:
    """The names of all settings, at any depth, whose values nobody may be shown."""
    return frozenset(_names(settings))


def plain_secrets(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """(place, secret) of every secret in validated settings that is no reference (`${env:NAME}`, `${file:/path}`)."""
    if isinstance(value, SecretStr):
        text = value.get_secret_value()
        if text and "${env:" not in text and "${file:" not in text:
            yield place, text
    elif isinstance(value, BaseModel):
        for name, field in type(value).model_fields.items():
            yield from plain_secrets(getattr(value, name), _below(place, field.alias or name))
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from plain_secrets(inner, _below(place, str(name)))


def _below(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _names(settings: type[BaseModel]) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        for kind in _classes(field.annotation):
            if issubclass(kind, SecretStr):
                yield field.alias or name
            elif issubclass(kind, BaseModel):
                yield from _names(kind)


def _classes(annotation: Any) -> Iterator[type]:
    """The classes that an annotation is made of: of `dict[str, Table] | None` str, Table and NoneType."""
    if isinstance(annotation, type) and not get_args(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from _classes(argument)
