"""Score drivers in scenarios and film them; a path of a model file is a driver, too.

Usage: python examples/evaluate_and_film.py [--drivers pursuit random runs/td3/Carla-v0_1/Carla-v0.zip] [--episodes N]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sb3_carla.evaluation import evaluate, make_driver


def main(drivers: list[str], episodes: int, max_steps: int) -> None:
    for name in drivers:
        driver = make_driver(name, "td3")
        out = Path("evaluations") / driver.name
        limits = {"max_episode_steps": max_steps}
        result = evaluate(driver, ["lane_following", "rain"], episodes, out=out, video=True, env_kwargs=limits)
        for scenario, scores in result.summaries.items():
            print(f"{driver.name} in {scenario}: driving score {scores['driving_score']:.1f}")
        print("  " + ", ".join(str(path) for path in result.files))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--drivers", nargs="+", default=["pursuit", "random"])
    parser.add_argument("--episodes", type=int, default=2)
    parser.add_argument("--max-steps", type=int, default=1000, help="environment steps per episode")
    options = parser.parse_args()
    main(options.drivers, options.episodes, options.max_steps)
