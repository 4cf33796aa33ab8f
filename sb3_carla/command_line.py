"""The command line's errors: one sentence each, no usage text and no traceback."""

from __future__ import annotations

import argparse
from typing import NoReturn


class CommandError(ValueError):
    """An option, file or value of a command that cannot be used; nothing was started, or all of it was put away."""


class CommandParser(argparse.ArgumentParser):
    """An argument parser that raises CommandError instead of printing its usage and ending the process."""

    def error(self, message: str) -> NoReturn:
        """Report a wrong option."""
        raise CommandError(f"{message[:1].upper()}{message[1:]}. '{self.prog} --help' lists the options.")
