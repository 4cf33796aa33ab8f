"""The blueprint library: the ids and attributes that programs for CARLA 0.9.16 ask for."""

from __future__ import annotations

import pytest

from sb3_carla.simulator.blueprints import BLUEPRINTS, definitions

PROGRAMS_ASK_FOR = """
    vehicle.tesla.model3 vehicle.audi.a2 vehicle.audi.tt vehicle.dodge.charger_2020 vehicle.lincoln.mkz_2020
    vehicle.lincoln.mkz_2017 vehicle.mercedes.sprinter vehicle.carlamotors.firetruck vehicle.mitsubishi.fusorosa
    vehicle.kawasaki.ninja vehicle.bh.crossbike walker.pedestrian.0001 controller.ai.walker sensor.camera.rgb
    sensor.camera.semantic_segmentation sensor.other.collision sensor.other.lane_invasion sensor.other.gnss
    sensor.other.imu sensor.other.obstacle static.prop.streetbarrier
"""


@pytest.mark.parametrize("type_id", PROGRAMS_ASK_FOR.split())
def test_a_blueprint_that_programs_ask_for_exists(type_id):
    assert type_id in BLUEPRINTS


def test_the_rgb_camera_has_every_attribute_of_this_version():
    names = {one.name for one in BLUEPRINTS["sensor.camera.rgb"].attributes}
    lens = {f"lens_{part}" for part in ("circle_falloff", "circle_multiplier", "k", "kcube", "x_size", "y_size")}
    film = (
        "gamma exposure_mode shutter_speed iso fstop bloom_intensity motion_blur_intensity enable_postprocess_effects"
    )
    assert names >= {"image_size_x", "image_size_y", "fov", "sensor_tick", "role_name", *lens, *film.split()}


def test_every_vehicle_has_the_attributes_that_traffic_scripts_filter_by():
    wanted = "role_name color number_of_wheels base_type special_type generation sticky_control has_lights"
    for blueprint in BLUEPRINTS.values():
        if blueprint.vehicle is not None:
            assert {one.name for one in blueprint.attributes} >= set(wanted.split()), blueprint.type_id


def test_every_actor_has_a_role_name_and_every_value_fits_its_type():
    readers = {
        1: {"true": True, "false": False}.__getitem__,
        2: int,
        3: float,
        4: str,
        5: lambda text: [int(part) for part in text.split(",")],
    }
    for blueprint in BLUEPRINTS.values():
        assert "role_name" in {one.name for one in blueprint.attributes}
        for attribute in blueprint.attributes:
            for value in (attribute.value, *attribute.recommended):
                readers[attribute.type](value)


def test_the_ids_of_the_definitions_are_unique():
    uids = [uid for uid, *_ in definitions()]
    assert len(set(uids)) == len(uids) > 100
