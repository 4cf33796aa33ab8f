"""How well a driver drives: episodes in scenarios, scored as the CARLA leaderboard scores them.

Contents:

- :func:`~sb3_carla.evaluation.battery.evaluate`: drive, score, write JSON, CSV, plots and videos
- :func:`~sb3_carla.evaluation.drivers.make_driver`: a model file or one of the baselines by name
- :mod:`~sb3_carla.evaluation.scores`: means over episodes, and the leaderboard's JSON
- :mod:`~sb3_carla.evaluation.plots`: trajectories over the map
- :mod:`~sb3_carla.evaluation.film`: the video with a head-up display

The names are loaded on first use: the command line needs the options of ``evaluate`` without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sb3_carla.evaluation.battery import Evaluation, evaluate
    from sb3_carla.evaluation.drivers import BASELINES, Driver, make_driver
    from sb3_carla.evaluation.episodes import Episode, drive_episodes
    from sb3_carla.evaluation.scores import summary

__all__ = [
    "BASELINES",
    "Driver",
    "Episode",
    "Evaluation",
    "drive_episodes",
    "evaluate",
    "make_driver",
    "summary",
]
_HOME = {
    "BASELINES": "drivers",
    "Driver": "drivers",
    "make_driver": "drivers",
    "Episode": "episodes",
    "drive_episodes": "episodes",
    "Evaluation": "battery",
    "evaluate": "battery",
    "summary": "scores",
}


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'sb3_carla.evaluation' has no attribute {name!r}")
    return getattr(importlib.import_module(f"sb3_carla.evaluation.{_HOME[name]}"), name)
