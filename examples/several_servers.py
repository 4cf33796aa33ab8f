"""Several CARLA servers as one vector environment; one that dies does not stop the others.

Usage: python examples/several_servers.py [--steps N] [--servers host:2000 host:2010]
"""

from __future__ import annotations

import argparse

from sb3_carla import TD3
from sb3_carla.vec_env import make_carla_vec_env


def main(steps: int, servers: list[str] | None) -> None:
    n_envs = len(servers) if servers else 2  # without addresses: two embedded simulators
    envs = make_carla_vec_env(n_envs, servers, scenario="lane_following", action_repeat=2)
    model = TD3("CnnPolicy", envs, buffer_size=50_000, batch_size=64, gradient_steps=1, verbose=1)
    model.learn(steps, progress_bar=True)
    envs.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=10_000, help="environment steps")
    parser.add_argument("--servers", nargs="+", help="addresses of CARLA servers")
    options = parser.parse_args()
    main(options.steps, options.servers)
