"""Train TD3 from a camera on the embedded simulator, stop the training if it diverges, save the model.

Usage: python examples/train_from_code.py [--steps N]
"""

from __future__ import annotations

import argparse

from sb3_carla import TD3, CarlaEnv
from sb3_stability import StopTrainingOnActorLossExplosion, StopTrainingOnQValueExplosion


def main(steps: int) -> None:
    env = CarlaEnv()  # the embedded simulator; CarlaEnv(server="localhost:2000") drives on a CARLA 0.9.16 server
    # SB3's defaults, a batch of 256 after each step, are for a GPU
    model = TD3("CnnPolicy", env, batch_size=32, train_freq=8, verbose=1)
    model.learn(
        steps,
        callback=[StopTrainingOnQValueExplosion(), StopTrainingOnActorLossExplosion()],
        progress_bar=True,
    )
    model.save("lane_following")
    env.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=5_000, help="environment steps")
    main(parser.parse_args().steps)
