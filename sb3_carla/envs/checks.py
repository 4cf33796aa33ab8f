"""Checks of configuration records: unknown names and values that cannot be are refused in two sentences."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from sb3_carla.envs.errors import ConfigurationError, did_you_mean

Record = TypeVar("Record")


def require_number(name: str, value: object, minimum: float, maximum: float = float("inf")) -> None:
    """Refuse what is no number of the range; NaN and bool are none.

    :raises ConfigurationError: naming the value
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not minimum <= value <= maximum:
        raise ConfigurationError(
            f"{name}={value!r} is not a number from {minimum:g} to {maximum:g}. Give such a number."
        )


def require_integer(name: str, value: object, minimum: int) -> None:
    """Refuse what is no integer of at least ``minimum``.

    :raises ConfigurationError: naming the value
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise ConfigurationError(f"{name}={value!r} is not an integer of at least {minimum}. Give such a number.")


def require_bool(name: str, value: object) -> None:
    """Refuse what is neither True nor False.

    :raises ConfigurationError: naming the value
    """
    if not isinstance(value, bool):
        raise ConfigurationError(f"{name}={value!r} is neither True nor False. Give one of them.")


def require_choice(name: str, value: object, known: Iterable[str]) -> None:
    """Refuse what is none of the known names.

    :raises ConfigurationError: naming the value and the nearest known one
    """
    names = list(known)
    if value not in names:
        raise ConfigurationError(f"{name}={value!r} is not known. {did_you_mean(str(value), names)}")


def replaced(record: Record, changes: Mapping[str, Any], kind: str) -> Record:
    """The same record with single fields replaced.

    :param record: a frozen dataclass; a field called ``name`` stays as it is
    :param changes: field names and values
    :param kind: what a field is called in an error
    :raises ConfigurationError: for a name that is no field
    """
    known = [item.name for item in dataclasses.fields(record) if item.name != "name"]  # type: ignore[arg-type]
    for key in changes:
        if key not in known:
            raise ConfigurationError(f"There is no {kind} {key!r}. {did_you_mean(key, known)}")
    return dataclasses.replace(record, **changes)  # type: ignore[type-var]
