"""The built-in towns; ``python -m sb3_carla.simulator.maps.draw`` writes their OpenDRIVE files.

All coordinates are OpenDRIVE's: metres, x east, y north (CARLA's y is the negative).
"""

from __future__ import annotations

from pathlib import Path

from sb3_carla.simulator.maps.alignment import Corner
from sb3_carla.simulator.maps.network import Road, Town
from sb3_carla.simulator.maps.random_town import random_town


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
    return Town(
        "Town_Blocks",
        junctions,
        ring + avenue + streets,
        lights=frozenset(
            (
                "west-low",
                "avenue-west",
                "avenue-east",
                "east-low",
                "west-high",
                "street-west",
                "street-east",
                "east-high",
            )
        ),
        signs={
            ("south-west", "avenue-west"): "stop",
            ("south-east", "avenue-east"): "stop",
            ("north-west", "street-west"): "yield",
            ("north-east", "street-east"): "yield",
        },
    )


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


def town_quarter() -> Town:
    """A small quarter of narrow blocks: right angles, T-junctions with lights, short streets."""
    junctions = {
        "south": (-6.0, -84.0),
        "east": (96.0, 42.0),
        "north": (48.0, 94.0),
        "west": (-98.0, 8.0),
        "middle": (-4.0, 8.0),
        "yard": (48.0, 44.0),
    }
    roads = [
        Road("south", "east", (Corner(96, -84, 20, 4),)),
        Road("east", "north", (Corner(96, 94, 20, 4),)),
        Road("north", "west", (Corner(-98, 94, 20, 4),)),
        Road("west", "south", (Corner(-98, -84, 24, 4),)),
        Road("middle", "south"),
        Road("middle", "west"),
        Road("middle", "yard", (Corner(48, 8, 19, 0),)),
        Road("yard", "north"),
        Road("yard", "east"),
    ]
    return Town(
        "Town_Quarter",
        junctions,
        roads,
        middle_mark="white",
        lights=frozenset(("south", "east", "west", "middle")),
        signs={("north", "yard"): "stop"},
    )


def town_ring() -> Town:
    """A ring road of three lanes per direction with on- and off-ramps on both sides, and one crossing with lights."""
    junctions = {
        "gate": (0.0, 230.0),
        "south-off": (-90.0, -230.0),
        "south-on": (90.0, -230.0),
        "south-plaza": (0.0, -290.0),
        "west-off": (-300.0, -90.0),
        "west-on": (-300.0, 90.0),
        "west-plaza": (-240.0, 0.0),
    }
    corner = 100.0
    ring = [
        Road("gate", "west-on", (Corner(-300, 230, corner, 30),), lanes=3, speed_kmh=80),
        Road("west-on", "west-off", lanes=3, speed_kmh=80),
        Road("west-off", "south-off", (Corner(-300, -230, corner, 30),), lanes=3, speed_kmh=80),
        Road("south-off", "south-on", lanes=3, speed_kmh=80),
        Road("south-on", "gate", (Corner(300, -230, corner, 30), Corner(300, 230, corner, 30)), lanes=3, speed_kmh=80),
    ]
    ramps = [
        Road("south-off", "south-plaza", (Corner(-35, -252, 22, 6),), speed_kmh=50, one_way=True, ramp=True),
        Road("south-plaza", "south-on", (Corner(35, -252, 22, 6),), speed_kmh=50, one_way=True, ramp=True),
        Road("west-off", "west-plaza", (Corner(-278, -35, 22, 6),), speed_kmh=50, one_way=True, ramp=True),
        Road("west-plaza", "west-on", (Corner(-278, 35, 22, 6),), speed_kmh=50, one_way=True, ramp=True),
    ]
    streets = [
        Road(
            "south-plaza",
            "gate",
            (Corner(0, -350, 30, 8), Corner(380, -350, 70, 20), Corner(380, 310, 70, 20), Corner(0, 310, 30, 8)),
            speed_kmh=60,
        ),
        Road(
            "west-plaza",
            "gate",
            (Corner(-120, 0, 60, 20), Corner(-70, -60, 40, 12), Corner(0, -60, 30, 10)),
            speed_kmh=50,
        ),
    ]
    return Town(
        "Town_Ring",
        junctions,
        ring + ramps + streets,
        sidewalks=False,
        lights=frozenset(("gate",)),
        middle_mark="white",
    )


