"""Checkpoints of healthy moments, and going back to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from stable_baselines3.common.logger import HumanOutputFormat

from sb3_stability.checkpoint import Checkpoint
from sb3_stability.explanations import explain
from sb3_stability.looking import is_finite, positive
from sb3_stability.reading import Reading
from sb3_stability.readings import Readings
from sb3_stability.restoring import restore, scale_learning_rates
from sb3_stability.watch import State
from sb3_stability.watching import WatchingCallback

STEPS = (50_000, 100_000, 250_000, 500_000, 750_000, 1_000_000)


class HealthyCheckpoints(WatchingCallback):
    """Save checkpoints, but only of moments at which no detector of an explosion sees anything wrong.

    A checkpoint is a folder ``step_<step>`` with the model, its replay buffer and the statistics of VecNormalize. It is
    written under another name, brought to the disk and then renamed, so that after a crash it is whole or not there.
    Where a checkpoint is due and the model is not healthy, it is made at the next healthy look.

    To continue after a crash::

        model = Checkpoint.all_in("checkpoints")[-1].load(SAC, env)
        model.learn(remaining_steps, callback=HealthyCheckpoints("checkpoints"), reset_num_timesteps=False)

    :param folder: where checkpoints are kept; None for ``healthy_checkpoints`` in the folder of SB3's logger
    :param steps: environment steps at which a checkpoint is made that stays, in the long run without its replay buffer
    :param every: environment steps between two further checkpoints; None for none
    :param keep: checkpoints that are kept besides, and with their replay buffers: the latest ones
    :param max_buffer_gb: a replay buffer that takes more than this is not saved, in GB; 0 for never
    :param check_freq: env steps (calls of ``env.step()``) or updates between two looks, whichever comes first
    :param batch_size: transitions of the replay buffer that are read where the training itself shows nothing
    :param verbose: 1 prints what is saved, 0 is silent
    :param limits: limits of the detectors, see :class:`~sb3_stability.watch.Limits`
    """

    def __init__(
        self,
        folder: str | Path | None = None,
        steps: Sequence[int] = STEPS,
        every: int | None = None,
        keep: int = 3,
        max_buffer_gb: float = 2.0,
        check_freq: int = 20,
        batch_size: int = 64,
        verbose: int = 1,
        **limits: Any,
    ) -> None:
        super().__init__(check_freq, batch_size, verbose, **limits)
        self.folder = None if folder is None else Path(folder)
        self.steps = tuple(sorted(int(positive("steps", step) or 1) for step in steps))
        self.every = None if every is None else int(positive("every", every) or 1)
        self.keep = int(positive("keep", keep) or 1)
        self.max_buffer_gb = positive("max_buffer_gb", max_buffer_gb, least=-1e-9) or 0.0
        self.saved: list[Checkpoint] = []
        self._done_to = 0
        self._waits = False
        self._said_too_large = False

    def _start(self, readings: Readings) -> None:
        super()._start(readings)
        if self.folder is None:
            folder = self.logger.get_dir()
            # Without a file to write, SB3's logger still has a folder, a temporary one
            if folder is None or all(isinstance(output, HumanOutputFormat) for output in self.logger.output_formats):
                raise ValueError(f"{type(self).__name__} has no folder and SB3's logger writes to none. Give a folder.")
            self.folder = Path(folder) / "healthy_checkpoints"
        self.saved = Checkpoint.all_in(self.folder)
        if self.saved and self.saved[-1].step > self.model.num_timesteps:
            raise ValueError(
                f"{self.folder} holds a checkpoint of step {self.saved[-1].step}, and this run is at step "
                f"{self.model.num_timesteps}. Give another folder, or continue from that checkpoint."
            )
        self._done_to = self.model.num_timesteps
        self._waits = False
        self._said_too_large = False
        self._takes_buffer()

    def _on_rollout_start(self) -> None:
        super()._on_rollout_start()
        if self._is_due():
            self._save_if_healthy()

    def _is_due(self) -> bool:
        now = self.model.num_timesteps
        listed = any(self._done_to < step <= now for step in self.steps)
        return listed or (self.every is not None and now // self.every > self._done_to // self.every)

    def _save_if_healthy(self) -> None:
        assert self._readings is not None
        assert self._watch is not None
        if self._readings.n_updates != self._looked_at_update:
            self._look(self._readings.latest())
        untrained = not self._watch.states and self._readings.n_updates == 0
        if not untrained and not self._watch.is_healthy:
            if not self._waits and self.verbose > 0:
                print(f"{type(self).__name__}: no checkpoint at step {self.model.num_timesteps}, it is not healthy.")
            self._waits = True
            return
        self._save()

    def _save(self) -> None:
        assert self.folder is not None
        checkpoint = Checkpoint.write(self.folder, self.model, with_replay_buffer=self._takes_buffer())
        self.saved = [one for one in self.saved if one.step != checkpoint.step] + [checkpoint]
        self._thin_out()
        self._done_to, self._waits = checkpoint.step, False
        self.logger.record("stability/checkpoint_step", checkpoint.step)
        if self.verbose > 0:
            print(f"{type(self).__name__}: saved {checkpoint.path}")

    def _thin_out(self) -> None:
        # The first one at or after a listed step stands for that step, after a crash as well
        listed = {next((one.step for one in self.saved if one.step >= step), None) for step in self.steps}
        for old in self.saved[: -self.keep]:
            if old.step in listed:
                old.drop_replay_buffer()
            else:
                old.remove()
        self.saved = [one for one in self.saved[: -self.keep] if one.step in listed] + self.saved[-self.keep :]

    def _takes_buffer(self) -> bool:
        """Whether the replay buffer is saved as it is now; one that is too large, or has grown so, is said once."""
        size = self._buffer_gb()
        if 0 < self.max_buffer_gb < size and not self._said_too_large:
            self._said_too_large = True
            if self.verbose > 0:
                print(
                    f"{type(self).__name__}: the replay buffer takes {size:.1f} GB and will not be saved. "
                    f"Raise max_buffer_gb ({self.max_buffer_gb:g}) to save it."
                )
        return 0 < size <= self.max_buffer_gb

    def _buffer_gb(self) -> float:
        buffer: Any = getattr(self.model, "replay_buffer", None)
        # A buffer that stores in its own way knows best; with frames in a file, a save writes less than it takes
        for name in ("bytes_to_save", "nbytes"):
            if hasattr(buffer, name):
                return float(getattr(buffer, name)) / 1e9
        return _nbytes(getattr(buffer, "__dict__", {}), set()) / 1e9


def _nbytes(attributes: dict[str, Any], seen: set[int]) -> int:
    """Bytes of all arrays in an object's attributes, one level of dicts and objects down."""
    total = 0
    for value in attributes.values():
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, np.ndarray):
            total += value.nbytes
        elif isinstance(value, dict):
            total += _nbytes(value, seen)
        elif type(value).__module__.split(".")[0] not in ("gymnasium", "torch", "builtins", "collections"):
            total += _nbytes(
                {k: v for k, v in getattr(value, "__dict__", {}).items() if isinstance(v, np.ndarray)}, seen
            )
    return total


