"""The static props of CARLA 0.9.16 by their names, as boxes.

Sizes are those of such things, rounded; they are not measured on CARLA's models.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class PropModel(NamedTuple):
    """A static object that clients can put into the world."""

    name: str  # behind ``static.prop.``
    length: float  # [m]
    width: float  # [m]
    height: float  # [m]
    colour: tuple[int, int, int]  # R, G, B

    @property
    def type_id(self) -> str:
        """The blueprint's id."""
        return f"static.prop.{self.name}"

    @property
    def size(self) -> str:
        """CARLA's word for how large it is."""
        largest = max(self.length, self.width, self.height)
        return next((word for word, limit in _SIZES if largest <= limit), "huge")


_SIZES: Final = (("tiny", 0.4), ("small", 1.0), ("medium", 2.0), ("big", 4.0))  # up to [m]

PROPS: Final[tuple[PropModel, ...]] = (
    PropModel("advertisement", 0.3, 1.6, 2.4, (200, 200, 210)),
    PropModel("aporosatree", 3.0, 3.0, 6.0, (72, 110, 56)),
    PropModel("atm", 0.8, 0.9, 1.6, (70, 90, 130)),
    PropModel("barbeque", 0.7, 1.2, 1.1, (60, 60, 64)),
    PropModel("barrel", 0.6, 0.6, 0.9, (200, 90, 30)),
    PropModel("bench01", 0.6, 1.6, 0.9, (110, 80, 50)),
    PropModel("bench02", 0.6, 1.8, 0.9, (110, 80, 50)),
    PropModel("bench03", 0.5, 1.5, 0.5, (130, 120, 110)),
    PropModel("bike helmet", 0.3, 0.22, 0.2, (40, 90, 160)),
    PropModel("bikeparking", 1.8, 0.6, 0.9, (170, 170, 175)),
    PropModel("bin", 0.5, 0.5, 1.0, (60, 90, 60)),
    PropModel("box01", 0.5, 0.5, 0.5, (170, 130, 80)),
    PropModel("box02", 0.6, 0.6, 0.6, (170, 130, 80)),
    PropModel("box03", 0.7, 0.7, 0.7, (170, 130, 80)),
    PropModel("briefcase", 0.45, 0.15, 0.35, (90, 60, 40)),
    PropModel("brokentile01", 0.4, 0.4, 0.05, (150, 140, 130)),
    PropModel("brokentile02", 0.4, 0.3, 0.05, (150, 140, 130)),
    PropModel("brokentile03", 0.3, 0.3, 0.05, (150, 140, 130)),
    PropModel("brokentile04", 0.3, 0.2, 0.05, (150, 140, 130)),
    PropModel("busstop", 1.5, 4.0, 2.6, (120, 140, 150)),
    PropModel("busstoplb", 1.6, 4.4, 2.6, (120, 140, 150)),
    PropModel("calibrator", 0.1, 1.0, 1.0, (240, 240, 240)),
    PropModel("chainbarrier", 0.2, 1.5, 0.8, (190, 190, 60)),
    PropModel("chainbarrierend", 0.2, 0.2, 0.8, (190, 190, 60)),
    PropModel("clothcontainer", 1.2, 1.2, 1.9, (60, 110, 90)),
    PropModel("clothesline", 0.6, 2.0, 1.6, (200, 200, 200)),
    PropModel("coconutpalm", 3.0, 3.0, 8.0, (92, 124, 58)),
    PropModel("colacan", 0.07, 0.07, 0.12, (190, 30, 40)),
    PropModel("constructioncone", 0.4, 0.4, 0.7, (230, 100, 20)),
    PropModel("container", 6.0, 2.4, 2.6, (150, 60, 50)),
    PropModel("creasedbox01", 0.5, 0.5, 0.4, (170, 130, 80)),
    PropModel("creasedbox02", 0.5, 0.4, 0.3, (170, 130, 80)),
    PropModel("creasedbox03", 0.6, 0.5, 0.3, (170, 130, 80)),
    PropModel("cypresstree", 1.6, 1.6, 6.0, (58, 92, 50)),
    PropModel("dirtdebris01", 1.2, 1.0, 0.15, (110, 90, 70)),
    PropModel("dirtdebris02", 1.0, 0.9, 0.15, (110, 90, 70)),
    PropModel("dirtdebris03", 1.4, 1.2, 0.2, (110, 90, 70)),
    PropModel("doghouse", 1.1, 0.8, 0.9, (150, 80, 60)),
    PropModel("foodcart", 2.2, 1.3, 2.3, (200, 80, 60)),
    PropModel("fountain", 4.0, 4.0, 2.5, (160, 160, 165)),
    PropModel("garbage01", 0.6, 0.5, 0.3, (90, 85, 80)),
    PropModel("garbage02", 0.6, 0.5, 0.3, (90, 85, 80)),
    PropModel("garbage03", 0.6, 0.5, 0.3, (90, 85, 80)),
    PropModel("garbage04", 0.6, 0.5, 0.3, (90, 85, 80)),
    PropModel("garbage05", 0.6, 0.5, 0.3, (90, 85, 80)),
    PropModel("garbage06", 0.6, 0.5, 0.3, (90, 85, 80)),
    PropModel("gardenlamp", 0.25, 0.25, 0.9, (60, 60, 60)),
    PropModel("glasscontainer", 1.5, 1.5, 1.7, (60, 120, 70)),
    PropModel("gnome", 0.3, 0.3, 0.6, (180, 40, 40)),
    PropModel("guitarcase", 1.1, 0.4, 0.15, (40, 35, 30)),
    PropModel("haybale", 1.2, 1.2, 1.2, (200, 170, 90)),
    PropModel("haybalelb", 1.4, 1.2, 1.2, (200, 170, 90)),
    PropModel("ironplank", 2.0, 1.0, 0.03, (110, 110, 115)),
    PropModel("kiosk_01", 2.5, 2.5, 2.8, (80, 100, 140)),
    PropModel("mailbox", 0.5, 0.5, 1.2, (30, 60, 140)),
    PropModel("maptable", 0.3, 1.2, 1.8, (120, 120, 125)),
    PropModel("mobile", 0.15, 0.08, 0.02, (30, 30, 34)),
    PropModel("motorhelmet", 0.35, 0.28, 0.3, (160, 30, 30)),
    PropModel("omri-0", 2.0, 1.0, 1.5, (128, 128, 128)),
    PropModel("omri-1", 2.0, 1.0, 1.5, (128, 128, 128)),
    PropModel("pergola", 4.0, 3.0, 2.6, (140, 100, 70)),
    PropModel("plantpot01", 0.7, 0.7, 0.8, (140, 90, 60)),
    PropModel("plantpot02", 0.7, 0.7, 0.8, (140, 90, 60)),
    PropModel("plantpot03", 0.7, 0.7, 0.8, (140, 90, 60)),
    PropModel("plantpot04", 0.7, 0.7, 0.8, (140, 90, 60)),
    PropModel("plantpot05", 0.7, 0.7, 0.8, (140, 90, 60)),
    PropModel("plantpot06", 0.7, 0.7, 0.8, (140, 90, 60)),
    PropModel("plantpot07", 0.7, 0.7, 0.8, (140, 90, 60)),
    PropModel("plantpot08", 0.7, 0.7, 0.8, (140, 90, 60)),
    PropModel("plasticbag", 0.4, 0.4, 0.3, (230, 230, 235)),
    PropModel("plasticchair", 0.55, 0.55, 0.85, (235, 235, 235)),
    PropModel("plastictable", 0.9, 0.9, 0.75, (235, 235, 235)),
    PropModel("platformgarbage01", 2.0, 1.2, 0.4, (90, 85, 80)),
    PropModel("purse", 0.3, 0.15, 0.25, (120, 50, 70)),
    PropModel("shoppingbag", 0.3, 0.2, 0.35, (220, 200, 160)),
    PropModel("shoppingcart", 0.9, 0.6, 1.0, (170, 170, 175)),
    PropModel("shoppingtrolley", 0.5, 0.4, 1.0, (60, 80, 130)),
    PropModel("slide", 2.8, 0.8, 1.9, (220, 60, 50)),
    PropModel("streetbarrier", 0.5, 1.8, 1.1, (220, 60, 40)),
    PropModel("streetfountain", 0.5, 0.5, 1.1, (90, 95, 100)),
    PropModel("streetsign", 0.1, 0.9, 2.4, (40, 90, 170)),
    PropModel("streetsign01", 0.1, 0.9, 2.4, (40, 90, 170)),
    PropModel("streetsign04", 0.1, 0.9, 2.4, (40, 90, 170)),
    PropModel("swing", 1.6, 3.0, 2.2, (200, 60, 50)),
    PropModel("swingcouch", 1.3, 2.0, 1.8, (150, 120, 90)),
    PropModel("table", 0.9, 1.5, 0.8, (120, 90, 60)),
    PropModel("trafficcone01", 0.4, 0.4, 0.7, (230, 100, 20)),
    PropModel("trafficcone02", 0.4, 0.4, 0.7, (230, 100, 20)),
    PropModel("trafficwarning", 0.6, 1.8, 2.2, (240, 180, 30)),
    PropModel("trampoline", 3.0, 3.0, 1.0, (40, 60, 120)),
    PropModel("trashbag", 0.5, 0.5, 0.5, (30, 30, 32)),
    PropModel("trashcan01", 0.6, 0.6, 1.0, (70, 80, 75)),
    PropModel("trashcan02", 0.6, 0.6, 1.0, (70, 80, 75)),
    PropModel("trashcan03", 0.6, 0.6, 1.0, (70, 80, 75)),
    PropModel("trashcan04", 0.6, 0.6, 1.0, (70, 80, 75)),
    PropModel("trashcan05", 0.6, 0.6, 1.0, (70, 80, 75)),
    PropModel("travelcase", 0.5, 0.3, 0.7, (50, 60, 90)),
    PropModel("vendingmachine", 0.8, 1.0, 1.9, (190, 40, 50)),
    PropModel("warningaccident", 0.3, 1.0, 1.2, (240, 140, 30)),
    PropModel("warningconstruction", 0.3, 1.0, 1.2, (240, 140, 30)),
    PropModel("wateringcan", 0.5, 0.2, 0.35, (60, 120, 70)),
)
