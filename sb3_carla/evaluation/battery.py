"""An evaluation from beginning to end: drive every scenario, score it, write the results."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sb3_carla.envs import CarlaEnv
from sb3_carla.evaluation.drivers import Driver
from sb3_carla.evaluation.episodes import Episode, drive_episodes
from sb3_carla.evaluation.film import Film
from sb3_carla.evaluation.plots import plot_trajectories
from sb3_carla.evaluation.scores import csv_text, leaderboard_json, summary


@dataclass
class Evaluation:
    """The results of one driver."""

    driver: str
    summaries: dict[str, dict[str, float]] = field(default_factory=dict)  # by scenario
    episodes: list[Episode] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def evaluate(
    driver: Driver,
    scenarios: Sequence[str],
    episodes: int,
    *,
    seed: int = 0,
    out: Path | None = None,
    video: bool = False,
    saliency: bool = False,
    server: str | None = None,
    env_kwargs: Mapping[str, Any] | None = None,
    told: Callable[[Episode], None] = lambda _: None,
) -> Evaluation:
    """Drive episodes in scenarios and score them.

    :param driver: who drives
    :param scenarios: names of scenarios
    :param episodes: per scenario
    :param seed: of the first episode; each further one has the next, in every scenario and for every driver
    :param out: folder for JSON, CSV, pictures and videos; None: none are written
    :param video: film the scenarios
    :param saliency: show in the film where a model looks
    :param server: see :class:`~sb3_carla.envs.CarlaEnv`
    :param env_kwargs: further options of CarlaEnv; they go before those that the driver brings
    :param told: is given each episode when it has ended
    :raises CarlaEnvError: for a scenario, an option or a server that cannot be used
    :raises CommandError: for a model that does not fit
    """
    result = Evaluation(driver.name)
    options = {**driver.env_kwargs, **(env_kwargs or {})}
    film_wanted = video and out is not None
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    for name in scenarios:
        env = CarlaEnv(server, name, render_mode="rgb_array" if film_wanted else None, **options)
        film = None
        try:
            if film_wanted and out is not None:
                film = Film(out / f"{name}.mp4", env.scenario, env.metadata["render_fps"], saliency)
                result.files.append(out / f"{name}.mp4")
            driven = []
            for episode in drive_episodes(env, driver, episodes, seed, film):
                driven.append(episode)
                told(episode)
            result.episodes += driven
            result.summaries[name] = summary(driven)
            if out is not None:
                picture, scores = out / f"{name}.png", out / f"{name}.json"
                title = f"{driver.name} in {name}: driving score {result.summaries[name]['driving_score']:.1f}"
                plot_trajectories(picture, driven, env.lane_lines(), title)
                scores.write_text(json.dumps(leaderboard_json(env.scenario, driven, driver.name), indent=1))
                result.files += [picture, scores]
        finally:
            if film is not None:
                film.close()
            env.close()
    if out is not None:
        table = out / "episodes.csv"
        table.write_text(csv_text(result.episodes))
        result.files.append(table)
    return result
