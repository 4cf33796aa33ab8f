"""The byte sizes of CARLA 0.9.16's streams; a single wrong one crashes the client."""

from __future__ import annotations

import numpy as np
import pytest

from sb3_carla.simulator.wire import layouts


@pytest.mark.parametrize(
    ("layout", "size"),
    [
        (layouts.TOKEN, 24),
        (layouts.SENSOR_HEADER, 48),
        (layouts.EPISODE_HEADER, 36),
        (layouts.IMAGE_HEAD, 12),
        (layouts.LIDAR_HEAD, 8),
        (layouts.VEHICLE_RECORD, 119),
        (layouts.WALKER_RECORD, 119),
        (layouts.PLAIN_RECORD, 119),
        (layouts.TRAFFIC_LIGHT_RECORD, 119),
        (layouts.TRAFFIC_SIGN_RECORD, 119),
        (layouts.MESSAGE_LENGTH, 4),
        (layouts.SUBSCRIPTION, 4),
    ],
)
def test_a_layout_has_the_size_that_the_client_expects(layout, size):
    assert layout.size == size


@pytest.mark.parametrize(
    ("dtype", "size"),
    [
        (layouts.SENSOR_HEADER_DTYPE, 48),
        (layouts.EPISODE_HEADER_DTYPE, 36),
        (layouts.ACTOR_DTYPE, 119),
        (layouts.VEHICLE_UNION_DTYPE, 54),
        (layouts.WALKER_UNION_DTYPE, 54),
        (layouts.TRAFFIC_LIGHT_UNION_DTYPE, 54),
        (layouts.LIDAR_POINT_DTYPE, 16),
        (layouts.SEMANTIC_LIDAR_POINT_DTYPE, 24),
        (layouts.RADAR_DETECTION_DTYPE, 16),
        (layouts.DVS_EVENT_DTYPE, 13),
    ],
)
def test_a_dtype_that_reads_has_the_size_of_what_is_written(dtype, size):
    assert dtype.itemsize == size


def test_a_vehicle_record_reads_back_as_it_was_written():
    numbers = [float(n) for n in range(1, 16)]
    data = layouts.VEHICLE_RECORD.pack(7, 1, *numbers, 0.25, -0.5, 0.75, 1, 0, 1, -1, 30.0, 2, 1, 9, 3)
    (record,) = np.frombuffer(data, layouts.ACTOR_DTYPE)
    assert (record["id"], record["state"]) == (7, 1)
    kinds = ("location", "rotation", "velocity", "angular_velocity", "acceleration")
    assert [value for kind in kinds for value in record[kind]] == numbers
    (union,) = np.frombuffer(record["union"].tobytes(), layouts.VEHICLE_UNION_DTYPE)
    read = [union[name].item() for name in union.dtype.names if name != "padding"]
    assert read == [0.25, -0.5, 0.75, 1, 0, 1, -1, 30.0, 2, 1, 9, 3]


def test_a_walker_record_reads_back_as_it_was_written():
    data = layouts.WALKER_RECORD.pack(7, 1, *[0.0] * 15, 0.0, 1.0, 0.5, 1.5, 1)
    (union,) = np.frombuffer(np.frombuffer(data, layouts.ACTOR_DTYPE)["union"].tobytes(), layouts.WALKER_UNION_DTYPE)
    assert union["direction"].tolist() == [0.0, 1.0, 0.5]
    assert (union["speed"], union["jump"]) == (1.5, 1)


def test_a_traffic_light_record_reads_back_as_it_was_written():
    data = layouts.TRAFFIC_LIGHT_RECORD.pack(7, 1, *[0.0] * 15, b"5112", 10.0, 3.0, 2.0, 4.5, 2, 1, 2)
    (union,) = np.frombuffer(
        np.frombuffer(data, layouts.ACTOR_DTYPE)["union"].tobytes(), layouts.TRAFFIC_LIGHT_UNION_DTYPE
    )
    assert union.tolist() == (b"5112", 10.0, 3.0, 2.0, 4.5, 2, 1, 2)
    assert np.frombuffer(data, "<f4", 1, layouts.LIGHT_ELAPSED) == 4.5
