"""msgpack-rpc without input or output: bytes in, requests out; values in, reply bytes out.

A request is ``[0, msgid, method, params]``; its reply ``[1, msgid, error, result]``. CARLA wraps every result in a
``Response``: see :func:`value_reply`, :func:`void_reply` and :func:`refusal`.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgpack

# One request holds at most an OpenDRIVE file or a batch of some thousand commands. The limits keep a hostile peer from
# making us allocate: msgpack reserves an announced array before its elements have arrived.
MAX_MESSAGE: Final = 64 * 1024 * 1024  # [bytes]
MAX_ARRAY: Final = 65_536  # [elements]
MAX_MAP: Final = 1_024  # [entries]

_REQUEST, _RESPONSE, _NOTIFICATION = 0, 1, 2


class ProtocolError(ValueError):
    """The peer sent bytes that are not msgpack-rpc; only its own connection can be closed for that."""


class Request(NamedTuple):
    """One call by a client; ``params`` is everything behind the metadata argument."""

    msgid: int
    method: str
    params: list[Any]
    awaited: bool = True  # whether the client waits for the reply


class RequestDecoder:
    """Turns the bytes of one connection, split or joined in any way, into requests.

    >>> decoder = RequestDecoder()
    >>> data = msgpack.packb([0, 7, "get_actors_by_id", [[False], [1, 2]]])
    >>> decoder.feed(data[:5])
    []
    >>> decoder.feed(data[5:])
    [Request(msgid=7, method='get_actors_by_id', params=[[1, 2]], awaited=True)]
    """

    def __init__(self) -> None:
        self._unpacker = msgpack.Unpacker(
            raw=False,
            strict_map_key=False,
            max_buffer_size=MAX_MESSAGE,
            max_array_len=MAX_ARRAY,
            max_map_len=MAX_MAP,
        )

    def feed(self, data: bytes) -> list[Request]:
        """Take bytes as they came and return the requests that they complete.

        :param data: what the socket gave
        :raises ProtocolError: when the bytes cannot belong to msgpack-rpc or exceed the limits
        """
        requests = []
        try:
            self._unpacker.feed(data)
            for message in self._unpacker:
                request = _request(message)
                if request is not None:
                    requests.append(request)
        except ProtocolError:
            raise
        except (ValueError, TypeError, RecursionError, msgpack.exceptions.UnpackException) as error:
            raise ProtocolError(f"not msgpack-rpc: {type(error).__name__}: {error}") from error
        return requests


def _request(message: Any) -> Request | None:
    """Check the frame of one message; a notification needs no answer and is dropped (the client sends none)."""
    if not isinstance(message, list) or not message:
        raise ProtocolError(f"a message is an array, not {type(message).__name__}")
    if message[0] == _NOTIFICATION and len(message) == 3:
        return None
    if len(message) != 4 or message[0] != _REQUEST:
        raise ProtocolError(
            f"a request is [0, id, method, params], not an array of {len(message)} with kind {message[0]!r:.20}"
        )
    _, msgid, method, params = message
    if (
        not isinstance(msgid, int)
        or not 0 <= msgid < 2**32
        or not isinstance(method, str)
        or not isinstance(params, list)
    ):
        raise ProtocolError("a request needs a 32 bit id, a method name and an array of parameters")
    return Request(msgid, method, params[1:], not (params and params[0] == [True]))


_pack = msgpack.Packer(use_bin_type=True, autoreset=True).pack


def value_reply(msgid: int, value: Any) -> bytes:
    """Success with a result: ``Response<T>`` holding ``value``."""
    return _pack((_RESPONSE, msgid, None, ((1, value),)))  # type: ignore[no-any-return]


def void_reply(msgid: int) -> bytes:
    """Success without a result: ``Response<void>``."""
    return _pack((_RESPONSE, msgid, None, ((False,),)))  # type: ignore[no-any-return]


def refusal(msgid: int, message: str, *, void: bool) -> bytes:
    """An error that the caller sees as ``RuntimeError(message)``.

    :param message: one clear sentence
    :param void: whether the method has no result; the two kinds of ``Response`` are encoded differently
    """
    return _pack((_RESPONSE, msgid, None, ((True if void else 0, (message,)),)))  # type: ignore[no-any-return]


def bare_reply(msgid: int, result: Any) -> bytes:
    """A result without the ``Response`` wrapper; only ``apply_batch`` has one."""
    return _pack((_RESPONSE, msgid, None, result))  # type: ignore[no-any-return]


def failure(msgid: int, message: str) -> bytes:
    """An error of the rpc layer itself, for methods whose result type is unknown to us."""
    return _pack((_RESPONSE, msgid, message, None))  # type: ignore[no-any-return]


def pack(value: Any) -> bytes:
    """One msgpack value, as the payloads of the event sensors carry it."""
    return _pack(value)  # type: ignore[no-any-return]
