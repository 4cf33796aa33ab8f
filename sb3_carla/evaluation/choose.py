"""Which checkpoint of a run drives best.

What a policy can do comes and goes until the end of its training, so the last model need not be the best one. All drive
from the same starts, in the towns that they were trained in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from sb3_carla.envs import CarlaEnv
from sb3_carla.evaluation.drivers import make_driver
from sb3_carla.evaluation.episodes import drive_episodes


class Drive(NamedTuple):
    """How a checkpoint drove; the best of several is their least."""

    failures: int  # episodes with an infraction
    minus_metres: float  # over all episodes
    model: Path

    def __str__(self) -> str:
        """One line for the terminal."""
        return f"{self.model.name}: {self.failures} episodes with an infraction, {-self.minus_metres:.0f} m"


def choose(
    env: CarlaEnv, models: Sequence[Path], algo: str, episodes: int, seed: int, told: Callable[[Drive], None]
) -> Drive:
    """Have each model drive the same episodes, and find the one with the fewest infractions, then the most metres.

    A model that has failed more often than the best one so far drives no further.

    :param env: in which they drive
    :param models: their files; of two that drive alike the first one wins
    :param algo: rl_zoo3's name of the algorithm that wrote them
    :param episodes: how many
    :param seed: of the first; each further one has the next
    :param told: is given how each of them drove
    """
    best: Drive | None = None
    for model in models:
        failures, metres = 0, 0.0
        for episode in drive_episodes(env, make_driver(str(model), algo), episodes, seed, None):
            failures += bool(episode.metrics["infractions"])
            metres += episode.metrics["distance"]
            if best is not None and failures > best.failures:
                break
        drive = Drive(failures, -metres, model)
        told(drive)
        best = drive if best is None or drive[:2] < best[:2] else best
    assert best is not None
    return best
