"""rl_zoo3's own training and replay, with our TD3, environments and defaults.

This is the only package that imports rl_zoo3, which takes seconds and replaces gymnasium's ``TimeLimit`` on import.

Contents:

- :func:`~sb3_carla.zoo.training.train`: ``python -m rl_zoo3.train`` with every option, after a strict check
- :class:`~sb3_carla.zoo.search.SearchManager`: rl_zoo3's search for hyperparameters, with the space of
  :mod:`~sb3_carla.zoo.search_space`
- :func:`~sb3_carla.zoo.replay.enjoy`: ``python -m rl_zoo3.enjoy`` with every option, and more ways to see the result
- :func:`~sb3_carla.zoo.options.register`: puts our TD3 into rl_zoo3's tables
- :mod:`~sb3_carla.zoo.hyperparameters`: what a YAML section may hold

rl_zoo3's two programs are called as they are. What they look up in their modules (the argument parser, the experiment
manager, the way to a model file) is replaced for the time of the call, because they offer no other way in.
"""

from __future__ import annotations

from sb3_carla.zoo.hyperparameters import HyperparameterError, packaged_config
from sb3_carla.zoo.manager import TrainedRun
from sb3_carla.zoo.options import register, renders_frames
from sb3_carla.zoo.replay import enjoy
from sb3_carla.zoo.training import train

__all__ = [
    "HyperparameterError",
    "TrainedRun",
    "enjoy",
    "packaged_config",
    "register",
    "renders_frames",
    "train",
]
