"""A features extractor of one's own in our TD3: the four parts are found, clipped and scheduled as for ours.

Usage: python examples/custom_extractor.py [--steps N]
"""

from __future__ import annotations

import argparse

import torch as th
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_carla import TD3, CarlaEnv


class SmallCNN(BaseFeaturesExtractor):
    """Three convolutions and a trunk whose features are bounded, which keeps the actor's tanh from saturating."""

    def __init__(self, observation_space, features_dim: int = 50) -> None:
        super().__init__(observation_space, features_dim)
        self.network = nn.Sequential(
            nn.Conv2d(observation_space.shape[0], 16, 5, stride=4),
            nn.ELU(),
            nn.Conv2d(16, 32, 3, stride=2),
            nn.ELU(),
            nn.Conv2d(32, 32, 3, stride=2),
            nn.ELU(),
            nn.Flatten(),
            nn.LazyLinear(features_dim),
            nn.LayerNorm(features_dim),
            nn.Tanh(),
        )
        self.network(th.zeros(1, *observation_space.shape))  # gives the lazy layer its size

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """Features (batch, 50) of images (batch, 4, 84, 84) in [0, 1]."""
        return self.network(observations)


def main(steps: int) -> None:
    env = CarlaEnv(action_repeat=2)
    model = TD3(
        "CnnPolicy",
        env,
        learning_rates={"actor_cnn": 1e-4, "actor_mlp": 1e-4, "critic_cnn": 3e-4, "critic_mlp": 3e-4},
        policy_kwargs={"features_extractor_class": SmallCNN, "net_arch": [256, 256]},
        buffer_size=50_000,
        verbose=1,
    )
    model.learn(steps, progress_bar=True)
    env.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=10_000, help="environment steps")
    main(parser.parse_args().steps)
