from __future__ import annotations

import dataclasses

import gymnasium as gym
import pytest

import sb3_carla  # noqa: F401 (registers the ids)
from sb3_carla.envs import SCENARIOS, ConfigurationError, RewardWeights, Scenario
from sb3_carla.envs.catalogue import make_scenario
from sb3_carla.envs.registration import gym_id, register_envs


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_has_a_gym_id(name: str) -> None:
    assert gym.spec(gym_id(name)).kwargs == {"scenario": name}


def test_registering_twice_changes_nothing() -> None:
    before = dict(gym.registry)
    register_envs()
    assert gym.registry == before


def test_overrides_replace_single_fields_and_single_reward_weights() -> None:
    scenario = make_scenario("light_traffic", {"npc_vehicles": 3, "reward": {"collision": 4.0}})
    assert scenario == dataclasses.replace(
        SCENARIOS["light_traffic"], npc_vehicles=3, reward=RewardWeights(collision=4.0)
    )


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("lane_folowing", {}, "Did you mean 'lane_following'"),
        ("lane_following", {"npc_vehicle": 3}, "Did you mean 'npc_vehicles'"),
        ("lane_following", {"name": "mine"}, "no option"),
        ("lane_following", {"reward": {"progres": 1}}, "Did you mean 'progress'"),
        ("lane_following", {"reward": {"progress": -1}}, "reward weight progress=-1"),
        ("lane_following", {"image_size": 8}, "image_size=8"),
        ("lane_following", {"image_size": 84.0}, "image_size=84.0"),
        ("lane_following", {"frame_stack": True}, "frame_stack=True"),
        ("lane_following", {"target_speed_kmh": "fast"}, "target_speed_kmh='fast'"),
        ("lane_following", {"target_speed_kmh": float("nan")}, "target_speed_kmh=nan"),
        ("lane_following", {"fixed_delta_seconds": 0.5}, "fixed_delta_seconds=0.5"),
        ("lane_following", {"max_lateral_acceleration": 0.0}, "max_lateral_acceleration=0.0"),
        ("lane_following", {"speed_limiter": 1}, "speed_limiter=1"),
        ("lane_following", {"observation": "pixels"}, "observation='pixels'"),
        ("route", {"forced_turns": True}, "forced_turns=True is for route='free'"),
        ("lane_following", {"state": "traffic"}, "state='traffic' is read only with observation='dict'"),
        ("lane_following", {"max_lateral_acceleration": 2.0}, "is read only with actions='speed'"),
        ("lane_following", {"actions": "speed", "speed_limiter": False}, "actions='continuous' or 'discrete'"),
        ("light_traffic", {"npc_vehicles": 0, "npc_ignore_lights": 5.0}, "npc_ignore_lights=5.0 is read only with npc"),
    ],
)
def test_a_wrong_name_or_value_is_refused_by_name(name: str, overrides: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make_scenario(name, overrides)


def test_the_upper_reward_bound_is_the_progress_at_the_target_speed() -> None:
    scenario = Scenario(target_speed_kmh=36.0, fixed_delta_seconds=0.05, action_repeat=2)
    assert scenario.reward_range[1] == pytest.approx(0.1)  # 10 m/s for 0.1 s, 0.1 a metre
