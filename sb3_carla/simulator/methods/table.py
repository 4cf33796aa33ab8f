"""How a call is declared: its name, how its arguments are read, and what its answer looks like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

Handler = Callable[..., Any]
Reader = Callable[[Any], Any]
H = TypeVar("H", bound=Handler)


class Refused(Exception):
    """A call cannot be done; the client sees the message as a ``RuntimeError``."""


class Method(NamedTuple):
    """One entry of the table."""

    handler: Handler  # (service, client, *arguments) -> result
    readers: tuple[Reader, ...]  # one per argument
    void: bool  # the answer has no result
    bare: bool  # the answer is not wrapped in a Response


METHODS: dict[str, Method] = {}


def method(name: str, *readers: Reader, void: bool = False, bare: bool = False) -> Callable[[H], H]:
    """Enter the decorated handler into the table.

    :param name: of the call on the wire
    :param readers: turn the arguments as they came into typed values
    :param void: the call has no result
    :param bare: the result is not wrapped in a ``Response``
    """

    def enter(handler: H) -> H:
        METHODS[name] = Method(handler, readers, void, bare)
        return handler

    return enter
