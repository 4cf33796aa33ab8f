"""A live panel in the terminal with the state of each detector."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sb3_stability.reading import Reading
from sb3_stability.readings import Readings
from sb3_stability.watch import State
from sb3_stability.watching import WatchingCallback

# Imported where it is used: SB3 installs rich with its extras only, and the other callbacks do without.
if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text


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
        if find_spec("rich") is None:
            raise ImportError("StabilityPanel draws with rich, which is not installed. Run pip install rich.")
        self._console = console
        self._live: Live | None = None

    def _start(self, readings: Readings) -> None:
        from rich import get_console
        from rich.errors import LiveError
        from rich.live import Live

        super()._start(readings)
        self._close()
        if self._console is None:
            self._console = get_console()  # the one that tqdm's bar will draw on
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

    def draw(self) -> Table | Text:
        """What the panel shows now."""
        from rich.table import Table
        from rich.text import Text

        if not self.states:
            return Text("stability: no update yet", style="dim")
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("detector")
        table.add_column("value", justify="right")
        table.add_column("limit", justify="right")
        table.add_column("state")
        for state in self.states.values():
            word, style = _verdict(state)
            table.add_row(state.name, _number(state.value), _number(state.limit), Text(word, style=style))
        return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _verdict(state: State) -> tuple[str, str]:
    """A word on a detector, and its style."""
    if state.alarm is not None:
        word, style = ("EXPLOSION", "bold red") if state.is_explosion else ("warning", "yellow")
        return f"{word} since update {state.alarm.since}", style
    if state.looks > 0:
        return f"beyond its limit ({state.looks})", "yellow"
    seen = state.value is not None or state.name == "non_finite"
    return ("ok", "green") if seen else ("nothing to see", "dim")
