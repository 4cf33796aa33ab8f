"""The built-in towns; ``python -m sb3_carla.simulator.maps.draw`` writes their OpenDRIVE files.

All coordinates are OpenDRIVE's: metres, x east, y north (CARLA's y is the negative).
"""

from __future__ import annotations

from pathlib import Path

from sb3_carla.simulator.maps.alignment import Corner
from sb3_carla.simulator.maps.network import Road, Town


def town_blocks() -> Town:
    """City blocks inside a ring road, with an avenue of two lanes per direction through the middle."""
    junctions = {
        "south-west": (-62.0, -150.0),
        "south-east": (58.0, -146.0),
        "east-low": (185.0, -48.0),
        "east-high": (188.0, 52.0),
        "north-east": (64.0, 152.0),
        "north-west": (-56.0, 148.0),
        "west-high": (-182.0, 56.0),
        "west-low": (-180.0, -44.0),
        "avenue-west": (-64.0, -44.0),
        "avenue-east": (62.0, -48.0),
        "street-west": (-60.0, 54.0),
        "street-east": (66.0, 50.0),
    }
    ring = [
        Road("south-west", "south-east", (Corner(-31, -150, 40, 8), Corner(-3, -159, 36, 8), Corner(26, -147, 40, 8))),
        Road("south-east", "east-low", (Corner(185, -142, 48, 15),)),
        Road("east-low", "east-high"),
        Road("east-high", "north-east", (Corner(190, 152, 36, 12),)),
        Road("north-east", "north-west", (Corner(35, 152, 40, 8), Corner(4, 163, 34, 10), Corner(-26, 149, 40, 8))),
        Road("north-west", "west-high", (Corner(-186, 147, 62, 20),)),
        Road("west-high", "west-low"),
        Road("west-low", "south-west", (Corner(-178, -151, 30, 10),)),
    ]
    avenue = [
        Road("west-low", "avenue-west", lanes=2, speed_kmh=50),
        Road(
            "avenue-west", "avenue-east", (Corner(-20, -44, 120, 15), Corner(18, -49, 120, 15)), lanes=2, speed_kmh=50
        ),
        Road("avenue-east", "east-low", lanes=2, speed_kmh=50),
    ]
    streets = [
        Road("west-high", "street-west", (Corner(-148, 55, 40, 8), Corner(-118, 66, 36, 8), Corner(-88, 54, 36, 8))),
        Road("street-west", "street-east"),
        Road("street-east", "east-high", (Corner(98, 49, 36, 8), Corner(126, 39, 32, 8), Corner(154, 52, 36, 8))),
        Road("south-west", "avenue-west"),
        Road("avenue-west", "street-west"),
        Road("street-west", "north-west", (Corner(-60, 80, 36, 6), Corner(-51, 102, 30, 6), Corner(-57, 124, 36, 6))),
        Road("south-east", "avenue-east", (Corner(58, -118, 36, 6), Corner(66, -96, 32, 6), Corner(62, -74, 36, 6))),
        Road("avenue-east", "street-east"),
        Road("street-east", "north-east"),
    ]
    return Town("Town_Blocks", junctions, ring + avenue + streets)


def town_curves() -> Town:
    """A winding ring with a crossing inside, for testing on roads that no training has seen."""
    junctions = {
        "south-west": (-120.0, -92.0),
        "south-east": (122.0, -84.0),
        "north-east": (116.0, 96.0),
        "north-west": (-126.0, 88.0),
        "middle": (4.0, 2.0),
    }
    roads = [
        Road(
            "south-west",
            "south-east",
            (Corner(-66, -104, 40, 10), Corner(-24, -82, 34, 10), Corner(28, -108, 36, 10), Corner(72, -78, 40, 10)),
            speed_kmh=50,
        ),
        Road("south-east", "north-east", (Corner(160, -60, 24, 8), Corner(136, 0, 60, 15), Corner(160, 60, 28, 10))),
        Road(
            "north-east",
            "north-west",
            (Corner(58, 116, 44, 12), Corner(8, 92, 34, 10), Corner(-62, 120, 40, 12)),
            speed_kmh=50,
        ),
        Road(
            "north-west", "south-west", (Corner(-166, 58, 30, 10), Corner(-132, 4, 40, 12), Corner(-164, -60, 30, 10))
        ),
        Road("middle", "south-west", (Corner(-34, -26, 32, 10), Corner(-52, -62, 30, 8), Corner(-96, -58, 26, 8))),
        Road("middle", "south-east", (Corner(34, -22, 30, 8), Corner(78, -8, 26, 8), Corner(113, -36, 26, 8))),
        Road("middle", "north-east", (Corner(32, 34, 30, 10), Corner(76, 38, 26, 8), Corner(84, 76, 22, 8))),
        Road("middle", "north-west", (Corner(-30, 34, 30, 10), Corner(-44, 72, 24, 8), Corner(-92, 66, 24, 8))),
    ]
    return Town("Town_Curves", junctions, roads, middle_mark="white")


TOWNS = (town_blocks, town_curves)


def main() -> None:
    """Write every built-in town beside this file."""
    for draw in TOWNS:
        town = draw()
        path = Path(__file__).with_name(f"{town.name}.xodr")
        path.write_text(town.opendrive(), encoding="utf-8", newline="\n")
        print(f"{path.name}: {len(town.roads)} roads, {len(town.junctions)} junctions")


if __name__ == "__main__":
    main()
