"""A training that checkpoints as it goes and resumes where it finds a checkpoint, to be killed by the tests."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from gymnasium.envs.classic_control import PendulumEnv
from gymnasium.wrappers import TimeLimit
from pixels import PixelEnv
from stable_baselines3.common.noise import OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from sb3_carla import CarlaEnv
from sb3_carla.buffers import PrioritizedReplayBuffer
from sb3_carla.td3 import TD3, checkpoint

STEPS = 80
EVERY = 15
SETTINGS: dict[str, Any] = {"seed": 0, "buffer_size": 60, "learning_starts": 20, "batch_size": 4, "device": "cpu"}
NOISE = OrnsteinUhlenbeckActionNoise(np.zeros(2), np.full(2, 0.3))


def images(folder: str) -> tuple[VecEnv, dict[str, Any]]:
    env = VecNormalize(DummyVecEnv([lambda: PixelEnv(size=36, episode=9)]), norm_obs=False)
    return env, {
        "policy": "CnnPolicy",
        "action_noise": NOISE,
        "replay_buffer_class": PrioritizedReplayBuffer,
        "replay_buffer_kwargs": {"folder": Path(folder) / "frames"},
        "target": "mpg",
        "random_shift": 2,
        "learning_rate": "lin_1e-3",
        **SETTINGS,
    }


def vectors(folder: str) -> tuple[VecEnv, dict[str, Any]]:
    # Episodes of different lengths: a checkpoint cuts one of them off
    env = DummyVecEnv([lambda length=length: TimeLimit(PendulumEnv(), length) for length in (8, 11)])
    return VecNormalize(env), {"policy": "MlpPolicy", "n_steps": 3, **SETTINGS}


def simulator(folder: str) -> tuple[VecEnv, dict[str, Any]]:
    return DummyVecEnv([CarlaEnv]), {"policy": "CnnPolicy", **SETTINGS}


KINDS = {"images": images, "vectors": vectors, "simulator": simulator}


def train(
    kind: str, folder: str, die_after: tuple[int, float] | None = None, die_while_writing: int | None = None
) -> None:
    """Train to the end and write the weights.

    :param kind: one of `KINDS`
    :param folder: where the checkpoint is, and where the weights go
    :param die_after: send SIGKILL to this process so many seconds after this step
    :param die_while_writing: send SIGKILL to this process when its checkpoint of this number is written but not renamed
    """
    th.set_num_threads(1)
    warnings.simplefilter("ignore")
    if die_while_writing is not None:
        fsync, calls = os.fsync, iter(range(1_000))

        def die(file: int) -> None:
            fsync(file)
            if next(calls) == 2 * (die_while_writing - 1):  # the file and its folder
                os.kill(os.getpid(), signal.SIGKILL)

        checkpoint.os.fsync = die  # type: ignore[attr-defined]
    env, arguments = KINDS[kind](folder)
    path = Path(folder) / "run.checkpoint"
    model = checkpoint.resume(path, env, device="cpu") if path.exists() else TD3(env=env, **arguments)
    (Path(folder) / "started").write_text(str(model.num_timesteps))
    if die_after is not None:
        threading.Thread(target=_die, args=(model, *die_after), daemon=True).start()
    callback = checkpoint.CheckpointEvery(EVERY, path)
    model.learn(STEPS - model.num_timesteps, reset_num_timesteps=False, callback=callback)
    env.close()
    optimizers = {name: getattr(model, name).optimizer.state_dict()["state"] for name in ("actor", "critic")}
    weights = {**model.policy.state_dict(), **_flat(optimizers), "record": th.tensor(model.last_update.critic_loss)}
    unfinished = Path(folder) / "unfinished"
    th.save(weights, unfinished)
    unfinished.replace(Path(folder) / "weights")


def _die(model: TD3, step: int, seconds: float) -> None:
    while model.num_timesteps < step:
        time.sleep(1e-3)
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)


def _flat(optimizers: dict[str, Any]) -> dict[str, th.Tensor]:
    return {
        f"{name}/{index}/{key}": tensor
        for name, state in optimizers.items()
        for index, tensors in state.items()
        for key, tensor in tensors.items()
    }
