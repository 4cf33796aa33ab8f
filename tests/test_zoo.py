from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import cv2
import gymnasium as gym
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rl_zoo3.utils import ALGOS
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import sb3_carla
from sb3_carla.command_line import CommandError
from sb3_carla.envs.errors import ServerUnavailableError
from sb3_carla.td3 import TD3
from sb3_carla.zoo import HyperparameterError, enjoy, packaged_config, train
from sb3_carla.zoo.hyperparameters import (
    accepted_arguments,
    check_section,
    packaged_preset,
    plain_numbers,
    preset_names,
    read_section,
    section_names,
)
from sb3_carla.zoo.manager import RunCallbacks

ENV_ID = "ZooTestPixels-v0"
STOP = "sb3_stability.StopTrainingOnQValue"


class Pixels(gym.Env[np.ndarray, np.ndarray]):
    """Random frames; going straight pays. Small enough for a training in seconds."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array", "human"], "render_fps": 20}
    observation_space = gym.spaces.Box(0, 255, (4, 36, 36), np.uint8)
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
    open_envs: ClassVar[int] = 0
    made: ClassVar[list[tuple[int, int | None]]] = []  # arguments of those that were made

    def __init__(self, length: int = 20, fails_at: int | None = None, render_mode: str | None = None) -> None:
        self.length, self.fails_at, self.render_mode = length, fails_at, render_mode
        self.made.append((length, fails_at))
        self.steps = self.total = 0
        self.is_open = True
        Pixels.open_envs += 1

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if self.fails_at == 0:
            raise ServerUnavailableError("The server is gone.")
        self.steps = 0
        return self._frames(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.total += 1
        if self.total == self.fails_at:
            raise ServerUnavailableError("The server is gone.")
        return self._frames(), -abs(float(action[0])), False, self.steps >= self.length, {"distance": 0.5 * self.steps}

    def render(self) -> np.ndarray:
        return np.full((48, 64, 3), 12 * self.steps % 256, np.uint8)

    def close(self) -> None:
        Pixels.open_envs -= self.is_open
        self.is_open = False

    def _frames(self) -> np.ndarray:
        return self.np_random.integers(0, 255, self.observation_space.shape, dtype=np.uint8)


class Counting(BaseCallback):
    """Counts how often each callback was ended; ``stop_at`` ends the training, ``interrupt_at`` is a Ctrl-C."""

    ends: ClassVar[dict[str, int]] = {}

    def __init__(self, name: str, stop_at: int = -1, interrupt_at: int = -1) -> None:
        super().__init__()
        self.name, self.stop_at, self.interrupt_at = name, stop_at, interrupt_at
        self.ends[name] = 0

    def _on_step(self) -> bool:
        if self.num_timesteps == self.interrupt_at:
            raise KeyboardInterrupt
        return self.num_timesteps != self.stop_at

    def _on_training_end(self) -> None:
        self.ends[self.name] += 1


if ENV_ID not in gym.registry:
    gym.register(ENV_ID, entry_point=Pixels)

SECTION: dict[str, Any] = {
    "policy": "CnnPolicy",
    "n_timesteps": 60,
    "learning_rate": "1e-4",  # as YAML 1.1 gives it
    "buffer_size": 100,
    "learning_starts": 20,
    "batch_size": 4,
    "train_freq": 4,
    "noise_type": "normal",
    "noise_std": 0.3,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder, and find every environment closed afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Pixels, "open_envs", 0)
    monkeypatch.setattr(Counting, "ends", {})
    return tmp_path


def train_with(*options: str, **changes: Any) -> Any:
    Path("section.yml").write_text(yaml.safe_dump({ENV_ID: {**SECTION, **changes}}))
    return train(["--env", ENV_ID, "--conf-file", "section.yml", "--verbose", "0", *options])


def test_every_environment_has_a_packaged_section_that_passes_the_check() -> None:
    config = str(packaged_config("td3.yml"))
    env_ids = [env_id for env_id in gym.registry if env_id.startswith("Carla")]
    assert len(env_ids) >= 3
    for env_id in env_ids:
        check_section(plain_numbers(read_section(config, env_id)), TD3, env_id, config)


@pytest.mark.parametrize("name", preset_names())
def test_every_section_of_every_preset_passes_the_check(name: str) -> None:
    path = packaged_preset(name)
    assert "default" in section_names(path)
    for section in section_names(path):
        if section != "known-bad":
            # MuJoCo is not installed everywhere; the environment matters for its keyword arguments only.
            env_id = "Carla-v0" if section == "default" or section.startswith("Carla") else "Pendulum-v1"
            check_section(plain_numbers(read_section(str(path), section)), TD3, env_id, str(path))


@pytest.mark.parametrize("algo", ["sac", "tqc", "crossq", "ppo"])
def test_other_algorithms_have_sections_for_the_same_environments(algo: str) -> None:
    path = packaged_config(f"{algo}.yml")
    assert set(section_names(path)) <= set(section_names(packaged_config("td3.yml")))
    for env_id in section_names(path):
        check_section(plain_numbers(read_section(str(path), env_id)), ALGOS[algo], env_id, str(path))


@pytest.mark.parametrize("algo", ["sac", "tqc", "crossq", "ppo"])
def test_other_algorithms_are_compared_in_the_same_environment(algo: str) -> None:
    for env_id in section_names(packaged_config(f"{algo}.yml")):
        ours, other = (read_section(str(packaged_config(f"{name}.yml")), env_id) for name in ("td3", algo))
        if ours["policy"] == "AsymmetricPolicy":  # only our critic reads the state vector there
            del ours["env_kwargs"]["observation"], ours["normalize"]
        for key in ("env_kwargs", "normalize", "n_timesteps"):
            assert other.get(key) == ours.get(key)


@pytest.mark.parametrize(
    ("algo", "env_id"),
    [
        *((algo, "Carla-v0") for algo in ("sac", "tqc", "crossq", "ppo")),
        *((algo, "CarlaLightTraffic-v0") for algo in ("sac", "tqc", "ppo")),
    ],
)
def test_the_packaged_sections_of_other_algorithms_train(algo: str, env_id: str) -> None:
    short = ["n_steps:20", "batch_size:20"] if algo == "ppo" else ["learning_starts:20", "buffer_size:100"]
    run = train(["--env", env_id, "--algo", algo, "-n", "40", "--verbose", "0", "--no-video", "-params", *short])
    assert run is not None
    assert (run.steps, run.failure) == (40, None)
    assert run.model.exists()


def test_a_callback_that_the_algorithm_has_nothing_for_is_one_error_and_leaves_nothing(folder: Path) -> None:
    section = {"policy": "CnnPolicy", "n_timesteps": 20, "n_steps": 10, "callback": f"{STOP}Explosion"}
    Path("section.yml").write_text(yaml.safe_dump({ENV_ID: section}))
    with pytest.raises(CommandError, match="The training cannot start: PPO has no Q-values"):
        train(["--env", ENV_ID, "--algo", "ppo", "--conf-file", "section.yml", "--verbose", "0", "-f", "logs"])
    assert [path.name for path in folder.glob("logs/*/*")] == []


def test_an_unknown_name_in_a_nested_mapping_is_one_error_and_leaves_nothing(folder: Path) -> None:
    for nested in ("replay_buffer_kwargs:dict(alpa=.5)", "policy_kwargs:dict(features_extractor_kwargs=dict(foo=1))"):
        with pytest.raises(
            CommandError, match=r"The training cannot start: .* unexpected keyword argument '(alpa|foo)'"
        ):
            train(["--env", ENV_ID, "-n", "20", "--verbose", "0", "-f", "logs", "-params", nested])
    assert [path.name for path in folder.glob("logs/*/*")] == []


def test_a_preset_trains_by_its_name() -> None:
    run = train(["--env", ENV_ID, "--preset", "lane-keeping", "-n", "30", "--verbose", "0", "--no-video"])
    assert run is not None
    saved = yaml.unsafe_load((run.folder / ENV_ID / "config.yml").read_text())
    assert dict(saved)["max_grad_norm"] == 1.0


@pytest.mark.parametrize("name", ["td3-paper", "sb3"])
def test_the_published_presets_train_state_tasks_too(name: str) -> None:
    short = ["-params", "learning_starts:20", "buffer_size:100"]
    run = train(["--env", "Pendulum-v1", "--preset", name, "-n", "40", "--verbose", "0", *short])
    assert run is not None
    model = TD3.load(run.model)
    assert (model.num_timesteps, model.max_grad_norm) == (40, None)
    assert model.policy.net_arch == [400, 300]  # the paper's, and SB3's default for vectors


def test_the_preset_ours_is_what_is_trained_without_a_preset() -> None:
    assert packaged_preset("ours").samefile(packaged_config("td3.yml"))


def test_a_scenario_of_ones_own_starts_from_our_section(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])  # as in a console script
    scenario = "register_scenario(Scenario('commute', max_episode_steps=20))"
    (folder / "my_scenarios.py").write_text(f"from sb3_carla.envs import Scenario, register_scenario\n{scenario}\n")
    short = ["-n", "24", "-params", "learning_starts:12", "batch_size:4", "buffer_size:50", "--verbose", "0"]
    run = train(["--env", "CarlaCommute-v0", "--gym-packages", "my_scenarios", *short])
    assert run is not None
    assert run.model.is_file()


def test_a_module_of_scenarios_that_is_not_there_is_named() -> None:
    with pytest.raises(CommandError, match=r"my_scenarois.*no such module"):
        train(["--env", "Carla-v0", "--gym-packages", "my_scenarois"])


def test_a_preset_that_is_known_to_be_bad_needs_a_flag() -> None:
    with pytest.raises(HyperparameterError, match=r"saturates.*--known-bad"):
        train(["--env", ENV_ID, "--preset", "founding", "-n", "30"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "drqv2"], "no preset 'drqv2'.*drq-v2"),
        (["--preset", "sb3", "--conf-file", "section.yml"], "both"),
        (["--preset", "sb3", "--algo", "sac"], "for td3, not sac"),
    ],
)
def test_a_preset_that_cannot_be_used_is_refused(options: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        train(["--env", ENV_ID, *options])


def test_training_leaves_a_model_a_log_and_its_configuration_in_one_folder() -> None:
    run = train_with()
    assert run is not None
    assert run.folder == Path("runs/td3") / f"{ENV_ID}_1"
    assert (run.steps, run.planned_steps, run.failure) == (60, 60, None)
    assert isinstance(TD3.load(run.model), sb3_carla.TD3)
    assert run.tensorboard is not None
    assert run.tensorboard.is_relative_to(run.folder)
    assert list(run.tensorboard.rglob("events.out.tfevents.*"))
    saved = yaml.unsafe_load((run.folder / ENV_ID / "config.yml").read_text())
    assert saved["learning_rate"] == 1e-4
    assert Pixels.open_envs == 0


def test_rates_may_be_numbers_in_text_or_schedules_for_each_part() -> None:
    rates = {"actor_cnn": "1e-5", "actor_mlp": "lin_1e-4", "critic_cnn": 3e-4, "critic_mlp": "3e-4"}
    run = train_with("-n", "40", learning_rates=rates, max_grad_norm={"actor_cnn": "1e0"})
    model = TD3.load(run.model)
    groups = {group["name"]: group["lr"] for group in model.actor.optimizer.param_groups}
    assert groups["actor_cnn"] == pytest.approx(1e-5)
    assert groups["actor_mlp"] < 0.7e-4  # it has come down from 1e-4


def test_classes_of_any_package_can_be_named_in_policy_kwargs() -> None:
    kwargs = {"activation_fn": "torch.nn.Tanh", "net_arch": [8]}
    run = train_with("-n", "24", policy_kwargs=kwargs)
    assert "Tanh" in str(TD3.load(run.model).actor.mu)


def test_command_line_overrides_reach_the_algorithm_and_the_environment() -> None:
    run = train_with("-params", "gamma:0.5", "-params", "batch_size:2", "--env-kwargs", "length:7", "-n", "28")
    model = TD3.load(run.model)
    assert (model.gamma, model.batch_size) == (0.5, 2)
    assert [episode["l"] for episode in model.ep_info_buffer] == [7, 7, 7, 7]


def test_environment_arguments_of_the_command_line_leave_those_of_the_section_alone() -> None:
    Pixels.made = []
    section = {"length": 7, "fails_at": 1000}
    run = train_with("--env-kwargs", "length:5", "--eval-env-kwargs", "fails_at:999", "-n", "20", env_kwargs=section)
    assert Pixels.made == [(5, 1000)]
    saved = yaml.unsafe_load((run.folder / ENV_ID / "config.yml").read_text())
    assert saved["env_kwargs"] == {"length": 5, "fails_at": 1000}


def test_the_last_steps_are_in_the_log_too() -> None:
    run = train_with("-n", "48")  # SB3 alone would end the log with the last whole episode, at step 40
    log = EventAccumulator(str(next(run.tensorboard.iterdir())))
    log.Reload()
    assert [event.step for event in log.Scalars("train/critic_loss")] == [40, 48]


def test_the_progress_bar_shows_the_reward_instead_of_tables(capfd: pytest.CaptureFixture[str]) -> None:
    Path("section.yml").write_text(yaml.safe_dump({ENV_ID: SECTION}))
    train(["--env", ENV_ID, "--conf-file", "section.yml", "-P"])
    shown = "".join(capfd.readouterr())
    assert re.search(r"reward -\d", shown)
    assert "60/60" in shown
    assert "ep_rew_mean" not in shown


def test_every_callback_is_ended_exactly_once() -> None:
    names = [{f"{__name__}.Counting": {"name": name}} for name in ("first", "second")]
    train_with(callback=names)
    assert Counting.ends == {"first": 1, "second": 1}


def test_an_interrupted_training_ends_all_callbacks_and_keeps_its_model() -> None:
    names = [
        {f"{__name__}.Counting": {"name": "first", "interrupt_at": 30}},
        {f"{__name__}.Counting": {"name": "last"}},
    ]
    run = train_with(callback=names)
    assert Counting.ends == {"first": 1, "last": 1}
    assert run.steps == 30
    assert run.model.is_file()


def test_a_callback_can_stop_the_training() -> None:
    run = train_with(callback={f"{__name__}.Counting": {"name": "stop", "stop_at": 33}})
    assert run.steps == 33
    assert run.failure is None


def test_a_run_that_loses_its_server_for_good_keeps_what_it_learned() -> None:
    run = train_with("--env-kwargs", "fails_at:45")
    assert run.failure is not None
    assert "The server is gone." in run.failure
    assert TD3.load(run.model).num_timesteps == run.steps < 60
    assert Pixels.open_envs == 0


def test_a_server_that_cannot_be_had_leaves_neither_a_folder_nor_an_environment(folder: Path) -> None:
    with pytest.raises(ServerUnavailableError):
        train_with("--env-kwargs", "fails_at:0")
    assert [path.name for path in folder.iterdir()] == ["section.yml"]
    assert Pixels.open_envs == 0


def test_a_value_that_the_algorithm_refuses_leaves_neither_a_folder_nor_an_environment(folder: Path) -> None:
    with pytest.raises(CommandError):
        train_with(learning_rates={"actor_cn": 1e-4})
    assert [path.name for path in folder.iterdir()] == ["section.yml"]
    assert Pixels.open_envs == 0


def test_earlier_runs_survive_a_failed_start() -> None:
    first = train_with("-n", "24")
    with pytest.raises(ServerUnavailableError):
        train_with("--env-kwargs", "fails_at:0")
    assert first.model.is_file()
    assert [path.name for path in first.folder.parent.iterdir()] == [f"{ENV_ID}_1"]


def test_training_goes_on_from_a_model_file() -> None:
    first = train_with("-n", "24")
    second = train_with("-n", "24", "-i", str(first.model))
    assert second.folder.name == f"{ENV_ID}_2"
    assert second.model.is_file()


def test_evaluation_uses_the_same_environment_arguments_and_closes_its_environment() -> None:
    run = train_with("--eval-freq", "20", "--eval-episodes", "1", env_kwargs={"length": 6})
    assert (run.folder / "best_model.zip").is_file()
    assert np.load(run.folder / "evaluations.npz")["ep_lengths"].flatten().tolist() == [6, 6, 6]
    assert Pixels.open_envs == 0


def test_enjoy_replays_the_latest_run(capsys: pytest.CaptureFixture[str]) -> None:
    train_with("-n", "24")
    train_with("-n", "24", "--env-kwargs", "length:11")
    capsys.readouterr()
    enjoy(["--env", ENV_ID, "--no-render", "--episodes", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("episode 1:") and ", 11 steps, 6 m" in line]
    assert [line for line in lines if line.startswith("mean of 2 episodes")]
    assert Pixels.open_envs == 0


def test_enjoy_stops_after_the_number_of_steps_that_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    train_with("-n", "24")
    capsys.readouterr()
    enjoy(["--env", ENV_ID, "--no-render", "-n", "45"])
    assert capsys.readouterr().out.count(", 20 steps") == 2


def test_a_video_shows_every_frame_of_the_episode_once() -> None:
    run = train_with("-n", "24")
    video = enjoy(["--env", ENV_ID, "--model", str(run.model), "--episodes", "1", "--video", "films/drive.mp4"])
    assert video == Path("films/drive.mp4")
    film = cv2.VideoCapture(str(video))
    assert film.get(cv2.CAP_PROP_FPS) == 20
    brightness = []
    while (read := film.read())[0]:
        brightness.append(round(float(read[1].mean())))
    assert len(brightness) == 20
    assert brightness == pytest.approx([12 * step for step in range(20)], abs=4)


def test_a_model_of_another_algorithm_is_refused_before_an_environment_is_made() -> None:
    Path("section.yml").write_text(yaml.safe_dump({ENV_ID: {"policy": "CnnPolicy", "n_timesteps": 20, "n_steps": 10}}))
    run = train(["--env", ENV_ID, "--algo", "ppo", "--conf-file", "section.yml", "--verbose", "0"])
    assert run is not None
    Pixels.open_envs = 100  # so that one more would show
    with pytest.raises(CommandError, match="PPO"):
        enjoy(["--env", ENV_ID, "--model", str(run.model), "--no-render"])
    assert Pixels.open_envs == 100


@given(st.floats(min_value=1e-30, max_value=1e30))
def test_numbers_with_an_exponent_are_read_as_numbers(number: float) -> None:
    text = f"{number:.17e}"
    assert plain_numbers({"a": [text]}) == {"a": [number]}


@given(st.text())
def test_only_numbers_with_an_exponent_are_changed(text: str) -> None:
    result = plain_numbers(text)
    assert result == text or (isinstance(result, float) and "e" in text.lower())


def test_the_arguments_of_td3_include_those_of_its_parents() -> None:
    arguments, takes_any = accepted_arguments(TD3)
    assert {"learning_rates", "max_grad_norm", "tau", "policy_delay", "buffer_size"} <= set(arguments)
    assert not takes_any


@pytest.mark.parametrize(
    ("changes", "wrong", "right"),
    [
        ({"learnin_rate": 1e-3}, "'learnin_rate'", "'learning_rate'"),
        ({"policy_dealy": 2}, "'policy_dealy'", "'policy_delay'"),
        ({"learning_rate": "cos_1e-4"}, "'cos_1e-4'", "lin_1e-4"),
        ({"gamma": "O.99"}, "gamma: 'O.99'", "number"),
        ({"policy": "CnPolicy"}, "'CnPolicy'", "'CnnPolicy'"),
        ({"policy_kwargs": {"net_arc": [8]}}, "'net_arc'", "'net_arch'"),
        ({"env_kwargs": {"lenght": 3}}, "'lenght'", "'length'"),
        ({"seed": 3}, "'seed'", "--seed"),
        ({"action_noise": 1}, "'action_noise'", "noise_type"),
        ({"callback": f"{STOP}Explosio"}, "'StopTrainingOnQValueExplosio'", "'StopTrainingOnQValueExplosion'"),
        ({"callback": {f"{STOP}Explosion": {"paitence": 2}}}, "'paitence'", "'patience'"),
        ({"callback": "no_such_package.Callback"}, "'no_such_package.Callback'", "install"),
        ({"callback": 3}, "callback: 3", "dotted class name"),
        (
            {"env_wrapper": {"gymnasium.wrappers.TimeLimit": {"episode_steps": 3}}},
            "'episode_steps'",
            "'max_episode_steps'",
        ),
    ],
)
def test_a_wrong_entry_of_a_section_is_named_with_what_would_be_right(
    changes: dict[str, Any], wrong: str, right: str
) -> None:
    with pytest.raises(HyperparameterError, match=f"{re.escape(wrong)}.*{re.escape(right)}"):
        check_section({**plain_numbers(SECTION), **changes}, TD3, ENV_ID, "section.yml")


@pytest.mark.parametrize("missing", ["policy", "n_timesteps", "noise_std"])
def test_a_section_without_a_needed_key_is_refused(missing: str) -> None:
    section = {key: value for key, value in plain_numbers(SECTION).items() if key != missing}
    with pytest.raises(HyperparameterError, match=missing):
        check_section(section, TD3, ENV_ID, "section.yml")


def test_importing_the_packages_imports_neither_carla_nor_rl_zoo3() -> None:
    program = "import sys, sb3_carla, sb3_stability; print(sorted({'carla', 'rl_zoo3'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class SwallowsOneCtrlC(BaseCallback):
    """Gets a KeyboardInterrupt where Python ignores it: in a destructor."""

    def _on_step(self) -> bool:
        if self.n_calls == 3:
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        return True


def test_a_ctrl_c_that_gets_lost_ends_the_training_at_its_next_step() -> None:
    handler = signal.getsignal(signal.SIGINT)
    model = SAC("MlpPolicy", "Pendulum-v1", learning_starts=1000)
    callbacks = RunCallbacks([SwallowsOneCtrlC()])
    with callbacks.stopped_by_ctrl_c():
        model.learn(50, callback=callbacks)
    assert model.num_timesteps == 3
    assert signal.getsignal(signal.SIGINT) is handler
