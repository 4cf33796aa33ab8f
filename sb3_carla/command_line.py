"""The command line's errors: one sentence each, no usage text and no traceback."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn


class CommandError(ValueError):
    """An option, file or value of a command that cannot be used; nothing was started, or all of it was put away."""


class CommandParser(argparse.ArgumentParser):
    """An argument parser that raises CommandError instead of printing its usage and ending the process."""

    def error(self, message: str) -> NoReturn:
        """Report a wrong option."""
        raise CommandError(f"{message[:1].upper()}{message[1:]}. '{self.prog} --help' lists the options.")


def import_packages(names: Iterable[str]) -> None:
    """Import modules that register environments or scenarios; those of the current folder are found, too.

    :param names: what ``--gym-packages`` was given
    :raises CommandError: when there is no such module
    """
    here = str(Path.cwd())
    if here not in sys.path:  # as "python -m" has it, and a console script has not
        sys.path.insert(0, here)
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # the module exists, but something that it imports does not
            raise CommandError(
                f"--gym-packages {name}: there is no such module. "
                "Name a module that can be imported from here, without .py."
            ) from error
