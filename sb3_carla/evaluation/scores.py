"""Means over episodes, as a table, as CSV and in the JSON form of the CARLA leaderboard's results."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table

from sb3_carla.envs import Scenario
from sb3_carla.evaluation.episodes import Episode

# Our infraction or ending: the leaderboard's name of its list, and of its column.
LEADERBOARD_NAMES = {
    "collision_pedestrian": ("collisions_pedestrian", "Collisions with pedestrians"),
    "collision_vehicle": ("collisions_vehicle", "Collisions with vehicles"),
    "collision_static": ("collisions_layout", "Collisions with layout"),
    "red_light": ("red_light", "Red lights infractions"),
    "stop_sign": ("stop_infraction", "Stop sign infractions"),
    "off_road": ("outside_route_lanes", "Off-road infractions"),
    "wrong_way": ("wrong_way", "Wrong way"),
    "off_route": ("route_dev", "Route deviations"),
    "stuck": ("vehicle_blocked", "Agent blocked"),
}
MEANS = (
    "driving_score", "route_completion", "infraction_penalty", "mean_speed_kmh", "mean_jerk", "steering_rate",
    "centre_deviation", "reward", "duration", "distance",
)  # fmt: skip
COLUMNS = {  # of the terminal's table: heading and format
    "driving_score": ("driving score", "{:.1f}"),
    "route_completion": ("route %", "{:.1f}"),
    "distance": ("m", "{:.0f}"),
    "infraction_penalty": ("penalty", "{:.2f}"),
    "success_rate": ("success %", "{:.0f}"),
    "collision_pedestrian_per_km": ("ped./km", "{:.2f}"),
    "collision_vehicle_per_km": ("veh./km", "{:.2f}"),
    "collision_static_per_km": ("static/km", "{:.2f}"),
    "red_light_per_km": ("red/km", "{:.2f}"),
    "off_road": ("off road", "{:.0f}"),
    "stuck": ("stuck", "{:.0f}"),
    "centre_deviation": ("off centre m", "{:.2f}"),
    "mean_speed_kmh": ("km/h", "{:.1f}"),
    "mean_jerk": ("jerk m/s³", "{:.1f}"),
    "steering_rate": ("steering 1/s", "{:.2f}"),
    "steering_reversals_per_km": ("reversals/km", "{:.0f}"),
    "reward": ("reward", "{:.1f}"),
}


def summary(episodes: Sequence[Episode]) -> dict[str, float]:
    """The means over episodes; infractions and reversals per kilometre driven and as counts.

    :param episodes: of one driver, at least one
    """
    metrics = [episode.metrics for episode in episodes]
    kilometres = max(sum(max(one["distance"], 0.0) for one in metrics) / 1000.0, 1e-9)
    scores = {name: float(np.mean([one[name] for one in metrics])) for name in MEANS}
    scores["episodes"] = float(len(metrics))
    scores["success_rate"] = 100.0 * float(np.mean([one["success"] for one in metrics]))
    for name in LEADERBOARD_NAMES:
        count = sum(one["infractions"].get(name, 0) for one in metrics)
        scores[name] = float(count)
        scores[f"{name}_per_km"] = count / kilometres
    scores["steering_reversals_per_km"] = sum(one["steering_reversals"] for one in metrics) / kilometres
    return scores


def table(driver: str, summaries: dict[str, dict[str, float]]) -> Table:
    """The table for the terminal: one row per scenario."""
    result = Table(title=f"{driver}: means over episodes", title_justify="left")
    result.add_column("scenario", no_wrap=True)
    result.add_column("episodes", justify="right")
    for heading, _ in COLUMNS.values():
        result.add_column(heading, justify="right")
    for scenario, scores in summaries.items():
        cells = [form.format(scores[name]) for name, (_, form) in COLUMNS.items()]
        result.add_row(scenario, f"{scores['episodes']:.0f}", *cells)
    return result


def csv_text(episodes: Sequence[Episode]) -> str:
    """One line per episode."""
    plain = [key for key, value in episodes[0].metrics.items() if not isinstance(value, dict)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["scenario", "seed", *plain, *LEADERBOARD_NAMES])
    for episode in episodes:
        counts = [episode.metrics["infractions"].get(name, 0) for name in LEADERBOARD_NAMES]
        writer.writerow([episode.scenario, episode.seed, *(episode.metrics[key] for key in plain), *counts])
    return text.getvalue()


def leaderboard_json(scenario: Scenario, episodes: Sequence[Episode], driver: str) -> dict[str, Any]:
    """The results of one scenario in the form of the CARLA leaderboard's result file.

    :param scenario: the scenario
    :param episodes: its episodes, as the leaderboard's records of routes
    :param driver: for the file's own entry ``driver``, which the leaderboard does not have
    """
    scores = summary(episodes)
    records = [_record(scenario, index, episode) for index, episode in enumerate(episodes)]
    spread = {
        theirs: float(np.std([record["scores"][theirs] for record in records]))
        for theirs in ("score_composed", "score_penalty", "score_route")
    }
    means = {
        "score_composed": scores["driving_score"],
        "score_penalty": scores["infraction_penalty"],
        "score_route": scores["route_completion"],
    }
    labels = ["Avg. driving score", "Avg. route completion", "Avg. infraction penalty"]
    values = [means["score_composed"], means["score_route"], means["score_penalty"]]
    labels += [label for _, label in LEADERBOARD_NAMES.values()]
    values += [scores[f"{name}_per_km"] for name in LEADERBOARD_NAMES]
    return {
        "_checkpoint": {
            "global_record": {
                "index": -1,
                "route_id": -1,
                "status": "Completed",
                "infractions": {theirs: scores[f"{ours}_per_km"] for ours, (theirs, _) in LEADERBOARD_NAMES.items()},
                "scores_mean": means,
                "scores_std_dev": spread,
                "meta": {"exceptions": [text for episode in episodes for text in episode.losses]},
            },
            "progress": [len(records), len(records)],
            "records": records,
        },
        "entry_status": "Finished",
        "eligible": True,
        "sensors": [f"sensor.camera.{scenario.camera}"],
        "labels": labels,
        "values": [f"{value:.3f}" for value in values],
        "driver": driver,
        "summary": scores,
    }


def _record(scenario: Scenario, index: int, episode: Episode) -> dict[str, Any]:
    metrics = episode.metrics
    x, y, _ = episode.poses[-1]
    where = f"at (x={x:.1f}, y={y:.1f}) at the latest"
    infractions = {
        theirs: [f"{ours} {where}"] * metrics["infractions"].get(ours, 0)
        for ours, (theirs, _) in LEADERBOARD_NAMES.items()
    }
    timed_out = metrics["status"] != "Completed" and not metrics["infractions"]
    infractions["route_timeout"] = [f"route timeout {where}"] if timed_out else []
    return {
        "index": index,
        "route_id": f"{scenario.name}_{episode.seed}",
        "scenario_name": scenario.name,
        "weather_id": scenario.weather,
        "town_name": scenario.town,
        "status": metrics["status"],
        "num_infractions": sum(metrics["infractions"].values()),
        "infractions": infractions,
        "scores": {
            "score_composed": metrics["driving_score"],
            "score_penalty": metrics["infraction_penalty"],
            "score_route": metrics["route_completion"],
        },
        "meta": {
            "duration_game": metrics["duration"],
            "duration_system": episode.seconds,
            "route_length": metrics["route_length"],
        },
        "metrics": metrics,
    }
