"""A callback that logs what CarlaEnv reports about each episode: the driving metrics and the reward by term."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

WINDOW = 100  # episodes, as SB3's own rollout/ep_rew_mean
METRICS = (
    "driving_score", "route_completion", "infraction_penalty", "success", "centre_deviation", "mean_speed_kmh",
    "mean_jerk", "distance",
)  # fmt: skip


class DrivingLog(BaseCallback):
    """Logs means over the last 100 episodes: ``driving/<metric>``, ``reward/<term>`` and ``infractions/<kind>``.

    It needs the ``info["metrics"]`` of :class:`~sb3_carla.envs.CarlaEnv` and works with every SB3 algorithm.
    """

    def __init__(self, verbose: int = 0) -> None:
        super().__init__(verbose)
        self._episodes: deque[dict[str, Any]] = deque(maxlen=WINDOW)

    def _on_step(self) -> bool:
        ended = [info["metrics"] for info in self.locals["infos"] if "metrics" in info]
        if ended:
            self._episodes.extend(ended)
            self._record()
        return True

    def _record(self) -> None:
        for name in METRICS:
            self.logger.record(f"driving/{name}", float(np.mean([one[name] for one in self._episodes])))
        for key, folder in (("reward_terms", "reward"), ("infractions", "infractions")):
            names = sorted({name for one in self._episodes for name in one[key]})
            for name in names:
                mean = float(np.mean([one[key].get(name, 0.0) for one in self._episodes]))
                self.logger.record(f"{folder}/{name}", mean)