def town_hills() -> Town:
    """Country roads that climb and wind, without sidewalks or lights."""
    junctions = {"valley": (-10.0, -190.0), "mill": (-210.0, 60.0), "pass": (60.0, 170.0), "farm": (230.0, -60.0)}
    roads = [
        Road(
            "valley",
            "mill",
            (Corner(-90, -196, 50, 15), Corner(-150, -120, 45, 15), Corner(-230, -60, 45, 15)),
            speed_kmh=60,
            hills=((0.35, 7.0), (0.6, 4.0)),
        ),
        Road(
            "mill",
            "pass",
            (Corner(-200, 150, 40, 12), Corner(-110, 190, 45, 15), Corner(-50, 130, 40, 12)),
            speed_kmh=50,
            hills=((0.4, 9.0),),
        ),
        Road(
            "pass",
            "farm",
            (Corner(140, 190, 45, 15), Corner(180, 90, 50, 15), Corner(250, 40, 40, 12)),
            speed_kmh=60,
            hills=((0.5, 10.0), (0.7, 12.0)),
        ),
        Road(
            "farm",
            "valley",
            (Corner(220, -150, 45, 15), Corner(130, -170, 40, 12), Corner(80, -120, 40, 12)),
            speed_kmh=70,
            hills=((0.45, 9.0),),
        ),
        Road(
            "valley",
            "pass",
            (Corner(-20, -120, 40, 12), Corner(30, -60, 40, 12), Corner(-10, 30, 45, 15), Corner(50, 90, 45, 12)),
            speed_kmh=50,
            hills=((0.3, 2.0), (0.55, 8.0)),
        ),
    ]
    return Town(
        "Town_Hills",
        junctions,
        roads,
        middle_mark="white",
        sidewalks=False,
        heights={"mill": 12.0, "pass": 18.0, "farm": 5.0},
        signs={("valley", "pass"): "stop", ("pass", "valley"): "yield"},
    )


def town_circle() -> Town:
    """A roundabout in the middle of four streets, and a street around it."""
    side = 33.0  # [m]
    junctions = {
        "east-gate": (side, 0.0),
        "north-gate": (0.0, side),
        "west-gate": (-side, 0.0),
        "south-gate": (0.0, -side),
        "east": (150.0, 6.0),
        "north": (-8.0, 140.0),
        "west": (-146.0, -4.0),
        "south": (6.0, -138.0),
    }
    gates = ("east-gate", "north-gate", "west-gate", "south-gate")
    bends = ((side, side), (-side, side), (-side, -side), (side, -side))
    circle = [Road(gates[i], gates[(i + 1) % 4], (Corner(*bends[i], 19, 0),), one_way=True) for i in range(len(gates))]
    streets = [
        Road("east-gate", "east", (Corner(70, 0, 40, 8), Corner(105, 6, 40, 8)), speed_kmh=50),
        Road("north-gate", "north", (Corner(0, 70, 40, 8), Corner(-8, 105, 40, 8)), speed_kmh=50),
        Road("west-gate", "west", (Corner(-70, 0, 60, 8), Corner(-105, -4, 60, 8)), speed_kmh=50),
        Road("south-gate", "south", (Corner(0, -70, 40, 8), Corner(6, -105, 40, 8)), speed_kmh=50),
    ]
    around = [
        Road("east", "north", (Corner(146, 100, 34, 10), Corner(60, 144, 40, 10))),
        Road("north", "west", (Corner(-140, 136, 40, 12),)),
        Road("west", "south", (Corner(-150, -90, 34, 10), Corner(-80, -140, 40, 10))),
        Road("south", "east", (Corner(148, -134, 44, 12),)),
    ]
    return Town(
        "Town_Circle",
        junctions,
        circle + streets + around,
        signs={(gate, gate.removesuffix("-gate")): "yield" for gate in gates}
        | {(name, f"{name}-gate"): "stop" for name in ("east", "north", "west", "south")},
    )


def towns() -> list[Town]:
    """All built-in towns."""
    by_hand = (town_blocks(), town_curves(), town_quarter(), town_ring(), town_hills(), town_circle())
    return [*by_hand, *(random_town(f"Town_Random{seed}", seed) for seed in range(1, 13))]


def main() -> None:
    """Write every built-in town beside this file."""
    for town in towns():
        path = Path(__file__).with_name(f"{town.name}.xodr")
        path.write_text(town.opendrive(), encoding="utf-8", newline="\n")
        print(f"{path.name}: {len(town.roads)} roads, {len(town.junctions)} junctions")


if __name__ == "__main__":
    main()
