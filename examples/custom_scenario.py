"""A scenario of one's own with a reward of one's own, registered as a gym id and trained in.

Usage: python examples/custom_scenario.py [--steps N]
"""

from __future__ import annotations

import argparse

import gymnasium as gym

from sb3_carla import TD3
from sb3_carla.envs import RewardWeights, Scenario, register_scenario

register_scenario(
    Scenario(
        "rainy_commute",
        town="Town_Quarter",
        weather=("SoftRainNoon", "WetNoon"),  # drawn per episode
        npc_vehicles=5,
        traffic_rules=True,
        action_repeat=2,
        reward=RewardWeights(red_light=1.0, steering_rate=0.01),
    )
)


def main(steps: int) -> None:
    env = gym.make("CarlaRainyCommute-v0")
    model = TD3("CnnPolicy", env, buffer_size=50_000, batch_size=64, train_freq=2, verbose=1)
    model.learn(steps, progress_bar=True)
    env.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=10_000, help="environment steps")
    main(parser.parse_args().steps)
