"""Replay of a trained model through rl_zoo3's own program."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import rl_zoo3.enjoy  # replaces gymnasium's TimeLimit
import rl_zoo3.utils
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sb3_carla.command_line import CommandError
from sb3_carla.video import VideoFile
from sb3_carla.zoo.hyperparameters import check_env_kwargs
from sb3_carla.zoo.models import check_model_file, interface_of, normalizer_of, pretrained_model, pretrained_names
from sb3_carla.zoo.options import (
    DEFAULT_ALGO,
    DEFAULT_ENV,
    DEFAULT_FOLDER,
    StoreExpressions,
    argparse_with,
    drives_carla,
    own_time_limit,
    register,
    replaced,
    server_in_words,
)

DEFAULT_EPISODES = 3


def enjoy(argv: list[str]) -> Path | None:
    """Replay a trained model as ``python -m rl_zoo3.enjoy`` does, with a line for each episode.

    :param argv: rl_zoo3's options, and ``--model``, ``--pretrained``, ``--episodes`` and ``--video``
    :return: the video, if one was asked for
    :raises CommandError, CarlaEnvError, VideoError: in one sentence; nothing is left running
    """
    register()
    defaults = {
        "algo": DEFAULT_ALGO,
        "env": DEFAULT_ENV,
        "folder": DEFAULT_FOLDER,
        "verbose": 0,  # the episodes are reported here
        "n_timesteps": None,
    }
    options = argparse.Namespace()
    opened: list[VecEnv] = []
    interface: dict[str, Any] = {}
    normalizer: Path | None = None
    movie: VideoFile | None = None

    def check(parsed: argparse.Namespace) -> None:
        nonlocal options, movie
        options = parsed
        if options.pretrained is not None:
            options.model = pretrained_model(options.pretrained)
        if options.n_timesteps is None:
            options.n_timesteps = sys.maxsize
            options.episodes = options.episodes or DEFAULT_EPISODES
        if options.video is not None:
            movie = VideoFile(options.video)
            options.no_render = True  # no window

    def model_path(exp_id: int, folder: str, algo: str, env_name: Any, *args: Any) -> tuple[str, str, str]:
        nonlocal interface, normalizer
        if options.model is not None:
            found = ("", str(options.model), str(options.model.parent))
        else:
            try:
                found = rl_zoo3.utils.get_model_path(exp_id, folder, algo, env_name, *args)
            except (AssertionError, ValueError) as error:  # as rl_zoo3 reports a missing folder or file
                raise CommandError(
                    f"There is no model of {algo} for {env_name} in {folder} ({error}). "
                    "Train one with 'sb3-carla train', or name one with --model or -f."
                ) from error
        check_model_file(Path(found[1]), algo)
        interface, normalizer = interface_of(Path(found[1])), normalizer_of(Path(found[1]))
        return found

    def create_env(*args: Any, env_kwargs: dict[str, Any], **kwargs: Any) -> VecEnv:
        if drives_carla(options.env.gym_id):  # another scenario than the training's is seen through the same camera
            env_kwargs = {**interface, **env_kwargs}
        check_env_kwargs(env_kwargs, options.env.gym_id)
        print(f"The model drives in {server_in_words(options.env.gym_id, env_kwargs)}", flush=True)
        if movie is not None:
            env_kwargs = {**env_kwargs, "render_mode": "rgb_array"}
        stats_path = kwargs.get("stats_path")
        ours = normalizer is not None and (stats_path is None or normalizer.parent != Path(stats_path))
        if ours and kwargs.get("hyperparams"):  # rl_zoo3 knows the statistics of the end of a run in --env only
            kwargs["hyperparams"] = {**kwargs["hyperparams"], "normalize": False}
        with own_time_limit(options.env.gym_id, env_kwargs) as kwargs["env_kwargs"]:
            env = rl_zoo3.utils.create_test_env(*args, **kwargs)
        opened.append(env)
        if ours:
            env = VecNormalize.load(str(normalizer), env)
            env.training = env.norm_reward = False
        return ReplayVecEnv(env, options.episodes, movie)

    parser = argparse_with("enjoy", argv, defaults, check, _add_options)
    names = {
        "argparse": parser,
        "StoreDict": StoreExpressions,
        "get_model_path": model_path,
        "create_test_env": create_env,
    }
    try:
        with replaced(rl_zoo3.enjoy, **names):
            rl_zoo3.enjoy.enjoy()
    except BaseException:
        for env in opened:
            env.close()
        raise
    finally:
        if movie is not None:
            movie.close()
    return None if movie is None else movie.path


def _add_options(parser: argparse.ArgumentParser) -> None:
    ours = parser.add_argument_group("sb3_carla")
    which = ours.add_mutually_exclusive_group()
    which.add_argument(
        "--model", type=Path, metavar="FILE.zip", help="Model file (default: the latest in the log folder)"
    )
    which.add_argument(
        "--pretrained", metavar="NAME", help=f"A policy that comes with sb3_carla: {', '.join(pretrained_names())}"
    )
    ours.add_argument("--episodes", type=_positive, metavar="N", help="Episodes to replay (default: 3, or -n steps)")
    ours.add_argument("--video", type=Path, metavar="FILE.mp4", help="Write a video instead of showing a window")


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a positive number")
    return value


class EnoughEpisodes(KeyboardInterrupt):
    """Ends rl_zoo3's loop the way Ctrl-C does, which is the only way that it knows besides a number of steps."""


class ReplayVecEnv(VecEnvWrapper):
    """Reports each episode, films the first environment and stops after some episodes.

    :param venv: the environments of the replay
    :param episodes: how many episodes; None: no limit
    :param movie: the file for the frames, if there is one
    """

    def __init__(self, venv: VecEnv, episodes: int | None, movie: VideoFile | None) -> None:
        super().__init__(venv)
        self.episodes, self.movie = episodes, movie
        self.returns: list[float] = []
        if movie is not None:
            movie.fps = float(venv.get_attr("metadata")[0].get("render_fps") or 30)

    def reset(self) -> VecEnvObs:
        """Reset and film the first frame."""
        observations = self.venv.reset()
        self._film()
        return observations

    def step_wait(self) -> VecEnvStepReturn:
        """Step, report the episodes that ended, film the first environment."""
        observations, rewards, dones, infos = self.venv.step_wait()
        for done, info in zip(dones, infos, strict=True):
            if done:
                self._report(info)
        if self.episodes is not None and len(self.returns) >= self.episodes:
            raise EnoughEpisodes
        self._film()
        return observations, rewards, dones, infos

    def close(self) -> None:
        """Report the mean over the episodes and close."""
        if len(self.returns) > 1:
            mean, deviation = np.mean(self.returns), np.std(self.returns)
            print(f"mean of {len(self.returns)} episodes: reward {mean:.1f} +- {deviation:.1f}")
        self.returns.clear()
        self.venv.close()

    def _report(self, info: dict[str, Any]) -> None:
        episode = info["episode"]  # the Monitor's record: the environment's own reward, not a normalised one
        self.returns.append(float(episode["r"]))
        metres = f", {info['distance']:.0f} m" if "distance" in info else ""
        reason = f", ended by {info['termination']}" if info.get("termination") else ""
        print(
            f"episode {len(self.returns)}: reward {episode['r']:.1f}, {episode['l']} steps{metres}{reason}", flush=True
        )

    def _film(self) -> None:
        if self.movie is not None:
            frame = self.venv.get_images()[0]
            if frame is None:
                raise CommandError("The environment renders no frames. Leave out --video.")
            self.movie.add(np.asarray(frame, dtype=np.uint8))
