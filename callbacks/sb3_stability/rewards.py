"""The range of the rewards that a critic has learned from."""

from __future__ import annotations

from typing import Any

import numpy as np

from sb3_stability.detectors import NOTHING, Range


class RewardRange:
    """Follows the rewards that a model's critic learns from: single steps, normalised where VecNormalize does so.

    :param model: an off-policy model
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.forget()

    def forget(self) -> None:
        """Start anew, for instance after the replay buffer was put back to an earlier state."""
        self.range, self._raw, self._scanned_to = NOTHING, NOTHING, 0

    def learn_from_batch(self, rewards: np.ndarray[Any, Any]) -> None:
        """Take in rewards as a replay buffer samples them.

        :param rewards: any shape; of an n-step buffer sums of n discounted rewards
        """
        n_steps = int(getattr(self._model, "n_steps", 1) or 1)
        steps: float = sum(self._model.gamma**i for i in range(n_steps))
        self.range = _widened(self.range, rewards / steps)

    def learn_from_buffer(self) -> None:
        """Take in the rewards that came into the replay buffer since the last time."""
        buffer = self._model.replay_buffer
        stored = getattr(buffer, "rewards", None)
        if buffer is None or not isinstance(stored, np.ndarray) or buffer.size() == 0:
            return
        size, position = buffer.size(), int(buffer.pos)
        if self._raw.is_empty or self._scanned_to > size:
            fresh = [stored[:size]]
        elif position >= self._scanned_to:
            fresh = [stored[self._scanned_to : position]]
        else:
            fresh = [stored[self._scanned_to : size], stored[:position]]
        for part in fresh:
            self._raw = _widened(self._raw, part)
        self._scanned_to = position
        if self._raw.is_empty:
            return
        normalizer = self._model._vec_normalize_env
        if normalizer is None:
            self.range = self.range.including(*self._raw)
        else:
            self.range = _widened(self.range, normalizer.normalize_reward(np.asarray(self._raw, dtype=np.float64)))


def _widened(known: Range, values: np.ndarray[Any, Any]) -> Range:
    if values.size == 0:
        return known
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        values = values[np.isfinite(values)]
        return known if values.size == 0 else known.including(float(values.min()), float(values.max()))
    return known.including(low, high)
