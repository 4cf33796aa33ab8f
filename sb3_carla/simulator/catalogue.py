"""The vehicles of CARLA 0.9.16 by their ids, with the figures that the simulator's physics and boxes need.

Sizes are close to those of CARLA's models; mass, torque and top speed are those of the real vehicles, rounded. They are
starting values: clients may change all of them by ``apply_physics_control``.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class VehicleModel(NamedTuple):
    """One line of the catalogue."""

    type_id: str
    base_type: str  # car, truck, van, bus, motorcycle, bicycle
    length: float  # [m]
    width: float  # [m]
    height: float  # [m]
    mass: float  # [kg]
    power: str  # kind of engine: electric, petrol, sport, diesel, motorbike, pedals
    torque: float  # peak of the engine [N m]
    generation: str = "1"
    special_type: str = ""
    lights: bool = True
    doors: bool = False
    colours: tuple[str, ...] = ("0,0,0", "180,180,180", "70,75,80", "150,20,25", "25,60,130", "230,230,225")

    @property
    def wheels(self) -> int:
        """How many wheels the blueprint says it has."""
        return 2 if self.base_type in ("motorcycle", "bicycle") else 4

    @property
    def wheelbase(self) -> float:
        """Distance between the axles [m]."""
        return self.length * (0.66 if self.wheels == 2 else 0.6)

    @property
    def wheel_radius(self) -> float:
        """Radius of the wheels [m]."""
        return 0.5 if self.base_type in ("truck", "bus") else 0.35


_WHITE: Final = ("255,255,255",)
_POLICE: Final = ("25,25,30",)

VEHICLES: Final[tuple[VehicleModel, ...]] = (
    VehicleModel("vehicle.audi.a2", "car", 3.71, 1.79, 1.55, 1200.0, "petrol", 180.0, lights=False),
    VehicleModel("vehicle.audi.etron", "car", 4.86, 2.03, 1.65, 2490.0, "electric", 660.0, special_type="electric"),
    VehicleModel("vehicle.audi.tt", "car", 4.18, 1.99, 1.39, 1410.0, "sport", 370.0, lights=False),
    VehicleModel("vehicle.bmw.grandtourer", "car", 4.61, 2.24, 1.67, 1500.0, "petrol", 280.0, lights=False),
    VehicleModel("vehicle.chevrolet.impala", "car", 5.36, 2.03, 1.41, 1750.0, "petrol", 350.0, lights=False),
    VehicleModel("vehicle.citroen.c3", "car", 3.99, 1.85, 1.62, 1150.0, "petrol", 170.0, lights=False),
    VehicleModel(
        "vehicle.dodge.charger_2020", "car", 5.01, 2.1, 1.53, 1900.0, "sport", 480.0, generation="2", doors=True
    ),
    VehicleModel(
        "vehicle.dodge.charger_police",
        "car",
        4.97,
        2.04,
        1.54,
        1950.0,
        "sport",
        480.0,
        special_type="emergency",
        lights=False,
        colours=_POLICE,
    ),
    VehicleModel(
        "vehicle.dodge.charger_police_2020",
        "car",
        5.24,
        2.1,
        1.64,
        1950.0,
        "sport",
        480.0,
        generation="2",
        special_type="emergency",
        doors=True,
        colours=_POLICE,
    ),
    VehicleModel(
        "vehicle.ford.crown",
        "car",
        5.37,
        1.8,
        1.57,
        1860.0,
        "petrol",
        370.0,
        generation="2",
        special_type="taxi",
        doors=True,
        colours=("224,170,20",),
    ),
    VehicleModel("vehicle.ford.mustang", "car", 4.72, 1.89, 1.3, 1620.0, "sport", 400.0, lights=False),
    VehicleModel("vehicle.jeep.wrangler_rubicon", "car", 3.87, 1.91, 1.88, 1900.0, "petrol", 350.0, lights=False),
    VehicleModel("vehicle.lincoln.mkz_2017", "car", 4.9, 2.13, 1.51, 1700.0, "petrol", 370.0),
    VehicleModel(
        "vehicle.lincoln.mkz_2020", "car", 4.89, 1.84, 1.49, 1700.0, "petrol", 370.0, generation="2", doors=True
    ),
    VehicleModel("vehicle.mercedes.coupe", "car", 5.03, 2.15, 1.65, 1650.0, "sport", 400.0, lights=False),
    VehicleModel(
        "vehicle.mercedes.coupe_2020", "car", 4.67, 1.82, 1.44, 1650.0, "sport", 400.0, generation="2", doors=True
    ),
    VehicleModel(
        "vehicle.micro.microlino",
        "car",
        2.21,
        1.48,
        1.38,
        520.0,
        "electric",
        110.0,
        special_type="electric",
        lights=False,
    ),
    VehicleModel("vehicle.mini.cooper_s", "car", 3.81, 1.97, 1.48, 1200.0, "sport", 280.0, lights=False),
    VehicleModel(
        "vehicle.mini.cooper_s_2021", "car", 4.55, 2.1, 1.77, 1250.0, "sport", 280.0, generation="2", doors=True
    ),
    VehicleModel("vehicle.nissan.micra", "car", 3.63, 1.85, 1.5, 1000.0, "petrol", 150.0, lights=False),
    VehicleModel("vehicle.nissan.patrol", "car", 4.6, 1.93, 1.85, 2300.0, "petrol", 420.0, lights=False),
    VehicleModel(
        "vehicle.nissan.patrol_2021", "car", 5.57, 2.15, 2.05, 2400.0, "petrol", 450.0, generation="2", doors=True
    ),
    VehicleModel("vehicle.seat.leon", "car", 4.19, 1.82, 1.47, 1300.0, "petrol", 250.0, lights=False),
    VehicleModel(
        "vehicle.tesla.model3", "car", 4.79, 2.16, 1.49, 1845.0, "electric", 420.0, special_type="electric", doors=True
    ),
    VehicleModel("vehicle.toyota.prius", "car", 4.51, 2.01, 1.52, 1400.0, "petrol", 210.0, lights=False),
    VehicleModel("vehicle.carlamotors.carlacola", "truck", 5.2, 2.61, 2.47, 5500.0, "diesel", 700.0, lights=False),
    VehicleModel(
        "vehicle.carlamotors.european_hgv", "truck", 7.94, 2.89, 3.36, 9500.0, "diesel", 1300.0, generation="2"
    ),
    VehicleModel(
        "vehicle.carlamotors.firetruck",
        "truck",
        8.47,
        2.9,
        3.83,
        12000.0,
        "diesel",
        1500.0,
        generation="2",
        special_type="emergency",
        doors=True,
        colours=("170,15,20",),
    ),
    VehicleModel(
        "vehicle.tesla.cybertruck",
        "truck",
        6.27,
        2.39,
        2.1,
        3000.0,
        "electric",
        900.0,
        generation="2",
        special_type="electric",
    ),
    VehicleModel(
        "vehicle.ford.ambulance",
        "van",
        6.36,
        2.35,
        2.43,
        3500.0,
        "diesel",
        500.0,
        generation="2",
        special_type="emergency",
        doors=True,
        colours=_WHITE,
    ),
    VehicleModel(
        "vehicle.mercedes.sprinter", "van", 5.91, 1.99, 2.73, 2800.0, "diesel", 440.0, generation="2", doors=True
    ),
    VehicleModel("vehicle.volkswagen.t2", "van", 4.48, 2.07, 2.04, 1400.0, "petrol", 200.0),
    VehicleModel(
        "vehicle.volkswagen.t2_2021", "van", 4.44, 1.77, 1.99, 1400.0, "petrol", 200.0, generation="2", doors=True
    ),
    VehicleModel("vehicle.mitsubishi.fusorosa", "bus", 10.27, 3.94, 4.25, 8500.0, "diesel", 1200.0, generation="2"),
    VehicleModel("vehicle.harley-davidson.low_rider", "motorcycle", 2.35, 0.76, 1.6, 380.0, "motorbike", 150.0),
    VehicleModel("vehicle.kawasaki.ninja", "motorcycle", 2.03, 0.8, 1.51, 260.0, "motorbike", 110.0),
    VehicleModel("vehicle.vespa.zx125", "motorcycle", 1.82, 0.83, 1.55, 190.0, "motorbike", 40.0),
    VehicleModel("vehicle.yamaha.yzf", "motorcycle", 2.21, 0.87, 1.53, 260.0, "motorbike", 110.0),
    VehicleModel("vehicle.bh.crossbike", "bicycle", 1.51, 0.86, 1.6, 90.0, "pedals", 60.0, lights=False),
    VehicleModel("vehicle.diamondback.century", "bicycle", 1.65, 0.55, 1.63, 90.0, "pedals", 60.0, lights=False),
    VehicleModel("vehicle.gazelle.omafiets", "bicycle", 1.84, 0.59, 1.77, 95.0, "pedals", 60.0, lights=False),
)


WALKER_COUNT: Final = 52  # walker.pedestrian.0001 ...
WALKER_RADIUS: Final = 0.188  # [m], of CARLA's capsule
WALKER_HALF_HEIGHT: Final = 0.93  # [m]; a walker's origin is the centre of its capsule
