"""Checkpoints from which a killed training goes on as if nothing had happened.

A checkpoint holds the model with its optimizers and counters, the replay buffer, the action noise, the statistics of
VecNormalize and the states of all random generators. What no library can save is the inside of an environment.
Therefore *a checkpoint starts new episodes*: it draws a seed, resets every environment with it, and keeps the seed. A
resumed training resets its environments with the same seed. If an environment's episode depends on nothing but the seed
and the actions, a training that was killed at any moment and resumed equals, bit for bit, one with the same checkpoints
that was not. State that an environment carries across resets (a curriculum, a counter) and the state of other callbacks
are not part of it.

A checkpoint is one file, replaced in one step once it is on the disk: whenever the process dies, the latest complete
one is there::

    path = "run.checkpoint"
    model = resume(path, env) if Path(path).exists() else TD3("CnnPolicy", env)
    model.learn(
        100_000 - model.num_timesteps, reset_num_timesteps=False, callback=CheckpointEvery(5_000, path)
    )
"""

from __future__ import annotations

import copy
import io
import os
import pickle
import random
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.her import HerReplayBuffer

from sb3_carla.td3.td3 import TD3

MODEL, BUFFER, STATE = "model.zip", "replay_buffer.pkl", "state.pkl"

# What a model's own save() leaves out although a later update or log depends on it.
UNSAVED_ATTRIBUTES = ("last_update", "_last_actor_update")


def save_checkpoint(model: TD3, path: str | Path) -> None:
    """Start new episodes and write a checkpoint, replacing the one of the same name in one step.

    Episodes that have not ended are cut off as truncated.

    :param model: between two steps of its environments, as in a callback's ``_on_rollout_start`` or after ``learn``
    :param path: the file
    :raises ValueError: the model has no environment, or a replay buffer that keeps one
    """
    if model.env is None or model.replay_buffer is None:
        raise ValueError("The model has no environment or no replay buffer, so there is no training to go on with.")
    if isinstance(model.replay_buffer, HerReplayBuffer):
        raise ValueError("A HerReplayBuffer keeps its environment, which no checkpoint can hold. Use save() instead.")
    seed = int(np.random.randint(2**31 - 1))  # noqa: NPY002  # of the generator that the checkpoint keeps
    normalization = copy.deepcopy(_normalization(model))  # before the reset, which adds to it again when resumed
    _truncate_episodes(model)
    _start_episodes(model, seed)
    state = {
        "env_seed": seed,
        "generators": _generators(model),
        "normalization": normalization,
        "attributes": {name: getattr(model, name) for name in UNSAVED_ATTRIBUTES},
    }
    with _replacing(Path(path)) as file, zipfile.ZipFile(file, "w") as archive:
        with archive.open(MODEL, "w") as entry:
            weights = io.BytesIO()
            model.save(weights)
            entry.write(weights.getbuffer())
        with archive.open(BUFFER, "w", force_zip64=True) as entry:
            pickle.dump(model.replay_buffer, entry, protocol=pickle.HIGHEST_PROTOCOL)
        archive.writestr(STATE, pickle.dumps(state))


def resume(path: str | Path, env: GymEnv, device: th.device | str = "auto", **kwargs: Any) -> TD3:
    """Load a checkpoint and put the environments where they were when it was made.

    Go on with ``learn(total - model.num_timesteps, reset_num_timesteps=False)``.

    :param path: the file; only open files that you trust, as they are unpickled
    :param env: made as for the training that is to go on
    :param device: where the networks live
    :param kwargs: arguments of TD3 to change; with any, the training is not the same any more
    :raises ValueError: the file is no checkpoint
    """
    try:
        with zipfile.ZipFile(path) as archive:
            model = TD3.load(io.BytesIO(archive.read(MODEL)), env=env, device=device, **kwargs)
            with archive.open(BUFFER) as entry:
                model.replay_buffer = pickle.load(entry)
            state = pickle.loads(archive.read(STATE))
    except (zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"{path} is not a checkpoint ({error}). Give a file that save_checkpoint() wrote.") from error
    assert model.replay_buffer is not None
    model.replay_buffer.device = model.device
    for name, value in state["attributes"].items():
        setattr(model, name, value)
    _set_normalization(model, state["normalization"])
    _start_episodes(model, state["env_seed"])
    _set_generators(model, state["generators"])
    return model


