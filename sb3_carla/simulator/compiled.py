"""Compile the per-pixel and per-ray loops: numba with fixed argument types, so that no tick waits for the compiler.

A kernel is compiled when its module is imported, which the server does before it announces its port. Later starts find
the machine code in numba's cache; where no folder for that can be written, each start compiles anew.
Nothing but the server process imports this module: it takes numba and its compiler into memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(signature: str) -> Callable[[Function], Function]:
    """Compile a function for one set of argument types.

    :param signature: in numba's notation; arrays must be given in C order
    """

    def compile(function: Function) -> Function:
        compiled: Function = _compiled(function, signature)
        return compiled

    return compile


def inner(function: Function) -> Function:
    """Let kernels of the same module call a function; it is compiled with them.

    Numba's cache does not notice when a function of another module changes, hence the same module.
    """
    compiled: Function = _compiled(function, forceinline=True)
    return compiled


def _compiled(function: Any, *signatures: str, forceinline: bool = False) -> Any:
    # No fastmath: the same bytes on every run. The numpy error model divides by zero as hardware does.
    # Without numba's runtime there is no reference counting, which costs more than the work of an inner loop; nor can
    # arrays be made: kernels get their scratch space as an argument.
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "forceinline": forceinline, "_nrt": False}
    njit: Any = numba.njit
    try:
        return njit(*signatures, cache=True, **options)(function)
    except RuntimeError:  # numba: no locator available, that is no folder for the cache
        return njit(*signatures, **options)(function)
