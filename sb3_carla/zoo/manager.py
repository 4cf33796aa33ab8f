"""rl_zoo3's experiment manager, strict about what it is given and clean about what it leaves."""

from __future__ import annotations

import argparse
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from rl_zoo3.exp_manager import ExperimentManager
from rl_zoo3.utils import ALGOS
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, CheckpointCallback, ProgressBarCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_carla.command_line import CommandError
from sb3_carla.envs.errors import CarlaEnvError
from sb3_carla.td3 import NonFiniteGradients
from sb3_carla.zoo.hyperparameters import check_env_kwargs, check_section, plain_numbers, resolve_classes
from sb3_carla.zoo.models import config_of, normalizer_of
from sb3_carla.zoo.options import own_time_limit
from sb3_stability import UnreadableModelError


@dataclass(frozen=True)
class TrainedRun:
    """What a training left behind.

    :param folder: the run folder
    :param model: the model file
    :param tensorboard: the folder of the TensorBoard log, if one was asked for
    :param env_id: gym id
    :param algo: rl_zoo3's name of the algorithm
    :param steps: environment steps done
    :param planned_steps: environment steps asked for
    :param wants_video: whether ``--no-video`` was absent
    :param failure: why the training broke off, in a sentence; None when it ended by itself or was stopped
    """

    folder: Path
    model: Path
    tensorboard: Path | None
    env_id: str
    algo: str
    steps: int
    planned_steps: int
    wants_video: bool
    failure: str | None


