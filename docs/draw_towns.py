"""Draw the plans of the built-in towns: ``python docs/draw_towns.py docs/images/towns.png``."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib

from sb3_carla.simulator.roads import RoadMap, built_in_maps

matplotlib.use("Agg")
import matplotlib.pyplot as plt

TEST_TOWNS = ("Town_Curves", "Town_Circle")
COLUMNS = 6
EVERY = 2.0  # between two points of a lane [m]


def main() -> None:
    """One plan per town, all lanes, in the order of their names."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    names = built_in_maps()
    figure, axes = plt.subplots(
        -(-len(names) // COLUMNS), COLUMNS, figsize=(15, 8), layout="constrained", squeeze=False
    )
    for plan, name in zip(axes.flat, names, strict=False):
        places = [w.transform.location for w in RoadMap.load(name).carla_map.generate_waypoints(EVERY)]
        xs, ys = [place.x for place in places], [-place.y for place in places]  # north up: CARLA's y points south
        plan.scatter(xs, ys, s=0.5, color="tab:orange" if name in TEST_TOWNS else "tab:blue")
        plan.set(aspect="equal", xticks=[], yticks=[])
        plan.set_title(f"{name}, {max(xs) - min(xs):.0f} m x {max(ys) - min(ys):.0f} m", fontsize=8)
    figure.suptitle("Towns to train in (blue) and to test in (orange)")
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.picture, dpi=80)


if __name__ == "__main__":
    main()
