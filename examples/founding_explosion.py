"""The failure that this package was written against, and the same training without its one faulty line.

The actor loss of the founding system let the critic read the *actor's* features, with their gradient, so the actor's
CNN could raise Q by changing the state that the critic sees instead of choosing better actions (`LeakyTD3`). Both
forms are trained with the founding configuration and the callback that stops an explosion; their logs are kept, and
one report compares them.

    python examples/founding_explosion.py                 # camera images of the embedded simulator, 3 seeds of each
    python examples/founding_explosion.py --env frames    # random frames: minutes become a minute
    python examples/founding_explosion.py --short         # random frames, a small network, one seed: seconds

Prints a table with one line per run; the report is in founding_explosion/report. docs/the_explosion.md tells the story.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
import yaml
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import nn

from sb3_carla import TD3, CarlaEnv, NatureCNN
from sb3_carla.report import compare_runs
from sb3_stability import LeakyActorLossError, StopTrainingOnQValueExplosion, check_actor_loss

# The founding run's own values (zoo_configs/presets/founding.yml), with the features that it had: 512, not bounded.
FOUNDING: dict[str, Any] = {
    "learning_rate": 1e-4,
    "gamma": 0.9,
    "tau": 0.001,
    "batch_size": 256,
    "max_grad_norm": {"actor_cnn": 1.0, "actor_mlp": 1.0, "critic_cnn": 10.0, "critic_mlp": 10.0},
    "policy_kwargs": {
        "features_extractor_class": NatureCNN,
        "features_extractor_kwargs": {"features_dim": 512, "trunk": "leaky_relu"},
        "net_arch": [256, 256],
    },
}


class LeakyTD3(TD3):
    """TD3 with the founding fault: in the actor loss the critic reads the actor's features, gradient included."""

    def _setup_model(self) -> None:
        super()._setup_model()
        self.critic.q1_forward = self._q1_of_the_actors_features  # type: ignore[method-assign]

    def _q1_of_the_actors_features(self, observations: Any, actions: th.Tensor) -> th.Tensor:
        # The leak. Right is critic.extract_features(...) under no_grad, which is what q1_forward of SB3 does.
        features = self.actor.extract_features(observations, self.actor.features_extractor)
        q_value: th.Tensor = self.critic.q_networks[0](th.cat([features, actions], dim=1))
        return q_value


class RandomFrames(gym.Env[np.ndarray, np.ndarray]):
    """Random 4x42x42 frames and random rewards in [-1, 1]: there is nothing to learn, so a Q that grows is no success.

    :param episode_steps: steps after which an episode terminates
    """

    observation_space = spaces.Box(0, 255, (4, 42, 42), np.uint8)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self, episode_steps: int = 20) -> None:
        self.episode_steps = episode_steps

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        self.steps = 0
        return self._frames(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Go on; the action changes nothing."""
        self.steps += 1
        return self._frames(), float(self.np_random.uniform(-1, 1)), self.steps >= self.episode_steps, False, {}

    def _frames(self) -> np.ndarray:
        return self.np_random.integers(0, 256, (4, 42, 42), dtype=np.uint8)


class SmallCNN(BaseFeaturesExtractor):
    """Convolutions of 4, 8 and 8 channels and 64 unbounded features."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space, 64)
        convolutions = [nn.Conv2d(4, 4, 8, 4), nn.Conv2d(4, 8, 4, 2), nn.Conv2d(8, 8, 3)]
        layers = [layer for convolution in convolutions for layer in (convolution, nn.LeakyReLU())]
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 64), nn.LeakyReLU())

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """Extract the features of a batch of images."""
        features: th.Tensor = self.layers(observations)
        return features


@dataclass
class Outcome:
    """What became of one run; the figures of the table."""

    form: str
    seed: int
    updates: int = 0
    stopped: bool = False
    bound: float = 0.0  # largest reward / (1 - gamma): no policy can earn more
    q_policy: float = 0.0  # mean Q(s, pi(s)) at the end
    q_replay: float = 0.0  # mean Q(s, a) of replayed actions at the end
    left_bound_at: int | None = None  # update
    gradient_cnn: float = 0.0  # of the actor, before clipping, at the end
    gradient_mlp: float = 0.0
    saturated: float = 0.0  # share of the actions at their limits at the end
    leaking: int = 0  # tensors of the actor that the probe finds the actor loss to reach past the action
    seconds: float = 0.0


class Watch(BaseCallback):
    """Follows every update, dumps the log every few updates and ends a run that has had its number of updates.

    :param outcome: what to fill in
    :param updates: when to end
    :param log_every: updates between two dumps of the log
    """

    def __init__(self, outcome: Outcome, updates: int, log_every: int) -> None:
        super().__init__()
        self.outcome, self.updates, self.log_every = outcome, updates, log_every
        self.reward_range = (0.0, 0.0)  # an episode may end, so zero is always among the possible rewards
        self.seen = 0

    def _on_step(self) -> bool:
        update, outcome = self.model.last_update, self.outcome  # type: ignore[attr-defined]
        if update is None or update.n_updates == self.seen:
            return True
        if update.n_updates // self.log_every > self.seen // self.log_every:
            self.model.dump_logs()  # type: ignore[attr-defined]
        self.seen = outcome.updates = update.n_updates
        low, high = self.reward_range
        self.reward_range = min(low, update.reward_min), max(high, update.reward_max)
        outcome.q_replay = update.q_replay_mean
        if update.q_policy_mean is not None:
            reward = self.reward_range[1] if update.q_policy_mean > 0 else self.reward_range[0]
            outcome.q_policy, outcome.bound = update.q_policy_mean, reward / (1 - update.gamma)
            if abs(outcome.q_policy) <= abs(outcome.bound):
                outcome.left_bound_at = None
            elif outcome.left_bound_at is None:
                outcome.left_bound_at = update.n_updates
            outcome.gradient_cnn, outcome.gradient_mlp = (update.grad_norms[f"actor_{part}"] for part in ("cnn", "mlp"))
            outcome.saturated = update.saturated_share or 0.0
        return update.n_updates < self.updates


