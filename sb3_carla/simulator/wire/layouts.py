"""Binary layouts of CARLA 0.9.16's streams, each declared once; everything is little-endian and packed.

The ``struct`` formats write, the numpy dtypes of the same size read (tests, recorders). The layouts are those of the
released wheel; other CARLA versions have other sizes, so none of them may be mixed in.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import Final

import numpy as np


class SensorType(IntEnum):
    """First field of the sensor header; it alone decides the Python class of the data in the client."""

    COLLISION = 0
    DEPTH = 1
    NORMALS = 2
    DVS = 3
    GNSS = 4
    IMU = 5
    LANE_INVASION = 6
    OBSTACLE = 7
    OPTICAL_FLOW = 8
    RADAR = 9
    SEMANTIC_LIDAR = 10
    LIDAR = 11
    RSS = 12
    RGB = 13
    SEMANTIC_SEGMENTATION = 14
    INSTANCE_SEGMENTATION = 15
    COSMOS = 16
    WORLD = 17
    GBUFFER_UINT8 = 18
    GBUFFER_FLOAT = 19
    V2X = 20
    V2X_CUSTOM = 21


class SnapshotFlag(IntEnum):
    """Bits of the flags field of the episode header."""

    MAP_CHANGE = 1
    PENDING_LIGHT_UPDATE = 2


ACTIVE: Final = 1  # the actor state that every living actor reports
WORLD_STREAM: Final = 1  # stream id of the world snapshot

# Length in front of every message of the streaming port.
MESSAGE_LENGTH: Final = struct.Struct("<I")
# What a subscriber sends first and only: the stream id.
SUBSCRIPTION: Final = struct.Struct("<I")
# Stream id, port, protocol, address type, address.
TOKEN: Final = struct.Struct("<IHBB16s")
# Sensor type, frame, time [s], x, y, z [m], pitch, yaw, roll [deg].
SENSOR_HEADER: Final = struct.Struct("<QQd6f")
# Episode id, platform time [s], delta [s], map origin, flags.
EPISODE_HEADER: Final = struct.Struct("<Qdf3iI")
# Width, height [pixels], horizontal field of view [deg].
IMAGE_HEAD: Final = struct.Struct("<IIf")
# Horizontal angle [rad], channels; behind it a 32 bit number of points for each channel.
LIDAR_HEAD: Final = struct.Struct("<fI")

_COMMON = "<IB15f"  # id, state, pose, velocity [m/s], angular velocity [deg/s], acceleration [m/s2]
# Throttle, steer, brake, hand brake, reverse, manual, gear, limit [km/h], light state, has light, light id, failure.
VEHICLE_RECORD: Final = struct.Struct(_COMMON + "3f3BifBBIB24x")
# Direction, speed [m/s], jump.
WALKER_RECORD: Final = struct.Struct(_COMMON + "4fB37x")
# OpenDRIVE id, green, yellow, red, elapsed [s], pole index, frozen, state.
TRAFFIC_LIGHT_RECORD: Final = struct.Struct(_COMMON + "32s4fIBB")
# OpenDRIVE id.
TRAFFIC_SIGN_RECORD: Final = struct.Struct(_COMMON + "32s22x")
PLAIN_RECORD: Final = struct.Struct(_COMMON + "54x")
RECORD_SIZE: Final = 119
LIGHT_ELAPSED: Final = struct.calcsize(_COMMON + "32s3f")  # place of the elapsed time in a traffic light's record

_POSE = [("location", "<f4", 3), ("rotation", "<f4", 3)]
SENSOR_HEADER_DTYPE: Final = np.dtype([("type", "<u8"), ("frame", "<u8"), ("timestamp", "<f8"), *_POSE])
EPISODE_HEADER_DTYPE: Final = np.dtype(
    [("episode", "<u8"), ("platform_time", "<f8"), ("delta", "<f4"), ("origin", "<i4", 3), ("flags", "<u4")]
)
ACTOR_DTYPE: Final = np.dtype(
    [
        ("id", "<u4"),
        ("state", "u1"),
        *_POSE,
        ("velocity", "<f4", 3),
        ("angular_velocity", "<f4", 3),
        ("acceleration", "<f4", 3),
        ("union", "V54"),
    ]
)
VEHICLE_UNION_DTYPE: Final = np.dtype(
    [
        ("throttle", "<f4"),
        ("steer", "<f4"),
        ("brake", "<f4"),
        ("hand_brake", "u1"),
        ("reverse", "u1"),
        ("manual_gear_shift", "u1"),
        ("gear", "<i4"),
        ("speed_limit", "<f4"),
        ("traffic_light_state", "u1"),
        ("at_traffic_light", "u1"),
        ("traffic_light_id", "<u4"),
        ("failure", "u1"),
        ("padding", "V24"),
    ]
)
WALKER_UNION_DTYPE: Final = np.dtype([("direction", "<f4", 3), ("speed", "<f4"), ("jump", "u1"), ("padding", "V37")])
TRAFFIC_LIGHT_UNION_DTYPE: Final = np.dtype(
    [
        ("sign_id", "S32"),
        ("green_time", "<f4"),
        ("yellow_time", "<f4"),
        ("red_time", "<f4"),
        ("elapsed_time", "<f4"),
        ("pole_index", "<u4"),
        ("frozen", "u1"),
        ("state", "u1"),
    ]
)
# What lidars, radars and event cameras measure; points are in the sensor's axes [m].
LIDAR_POINT_DTYPE: Final = np.dtype([("point", "<f4", 3), ("intensity", "<f4")])
SEMANTIC_LIDAR_POINT_DTYPE: Final = np.dtype([("point", "<f4", 3), ("cosine", "<f4"), ("id", "<u4"), ("tag", "<u4")])
RADAR_DETECTION_DTYPE: Final = np.dtype(
    [("velocity", "<f4"), ("azimuth", "<f4"), ("altitude", "<f4"), ("depth", "<f4")]  # [m/s], [rad], [rad], [m]
)
DVS_EVENT_DTYPE: Final = np.dtype([("x", "<u2"), ("y", "<u2"), ("t", "<i8"), ("polarity", "u1")])  # t [ns]
