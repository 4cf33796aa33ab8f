"""Train TD3 from a camera on the embedded simulator, stop the training if it diverges, save the model.

Usage: python examples/train_from_code.py [--steps N]
"""

from __future__ import annotations

import argparse

from sb3_stability import StopTrainingOnActorLossExplosion, StopTrainingOnQValueExplosion

from sb3_carla import TD3, CarlaEnv


def main(steps: int) -> None:
    env = CarlaEnv()  # the embedded simulator; CarlaEnv(server="localhost:2000") drives on a CARLA 0.9.16 server
    model = TD3(
        "CnnPolicy",
        env,
        learning_rates={"actor_cnn": 1e-4, "actor_mlp": 1e-4, "critic_cnn": 3e-4, "critic_mlp": 3e-4},
        buffer_size=50_000,
        batch_size=64,
        train_freq=2,
        learning_starts=1_000,
        tensorboard_log="runs/tensorboard",
    )
    callbacks = [StopTrainingOnQValueExplosion(), StopTrainingOnActorLossExplosion()]
    model.learn(steps, callback=callbacks, progress_bar=True)
    model.save("td3_carla")
    env.close()


if __name__ == "__main__":  # the env starts processes of its own, so this guard is needed
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=12_000, help="environment steps")
    main(parser.parse_args().steps)