class RunManager(ExperimentManager):
    """rl_zoo3's experiment manager with a strict reading of the configuration and nothing left behind by a failure."""

    def __init__(
        self,
        args: argparse.Namespace,
        algo: str,
        env_id: str,
        log_folder: str,
        tensorboard_log: str | None,
        *rest: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(args, algo, env_id, log_folder, tensorboard_log or "", *rest, **kwargs)
        if tensorboard_log is None:
            self.tensorboard_log = str(Path(self.save_path) / "tensorboard")
        self.trained: TrainedRun | None = None
        self.section: dict[str, Any] = {}  # the hyperparameters as read, before rl_zoo3 makes objects of them
        self._failure: str | None = None
        self._new_folders = [path for path in (Path(log_folder), Path(self.log_path)) if not path.exists()]
        self._training_envs: list[VecEnv] = []
        self._eval_envs: list[VecEnv] = []
        self._env_id = env_id

    def read_hyperparameters(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read the section and check all of it; nothing has been started or written yet."""
        section, saved = super().read_hyperparameters()
        section, saved = plain_numbers(section), type(saved)(plain_numbers(dict(saved)))
        overridden = " with -params" if self.custom_hyperparams else ""
        agent = Path(self.trained_agent) if self.trained_agent else None
        if agent is not None and (trained := config_of(agent)):  # the network has learned with its own normalisation
            for one in (section, saved):
                one.pop("normalize", None)
                if trained.get("normalize"):
                    one["normalize"] = trained["normalize"]
        self._source = f"section {self._env_id} of {self.config}{overridden}"
        check_section(section, ALGOS[self.algo], self._env_id, self._source)
        check_env_kwargs(self.env_kwargs, self._env_id)
        check_env_kwargs(self.eval_env_kwargs, self._env_id)
        self.section = dict(section)
        return section, saved

    def _preprocess_hyperparams(self, hyperparams: dict[str, Any]) -> Any:
        processed = super()._preprocess_hyperparams(resolve_classes(hyperparams, self._source))
        if self._eval_env_kwargs_args is None:
            self.eval_env_kwargs = self.env_kwargs  # rl_zoo3 leaves out those that only the YAML section gives
        return processed

    def create_envs(self, n_envs: int, eval_env: bool = False, no_log: bool = False) -> VecEnv:
        """Keep the environments in mind: rl_zoo3 closes only the one for training, and that only after a training."""
        name = "eval_env_kwargs" if eval_env else "env_kwargs"
        given = getattr(self, name)
        with own_time_limit(self._env_id, given) as left:
            setattr(self, name, left)
            try:
                env = super().create_envs(n_envs, eval_env, no_log)
            finally:
                setattr(self, name, given)  # what rl_zoo3 writes about the run is all of it
        if not self.optimize_hyperparameters:  # whose trials close theirs, and should not stay in memory
            (self._eval_envs if eval_env else self._training_envs).append(env)
        return env

    def _maybe_normalize(self, env: VecEnv, eval_env: bool) -> VecEnv:
        """Normalise as the section says, with the statistics of the agent that is trained on."""
        statistics = normalizer_of(Path(self.trained_agent)) if self.trained_agent else None
        if statistics is None:
            return super()._maybe_normalize(env, eval_env)
        env = VecNormalize.load(str(statistics), env)
        if eval_env:
            env.training = env.norm_reward = False
        return env

    def setup_experiment(self) -> Any:
        """Make environments and model; when that fails, leave no folder and no server behind."""
        try:
            return super().setup_experiment()
        except BaseException as error:
            self._put_away()
            # SB3 and the algorithm report a value that they cannot use as a ValueError. What a nested mapping, such as
            # replay_buffer_kwargs, is passed on to says so only when it gets a name that it does not know.
            unknown_name = isinstance(error, TypeError) and "unexpected keyword argument" in str(error)
            unusable = isinstance(error, ValueError) and not isinstance(error, (CarlaEnvError, CommandError))
            if unknown_name or unusable:
                raise CommandError(f"The training cannot start: {' '.join(str(error).split())}") from error
            raise

    def create_callbacks(self) -> None:
        """Add the mean reward to the progress bar: with the bar, no tables are printed."""
        super().create_callbacks()  # type: ignore[no-untyped-call]
        for callback in self.callbacks:
            if isinstance(callback, CheckpointCallback):  # a checkpoint without them would drive blindly
                callback.save_vecnormalize = True
        bars = [callback for callback in self.callbacks if isinstance(callback, ProgressBarCallback)]
        self.callbacks.extend(_RewardInBar(bar) for bar in bars[-1:])

    def learn(self, model: BaseAlgorithm) -> None:
        """Train; when the environment or the gradients give up, go on to saving what was learned until then."""
        callbacks = RunCallbacks(self.callbacks)
        self.callbacks = [callbacks]
        try:
            with callbacks.stopped_by_ctrl_c():
                super().learn(model)
        except (CarlaEnvError, NonFiniteGradients) as error:
            if not callbacks.started:  # no step was done: as good as not started
                self._put_away()
                raise
            self._failure = f"The training broke off after {model.num_timesteps} steps: {error}"
        except UnreadableModelError as error:  # a callback of the configuration that this algorithm has nothing for
            self._put_away()
            raise CommandError(f"The training cannot start: {error}") from error
        finally:
            _close(self._eval_envs)
        # SB3 writes its log every few episodes and drops the rest, which is the part that shows why a run was stopped.
        if callbacks.started and isinstance(model, OffPolicyAlgorithm) and model.logger.name_to_value:
            model.dump_logs()

    def save_trained_model(self, model: BaseAlgorithm) -> None:
        """Save the model and note what there is."""
        model.verbose = 0  # is saved, too: a loaded model describes itself only when asked to
        super().save_trained_model(model)
        self.trained = TrainedRun(
            folder=Path(self.save_path),
            model=Path(f"{self.params_path}.zip"),
            tensorboard=Path(self.tensorboard_log) if self.tensorboard_log else None,
            env_id=self._env_id,
            algo=self.algo,
            steps=model.num_timesteps,
            planned_steps=self.n_timesteps,
            wants_video=not self.args.no_video,
            failure=self._failure,
        )

    def _put_away(self) -> None:
        _close(self._training_envs + self._eval_envs)
        if not self.optimize_hyperparameters:  # the folder of a study may be another worker's, too
            shutil.rmtree(self.save_path, ignore_errors=True)
        for folder in reversed(self._new_folders):
            with suppress(OSError):  # something else is in it by now
                folder.rmdir()


def _close(envs: list[VecEnv]) -> None:
    for env in envs:
        with suppress(EOFError):  # a SubprocVecEnv whose processes are gone
            env.close()


class _RewardInBar(BaseCallback):
    """Shows the mean reward of the last episodes beside rl_zoo3's progress bar."""

    def __init__(self, bar: ProgressBarCallback) -> None:
        super().__init__()
        self._bar = bar

    def _on_step(self) -> bool:
        episodes = self.model.ep_info_buffer
        if episodes and self.n_calls % 50 == 0:
            rewards = [episode["r"] for episode in list(episodes)[-10:]]
            self._bar.pbar.set_description(f"reward {sum(rewards) / len(rewards):.1f}", refresh=False)
        return True


class RunCallbacks(CallbackList):
    """All callbacks of a run, ended once.

    rl_zoo3 ends the first callback a second time after a normal end; after Ctrl-C it ends the first one only, which
    leaves a progress bar open that is not the first. And a KeyboardInterrupt can get lost: Python ignores one that is
    raised in a destructor. So Ctrl-C also ends the training at its next step.
    """

    started = False
    ended = False
    interrupted = False

    @contextmanager
    def stopped_by_ctrl_c(self) -> Iterator[None]:
        """Remember Ctrl-C besides raising KeyboardInterrupt. Only the main thread is told of signals."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupt(number: int, frame: FrameType | None) -> None:
            self.interrupted = True
            raise KeyboardInterrupt

        before = signal.signal(signal.SIGINT, interrupt)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.SIG_DFL if before is None else before)

    def _on_step(self) -> bool:
        return super()._on_step() and not self.interrupted

    def _on_training_start(self) -> None:
        self.started = True
        super()._on_training_start()

    def _on_training_end(self) -> None:
        if self.started and not self.ended:
            self.ended = True
            super()._on_training_end()
