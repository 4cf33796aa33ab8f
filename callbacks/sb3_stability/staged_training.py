"""Train in stages: at the end of each a checklist, and no further step if it is not passed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sb3_stability.looking import positive
from sb3_stability.reading import Reading
from sb3_stability.readings import Readings
from sb3_stability.watch import State
from sb3_stability.watching import WatchingCallback

GATES = (5_000, 50_000, 100_000, 1_000_000)


@dataclass(frozen=True)
class Check:
    """One line of a gate's checklist.

    :param name: what is asked for
    :param passed: whether it is so; None where that could not be known, which stops no training
    :param evidence: the numbers
    """

    name: str
    passed: bool | None
    evidence: str

    def __str__(self) -> str:
        mark = {True: "pass", False: "FAIL", None: "    "}[self.passed]
        return f"[{mark}] {self.name}: {self.evidence}"


class StagedTraining(WatchingCallback):
    """Stop at the first gate whose checklist is not passed, so that no days go into a run that is already lost.

    The checklist of a gate:

    - Q in range: no detector of an explosion sees anything beyond its limit now;
    - learning signal: no gradient of a part (of actor and critic, or of the CNN and the MLP of each, where the model
      tells them apart) was zero all through the stage, and the actor's actions are not all saturated;
    - episode length: the episodes have not collapsed, and are at least ``min_episode_length`` long if that is given;
    - gradient limits: the gradient of no part was beyond the critical norm for several looks in a row during the
      stage. It is the norm before clipping that is judged, since after it every limit is kept.

    :param gates: environment steps at which a checklist has to be passed
    :param min_episode_length: least mean length of the latest episodes, in steps; None for any
    :param check_freq: env steps (calls of ``env.step()``) or updates between two looks, whichever comes first
    :param batch_size: transitions of the replay buffer that are read where the training itself shows nothing
    :param verbose: 1 prints the checklist of each gate, 0 is silent
    :param limits: limits of the detectors, see :class:`~sb3_stability.watch.Limits`
    """

    alert: ClassVar[str | None] = "failed_gate"

    def __init__(
        self,
        gates: Sequence[int] = GATES,
        min_episode_length: float | None = None,
        check_freq: int = 20,
        batch_size: int = 64,
        verbose: int = 1,
        **limits: Any,
    ) -> None:
        super().__init__(check_freq, batch_size, verbose, **limits)
        self.gates = tuple(sorted(int(positive("gates", gate) or 1) for gate in gates))
        self.min_episode_length = positive("min_episode_length", min_episode_length)
        self.checklists: dict[int, list[Check]] = {}
        self._next_gates: list[int] = []
        self._largest: dict[str, float] = {}
        self._excess: dict[str, State] = {}

    def _start(self, readings: Readings) -> None:
        super()._start(readings)
        self.checklists = {}
        self._next_gates = [gate for gate in self.gates if gate > self.model.num_timesteps]
        self._start_stage()

    def _start_stage(self) -> None:
        self._largest, self._excess = {}, {}

    def _see(self, reading: Reading) -> None:
        super()._see(reading)
        for part, norm in reading.grad_norms.items():
            self._largest[part] = max(norm, self._largest.get(part, 0.0))
        state = self.states.get("gradient_norm_critical")
        if state is not None and state.alarm is not None:
            self._excess.setdefault(state.name, state)

    def _on_rollout_start(self) -> None:
        super()._on_rollout_start()
        self._judge_if_due()

    def _on_training_end(self) -> None:
        if not self.triggered and self._reason is None:
            self._judge_if_due()  # a gate at the last step
        super()._on_training_end()

    def _judge_if_due(self) -> None:
        if self._next_gates and self.model.num_timesteps >= self._next_gates[0] and self._readings is not None:
            if self._readings.n_updates != self._looked_at_update:
                self._look(self._readings.latest())
            self._judge(self._next_gates.pop(0))

    def _judge(self, gate: int) -> None:
        checks = [self._q_range(), self._learning_signal(), self._episode_length(), self._gradients()]
        self.checklists[gate] = checks
        failed = [check for check in checks if check.passed is False]
        text = "\n".join(f"  {check}" for check in checks)
        if failed:
            names = ", ".join(check.name for check in failed)
            self._stop_because(f"the gate at {gate} steps is not passed, for: {names}.\n{text}")
            return
        self.logger.record("stability/gates_passed", len(self.checklists))
        if self.verbose > 0:
            print(f"{type(self).__name__}: the gate at {gate} steps is passed.\n{text}")
        self._start_stage()

    # -- the checklist -------------------------------------------------------------------------------------------------

    def _q_range(self) -> Check:
        name = "Q in range"
        explosions = [state for state in self.states.values() if state.is_explosion]
        if not any(state.value is not None for state in explosions):
            return Check(name, None, "no update yet")
        for state in explosions:
            if state.looks > 0:
                limit = "" if state.limit is None else f", beyond {state.limit:.4g}"
                return Check(name, False, f"{state.subject} is {state.value:.4g}{limit}")
        seen = [
            f"{one.subject} is {one.value:.4g} (limit {one.limit:.4g})" for one in explosions if one.limit is not None
        ]
        return Check(name, True, "; ".join(seen))

    def _learning_signal(self) -> Check:
        name = "learning signal"
        if not self._largest:
            return Check(name, None, "no gradient was measured")
        norms = ", ".join(f"gradient of {part} up to {norm:.3g}" for part, norm in self._largest.items())
        dead = [part for part, norm in self._largest.items() if norm == 0.0]
        if dead:
            return Check(name, False, f"the gradient of {' and '.join(dead)} was exactly 0 all through the stage")
        saturation = self.states.get("action_saturation")
        if saturation is not None and saturation.value is not None:
            norms += f", {saturation.value:.0%} of the actions saturated"
        return Check(name, saturation is None or saturation.alarm is None, norms)

    def _episode_length(self) -> Check:
        name = "episode length"
        state = self.states.get("episode_collapse")
        if state is None or state.value is None or math.isnan(state.value):
            return Check(name, None, "not enough episodes have ended (or the env has no Monitor)")
        if self.min_episode_length is not None and state.value < self.min_episode_length:
            return Check(
                name, False, f"{state.value:.4g} steps, less than min_episode_length={self.min_episode_length:g}"
            )
        limit = "" if state.limit is None else f" (limit {state.limit:.4g})"
        return Check(name, state.alarm is None, f"{state.value:.4g} steps{limit}")

    def _gradients(self) -> Check:
        name = "gradient limits"
        for excess in self._excess.values():
            return Check(name, False, f"{excess.subject} was {excess.alarm}")
        state = self.states.get("gradient_norm_critical")
        if state is None or not self._largest:
            return Check(name, None, "no gradient was measured")
        return Check(name, True, f"{', '.join(self._largest)} below {state.limit:.4g}")