def train(form: str, seed: int, settings: dict[str, Any], env_name: str, updates: int, folder: Path) -> Outcome:
    """Train one form until it is stopped or has had its updates.

    :param form: "leaky" or "healthy"
    :param seed: of the env and the networks
    :param settings: arguments of TD3
    :param env_name: "carla" or "frames"
    :param updates: gradient updates at most
    :param folder: where its log goes
    """
    start = time.perf_counter()
    env: gym.Env[Any, Any] = CarlaEnv(seed=seed, reward="founding") if env_name == "carla" else RandomFrames()
    outcome = Outcome(form, seed)
    stop = StopTrainingOnQValueExplosion(verbose=0)
    starts = max(200, settings["batch_size"])
    try:
        algorithm = LeakyTD3 if form == "leaky" else TD3
        model = algorithm("CnnPolicy", env, seed=seed, learning_starts=starts, buffer_size=20_000, **settings)
        model.set_logger(configure(str(folder), ["csv", "tensorboard"]))
        written = {name: value for name, value in settings.items() if name != "policy_kwargs"}
        (folder / "config.yml").write_text(
            yaml.safe_dump({**written, "learning_starts": starts})
        )  # the report reads it
        watch = Watch(outcome, updates, log_every=max(updates // 80, 1))
        model.learn(starts + 2 * updates, callback=[stop, watch], log_interval=10**9)
        outcome.leaking = count_leaks(model)
        model.logger.close()
    finally:
        env.close()
    outcome.stopped = stop.triggered
    if stop.triggered:
        print(f"{form}, seed {seed}: {stop.message}", file=sys.stderr)
    outcome.seconds = time.perf_counter() - start
    return outcome


def count_leaks(model: TD3) -> int:
    """Ask sb3_stability's probe, which needs one batch and no training at all.

    :param model: with some transitions in its replay buffer
    """
    try:
        check_actor_loss(model)
    except LeakyActorLossError as error:
        return len(error.parameters)
    return 0


def table(outcomes: list[Outcome]) -> str:
    """The outcomes as a Markdown table."""
    titles = ["run", "updates", "stopped", "mean Q(s, π(s))", "bound", "Q / bound", "latency", "Q on replay"]
    titles += ["actor CNN / MLP gradient", "saturated", "leak probe"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for one in outcomes:
        ratio = one.q_policy / one.bound if one.bound else float("nan")
        latency = "-" if not one.stopped or one.left_bound_at is None else f"{one.updates - one.left_bound_at} updates"
        cells = [
            f"{one.form}, seed {one.seed}",
            f"{one.updates}",
            "yes" if one.stopped else "no",
            f"{one.q_policy:.4g}",
        ]
        cells += [f"{one.bound:.4g}", f"{ratio:.2g}", latency, f"{one.q_replay:.3g}"]
        cells += [f"{one.gradient_cnn:.3g} / {one.gradient_mlp:.3g}", f"{100 * one.saturated:.0f} %"]
        cells += [f"{one.leaking} tensors leak" if one.leaking else "clean"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--env", choices=("carla", "frames"), default="carla", help="what to train on")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--updates", type=int, default=400, help="gradient updates at most")
    parser.add_argument("--out", type=Path, default=Path("founding_explosion"), help="folder for logs and report")
    parser.add_argument("--short", action="store_true", help="random frames, small network, one seed: some seconds")
    options = parser.parse_args()
    settings = FOUNDING
    if options.short:
        options.env, options.seeds, options.updates = "frames", options.seeds[:1], 200
        small = {"features_extractor_class": SmallCNN, "net_arch": [256, 256]}
        settings = {**FOUNDING, "learning_rate": 1e-3, "batch_size": 32, "policy_kwargs": small}

    outcomes, folders = [], []
    for seed in options.seeds:
        for form in ("leaky", "healthy"):
            folder = options.out / f"{form}_{seed}"
            outcomes.append(train(form, seed, settings, options.env, options.updates, folder))
            folders.append(folder)
    print(table(outcomes))
    with (options.out / "outcomes.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Outcome))
        writer.writerows([getattr(one, field.name) for field in fields(Outcome)] for one in outcomes)
    print(f"\nThe trainings took {sum(one.seconds for one in outcomes):.0f} s on {options.env}.")
    page = compare_runs(folders, options.out / "report")
    print(f"Report: {page.with_suffix('.html')}", file=sys.stderr)


if __name__ == "__main__":
    main()