class CheckpointEvery(BaseCallback):
    """Writes a checkpoint every so many steps, after the next rollout (``train_freq``) in which an episode ended.

    Episodes that go on, such as those of the other environments, are then cut off as truncated; where none ends within
    as many steps again, all are.

    :param steps: environment steps between two checkpoints
    :param path: the file, replaced each time
    :param verbose: 1 says when a checkpoint was written
    """

    def __init__(self, steps: int, path: str | Path, verbose: int = 0) -> None:
        if steps < 1:
            raise ValueError(f"A checkpoint every {steps} steps is not possible. Give 1 or more.")
        super().__init__(verbose)
        self.steps = steps
        self.path = Path(path)
        self._latest = 0  # steps done at the latest checkpoint
        self._episode_ended = False  # during the latest rollout

    def _on_training_start(self) -> None:
        self._latest = self.model.num_timesteps

    def _on_step(self) -> bool:
        self._episode_ended |= bool(np.any(self.locals["dones"]))
        return True

    def _on_rollout_start(self) -> None:
        """Write, if it is time: here all is between two steps, and the updates of the last one are done."""
        passed = self.model.num_timesteps - self._latest
        ended, self._episode_ended = self._episode_ended, False
        if passed >= self.steps and (ended or passed >= 2 * self.steps):
            assert isinstance(self.model, TD3)
            save_checkpoint(self.model, self.path)
            self._latest = self.model.num_timesteps
            if self.verbose >= 1:
                print(f"Checkpoint at {self._latest:,d} steps: {self.path}")


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes the place of another once it is complete and on the disk, and not before.

    :param path: the file to replace
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    with unfinished.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    if os.name == "posix":  # the new name is on the disk when the folder is
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _truncate_episodes(model: TD3) -> None:
    """Mark the latest transitions as the last of their episodes, so that no n-step return goes on to the next one."""
    buffer = model.replay_buffer
    assert buffer is not None
    if buffer.size() > 0 and buffer.handle_timeout_termination:
        going_on = buffer.dones[buffer.pos - 1] == 0
        buffer.dones[buffer.pos - 1, going_on] = 1
        buffer.timeouts[buffer.pos - 1, going_on] = 1


def _start_episodes(model: TD3, seed: int) -> None:
    """Reset the environments and the noise.

    :param model: the model that acts in them
    :param seed: of the first environment; the next has one more, and so on
    """
    assert model.env is not None
    model.env.seed(seed)
    model._last_obs = model.env.reset()  # type: ignore[assignment]
    model._last_episode_starts = np.ones(model.n_envs, dtype=bool)
    normalizer = model.get_vec_normalize_env()
    if normalizer is not None:
        model._last_original_obs = normalizer.get_original_obs()
    if model.action_noise is not None:
        model.action_noise.reset()


def _generators(model: TD3) -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002  # what SB3 draws from
        "torch": th.get_rng_state(),
        "cuda": th.cuda.get_rng_state_all() if th.cuda.is_available() else [],
        "actions": model.action_space.np_random.bit_generator.state,
    }


def _set_generators(model: TD3, states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])  # noqa: NPY002
    th.set_rng_state(states["torch"])
    if states["cuda"] and th.cuda.is_available():
        th.cuda.set_rng_state_all(states["cuda"])
    model.action_space.np_random.bit_generator.state = states["actions"]


def _normalization(model: TD3) -> dict[str, Any] | None:
    normalizer = model.get_vec_normalize_env()
    if normalizer is None:
        return None
    return {name: value for name, value in vars(normalizer).items() if name in ("obs_rms", "ret_rms")}


def _set_normalization(model: TD3, statistics: dict[str, Any] | None) -> None:
    normalizer = model.get_vec_normalize_env()
    if (normalizer is None) != (statistics is None):
        raise ValueError(
            "Of the checkpoint and the environment, one has VecNormalize and the other has not. "
            "Wrap the environment as it was wrapped for the training."
        )
    for name, value in (statistics or {}).items():
        setattr(normalizer, name, value)