class RollbackToHealthyCheckpoint(HealthyCheckpoints):
    """Save healthy checkpoints; when a detector of an explosion fires, go back to the last one and train on, slower.

    All is put back in place: parameters, target networks, optimizers, counters, the replay buffer if it was saved and
    still is valid, and VecNormalize. Then all learning rates are multiplied by ``lr_factor``, and training goes on
    towards the same total of steps: what is lost are the steps since the checkpoint. If the same checkpoint would be
    used twice in a row, it was not as healthy as it looked, and the one before it is taken. After ``max_rollbacks`` the
    training is stopped.

    Do not pass the ``StopTrainingOn...`` callbacks beside it: they would stop what this one rescues.

    :param folder: where checkpoints are kept; None for ``healthy_checkpoints`` in the folder of SB3's logger
    :param lr_factor: the learning rates are multiplied by this at each rollback
    :param max_rollbacks: how often the model may go back
    :param steps: environment steps at which a checkpoint is made that stays, in the long run without its replay buffer
    :param every: environment steps between two further checkpoints, of which the start of the training is one; None for
        none
    :param keep: checkpoints that are kept besides, and with their replay buffers: the latest ones
    :param max_buffer_gb: a replay buffer that takes more than this is not saved, in GB; 0 for never
    :param check_freq: env steps (calls of ``env.step()``) or updates between two looks, whichever comes first
    :param batch_size: transitions of the replay buffer that are read where the training itself shows nothing
    :param verbose: 1 prints what is saved and every rollback, 0 is silent
    :param limits: limits of the detectors, see :class:`~sb3_stability.watch.Limits`
    """

    alert: ClassVar[str | None] = "rollback"

    def __init__(
        self,
        folder: str | Path | None = None,
        lr_factor: float = 0.3,
        max_rollbacks: int = 3,
        steps: Sequence[int] = STEPS,
        every: int | None = 10_000,
        keep: int = 3,
        max_buffer_gb: float = 2.0,
        check_freq: int = 20,
        batch_size: int = 64,
        verbose: int = 1,
        **limits: Any,
    ) -> None:
        super().__init__(folder, steps, every, keep, max_buffer_gb, check_freq, batch_size, verbose, **limits)
        self.lr_factor = positive("lr_factor", lr_factor) or 1.0
        self.max_rollbacks = int(positive("max_rollbacks", max_rollbacks) or 1)
        self.rollbacks: list[str] = []
        self._used: Checkpoint | None = None

    def _start(self, readings: Readings) -> None:
        super()._start(readings)
        self.rollbacks, self._used = [], None
        if is_finite(self.model.policy):
            self._save()

    def _see(self, reading: Reading) -> None:
        super()._see(reading)
        assert self._watch is not None
        explosion = self._watch.explosion
        if explosion is None or explosion.alarm is None or self._reason is not None:
            return
        what = f"{explosion.subject} was {explosion.alarm}. {explain(explosion.alarm, reading)}"
        if len(self.rollbacks) >= self.max_rollbacks:
            self._stop_because(f"after {len(self.rollbacks)} rollbacks {what}")
        elif not self.saved:
            self._stop_because(f"there is no healthy checkpoint to go back to, and {what}")
        else:
            self._go_back(explosion)

    def _go_back(self, explosion: State) -> None:
        assert self._watch is not None
        if self._used == self.saved[-1] and len(self.saved) > 1:
            self.saved.pop().remove()
        checkpoint = self._used = self.saved[-1]
        step = self.model.num_timesteps
        refusal = restore(self.model, checkpoint)
        if refusal is not None and self.verbose > 0:
            print(f"{type(self).__name__}: the present replay buffer is kept, the saved one is refused: {refusal}")
        scale_learning_rates(self.model, self.lr_factor)
        self.num_timesteps = self._done_to = checkpoint.step
        Readings.forget(self.model)
        self._watch.forget()
        self._looked_at_update = checkpoint.n_updates
        factor = self.lr_factor ** (len(self.rollbacks) + 1)
        self.rollbacks.append(
            f"went back from step {step} to step {checkpoint.step} with learning rates x {factor:.3g}, since "
            f"{explosion.subject} was {explosion.alarm}"
        )
        self._log_stop(True)
        self.logger.record("stability/rollbacks", len(self.rollbacks))
        self.logger.record("stability/lr_factor", factor)
        if self.verbose > 0:
            print(f"{type(self).__name__} {self.rollbacks[-1]}.")
