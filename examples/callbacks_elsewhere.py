"""The divergence callbacks in a project that has nothing to do with CARLA: SAC on Pendulum.

Usage: python examples/callbacks_elsewhere.py [--steps N]
"""

from __future__ import annotations

import argparse

from stable_baselines3 import SAC

from sb3_stability import StopTrainingOnActorLossExplosion, StopTrainingOnQValueExplosion


def main(steps: int) -> None:
    model = SAC("MlpPolicy", "Pendulum-v1", learning_rate=1e-3)
    q_values, actor_loss = StopTrainingOnQValueExplosion(), StopTrainingOnActorLossExplosion()
    model.learn(steps, callback=[q_values, actor_loss], progress_bar=True)
    stopped = [callback.message for callback in (q_values, actor_loss) if callback.triggered]
    print("\n".join(stopped) if stopped else f"{model.num_timesteps} steps without an explosion.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=5_000, help="environment steps")
    main(parser.parse_args().steps)
