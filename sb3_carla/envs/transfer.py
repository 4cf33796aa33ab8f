"""How values travel between trainer and client process: pickled, with arrays as their bare bytes.

numpy's own pickling takes several times as long for a small picture as copying it does.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt

PROTOCOL = 5


def dumps(value: Any) -> memoryview:
    """Bytes from which :func:`loads` makes the value again, for the same machine; arrays must be of plain numbers.

    >>> loads(dumps(("ok", np.arange(3, dtype=np.uint8))))
    ('ok', array([0, 1, 2], dtype=uint8))
    """
    file = io.BytesIO()
    _Pickler(file, PROTOCOL).dump(value)
    return file.getbuffer()


def loads(data: bytes) -> Any:
    """The value that :func:`dumps` was given; arrays are new ones that may be written to."""
    return pickle.loads(data)


def _array(data: bytearray, kind: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.frombuffer(data, kind).reshape(shape)


def _reduced(array: npt.NDArray[Any]) -> tuple[Any, ...]:
    return _array, (bytearray(array.tobytes()), array.dtype.str, array.shape)


class _Pickler(pickle.Pickler):
    dispatch_table = {np.ndarray: _reduced}  # noqa: RUF012 (read by the base class)
