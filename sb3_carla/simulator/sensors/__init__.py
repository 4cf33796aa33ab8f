"""Sensors that measure on the server. Lane invasion is not among them: the client finds it by itself.

- :mod:`~sb3_carla.simulator.sensors.base`: what all share: stream, attributes, ``sensor_tick``.
- :mod:`~sb3_carla.simulator.sensors.cameras`: colour, labels, depth, instances, normals, optical flow, events.
- :mod:`~sb3_carla.simulator.sensors.lidar` and :mod:`~sb3_carla.simulator.sensors.radar`: what rays meet.
- :mod:`~sb3_carla.simulator.sensors.navigation`: GNSS and IMU.
- :mod:`~sb3_carla.simulator.sensors.contact`: collision and obstacle.
"""

from __future__ import annotations

from typing import Final

from sb3_carla.simulator.sensors.base import AttributeRefused, Message, Sensor
from sb3_carla.simulator.sensors.cameras import (
    CameraSensor,
    CosmosCamera,
    DepthCamera,
    EventCamera,
    InstanceCamera,
    NormalsCamera,
    OpticalFlowCamera,
    RgbCamera,
    SemanticCamera,
)
from sb3_carla.simulator.sensors.contact import CollisionSensor, ObstacleSensor
from sb3_carla.simulator.sensors.lidar import LidarSensor, SemanticLidarSensor
from sb3_carla.simulator.sensors.navigation import GnssSensor, ImuSensor
from sb3_carla.simulator.sensors.radar import RadarSensor
from sb3_carla.simulator.wire.layouts import SensorType

__all__ = ["SENSOR_CLASSES", "AttributeRefused", "CameraSensor", "CollisionSensor", "Message", "Sensor"]

SENSOR_CLASSES: Final[dict[SensorType, type[Sensor]]] = {
    SensorType.RGB: RgbCamera,
    SensorType.SEMANTIC_SEGMENTATION: SemanticCamera,
    SensorType.INSTANCE_SEGMENTATION: InstanceCamera,
    SensorType.DEPTH: DepthCamera,
    SensorType.NORMALS: NormalsCamera,
    SensorType.COSMOS: CosmosCamera,
    SensorType.OPTICAL_FLOW: OpticalFlowCamera,
    SensorType.DVS: EventCamera,
    SensorType.LIDAR: LidarSensor,
    SensorType.SEMANTIC_LIDAR: SemanticLidarSensor,
    SensorType.RADAR: RadarSensor,
    SensorType.GNSS: GnssSensor,
    SensorType.IMU: ImuSensor,
    SensorType.OBSTACLE: ObstacleSensor,
    SensorType.COLLISION: CollisionSensor,
}
