"""A live panel in the terminal with the state of each detector."""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console, Group
from rich.errors import LiveError
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sb3_stability.reading import Reading
from sb3_stability.readings import Readings
from sb3_stability.watch import State
from sb3_stability.watching import WatchingCallback


class StabilityPanel(WatchingCallback):
    """Show what each detector sees, while training goes on; it stands above SB3's progress bar.

    Quiet where nobody looks: outside of a terminal and in continuous integration (the environment variable ``CI``).

    :param check_freq: env steps (calls of ``env.step()``) or updates between two looks, whichever comes first
    :param batch_size: transitions of the replay buffer that are read where the training itself shows nothing
    :param console: where to draw; by default rich's own, which SB3's progress bar uses as well
    :param limits: limits of the detectors, see :class:`~sb3_stability.watch.Limits`
    """

    def __init__(
        self, check_freq: int = 20, batch_size: int = 64, console: Console | None = None, **limits: Any
    ) -> None:
        super().__init__(check_freq, batch_size, 0, **limits)
        self._console = console
        self._live: Live | None = None

    def _start(self, readings: Readings) -> None:
        super()._start(readings)
        self._close()
        if self._console is None:
            # Imported now: this is the console that tqdm's bar will draw on
            from rich import get_console

            self._console = get_console()
        if not self._console.is_terminal or os.environ.get("CI", "").lower() not in ("", "0", "false"):
            return
        live = Live(self.draw(), console=self._console, refresh_per_second=4, transient=True)
        try:
            live.start()
        except LiveError:  # rich before 14.1 shows one thing at a time, and another one is there already
            return
        self._live = live

    def _see(self, reading: Reading) -> None:
        super()._see(reading)
        if self._live is not None:
            self._live.update(self.draw())

    def _on_training_end(self) -> None:
        super()._on_training_end()
        self._close()

    def _close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
            if self._console is not None and self.states:
                self._console.print(self.draw())

    def draw(self) -> Group:
        """What the panel shows now."""
        table = Table(title=None, box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column, justify in (("detector", "left"), ("value", "right"), ("limit", "right"), ("state", "left")):
            table.add_column(column, justify=justify, header_style="dim")  # type: ignore[arg-type]
        for state in self.states.values():
            table.add_row(state.name, _number(state.value), _number(state.limit), _verdict(state))
        if not self.states:
            return Group(Text("stability: no update yet", style="dim"))
        return Group(table)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _verdict(state: State) -> Text:
    if state.alarm is not None:
        word = "EXPLOSION" if state.is_explosion else "warning"
        return Text(f"{word} since update {state.alarm.since}", style="bold red" if state.is_explosion else "yellow")
    if state.looks > 0:
        return Text(f"beyond its limit ({state.looks})", style="yellow")
    return Text("ok" if state.value is not None or state.name == "non_finite" else "nothing to see", style="green")
