"""The blueprint library: the ids and attributes that programs for CARLA 0.9.16 ask for."""

from __future__ import annotations

import carla
import pytest

from sb3_carla.simulator.blueprints import BLUEPRINTS, definitions
from sb3_carla.simulator.geometry import Transform
from sb3_carla.simulator.wire.values import ActorDescription

PROGRAMS_ASK_FOR = """
    vehicle.tesla.model3 vehicle.audi.a2 vehicle.audi.tt vehicle.dodge.charger_2020 vehicle.lincoln.mkz_2020
    vehicle.lincoln.mkz_2017 vehicle.mercedes.sprinter vehicle.carlamotors.firetruck vehicle.mitsubishi.fusorosa
    vehicle.kawasaki.ninja vehicle.bh.crossbike walker.pedestrian.0001 controller.ai.walker sensor.camera.rgb
    sensor.camera.semantic_segmentation sensor.other.collision sensor.other.lane_invasion sensor.other.gnss
    sensor.other.imu sensor.other.obstacle sensor.other.radar sensor.lidar.ray_cast sensor.lidar.ray_cast_semantic
    sensor.camera.depth sensor.camera.instance_segmentation sensor.camera.optical_flow sensor.camera.dvs
    static.prop.streetbarrier static.prop.trafficcone01 walker.pedestrian.0052 util.actor.empty
"""
# How many blueprints a program expects to find with a filter, at least.
FILTERS = {
    "vehicle.*": 41, "vehicle.lincoln*": 2, "*a2*": 1, "*charger_2020": 1, "walker.*": 52, "walker.pedestrian.*": 52,
    "static.prop.*": 100, "sensor.camera.*": 6, "sensor.lidar.*": 2, "*tesla*": 2, "*.model3": 1, "controller.*": 1,
}  # fmt: skip


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


@pytest.mark.parametrize("pattern", FILTERS)
def test_the_client_finds_blueprints_by_the_patterns_of_programs(game, pattern):
    assert len(game.get_blueprint_library().filter(pattern)) >= FILTERS[pattern]


def test_the_client_reads_every_attribute_in_its_type_and_may_set_what_is_modifiable(game):
    kinds = {
        carla.ActorAttributeType.Bool: (bool, "as_bool"),
        carla.ActorAttributeType.Int: (int, "as_int"),
        carla.ActorAttributeType.Float: (float, "as_float"),
        carla.ActorAttributeType.String: (str, "as_str"),
        carla.ActorAttributeType.RGBColor: (carla.Color, "as_color"),
    }
    for blueprint in game.get_blueprint_library():
        for attribute in blueprint:
            kind, read = kinds[attribute.type]
            assert isinstance(getattr(attribute, read)(), kind), (blueprint.id, attribute.id)
            if attribute.is_modifiable:
                for value in attribute.recommended_values:
                    blueprint.set_attribute(attribute.id, value)


@pytest.mark.parametrize("kind", ["car", "truck", "van", "bus", "motorcycle", "bicycle"])
def test_there_are_vehicles_of_every_base_type(kind):
    types = [
        {one.name: one.value for one in blueprint.attributes}["base_type"]
        for blueprint in BLUEPRINTS.values()
        if blueprint.vehicle is not None
    ]
    assert kind in types


def test_every_body_can_be_spawned_and_has_a_box(world):
    for type_id in BLUEPRINTS:
        if type_id.startswith(("static.prop.", "walker.", "vehicle.")):
            actor = world.spawn(ActorDescription(type_id, {}), Transform(0.0, 0.0, 500.0))
            assert all(half > 0.0 for half in actor.box_extent), type_id
            assert 0 < actor.tag <= 28, type_id
            assert world.destroy(actor.id)
