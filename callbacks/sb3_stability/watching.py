"""What the callbacks that keep all detectors fed have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback

from sb3_stability.reading import Reading
from sb3_stability.readings import Readings
from sb3_stability.stop_training import StoppingCallback
from sb3_stability.watch import Limits, State, Watch


class WatchingCallback(StoppingCallback):
    """A callback that keeps all detectors fed.

    :param check_freq: env steps (calls of ``env.step()``) or updates between two looks, whichever comes first
    :param batch_size: transitions of the replay buffer that are read where the training itself shows nothing
    :param verbose: 1 prints what there is to say, 0 is silent
    :param limits: limits of the detectors, see :class:`~sb3_stability.watch.Limits`
    """

    def __init__(self, check_freq: int = 20, batch_size: int = 64, verbose: int = 1, **limits: Any) -> None:
        super().__init__(check_freq, batch_size, verbose)
        self.limits = Limits.of(limits)
        self._watch: Watch | None = None

    @property
    def states(self) -> dict[str, State]:
        """What each detector said at the latest look, by the name of its alert."""
        return {} if self._watch is None else dict(self._watch.states)

    def _start(self, readings: Readings) -> None:
        self._watch = Watch(self.model, self.limits)

    def _prepare(self, readings: Readings, scale: float | None) -> None:
        if self._watch is not None and scale is not None:
            self._watch.start_from(scale)

    def _see(self, reading: Reading) -> None:
        assert self._watch is not None
        self._watch.observe(reading)

    def _on_step(self) -> bool:
        if self._watch is not None:
            for length, earned in finished_episodes(self):
                self._watch.episode(length, earned)
        return super()._on_step()


def finished_episodes(callback: BaseCallback) -> Iterator[tuple[float, float]]:
    """Length in steps and return of each episode that ended in this step, where a Monitor wrapper says so.

    :param callback: gives the locals of ``learn()``
    """
    for done, info in zip(callback.locals.get("dones", ()), callback.locals.get("infos", ()), strict=False):
        if done and "episode" in info:
            yield float(info["episode"]["l"]), float(info["episode"]["r"])
