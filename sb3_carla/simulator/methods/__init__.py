"""The calls that clients can make, as one table: name -> handler with typed arguments.

- :mod:`~sb3_carla.simulator.methods.table`: how a method is declared.
- :mod:`~sb3_carla.simulator.methods.episode`: version, maps, settings, weather, streams.
- :mod:`~sb3_carla.simulator.methods.actors`: what goes for any actor.
- :mod:`~sb3_carla.simulator.methods.vehicles`: vehicles and walkers.
- :mod:`~sb3_carla.simulator.methods.traffic`: traffic managers.
- :mod:`~sb3_carla.simulator.methods.traffic_lights`: traffic lights.
- :mod:`~sb3_carla.simulator.methods.surroundings`: static objects, debug drawing and what is not simulated.
- :mod:`~sb3_carla.simulator.methods.batch`: many commands in one call.
"""

from sb3_carla.simulator.methods import actors, batch, episode, surroundings, traffic, traffic_lights, vehicles
from sb3_carla.simulator.methods.table import METHODS, Method, Refused

__all__ = [
    "METHODS",
    "Method",
    "Refused",
    "actors",
    "batch",
    "episode",
    "surroundings",
    "traffic",
    "traffic_lights",
    "vehicles",
]
