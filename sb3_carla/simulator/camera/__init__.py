"""What cameras see: one scene from which colour, depth, labels, instances and motion agree pixel for pixel.

``Scene`` is built once per map, ``Camera`` once per sensor. Everything runs on one core of the CPU: the loops over
pixels are compiled by numba when this package is imported.
"""

from sb3_carla.simulator.camera.camera import Camera
from sb3_carla.simulator.camera.scene import Scene

__all__ = ["Camera", "Scene"]
