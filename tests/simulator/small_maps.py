"""Maps of a few straight roads, as OpenDRIVE text."""

from __future__ import annotations

import math


def straight(
    length: float = 100.0, *, road_id: int = 0, y: float = 0.0, heading: float = 0.0, elevation: str = ""
) -> str:
    """One straight road through (0, y) with a lane per direction."""
    elevation = elevation or '<elevation s="0" a="0" b="0" c="0" d="0"/>'
    lanes = "".join(
        f'<{side}><lane id="{lane}" type="driving" level="false"><link/><width sOffset="0" a="3.5" b="0" c="0" d="0"/>'
        f'<roadMark sOffset="0" type="solid" color="white" width="0.15" laneChange="none"/></lane></{side}>'
        for side, lane in (("left", 1), ("right", -1))
    ).replace("<right>", '<center><lane id="0" type="none" level="false"/></center><right>')
    x = -length / 2 * math.cos(heading)
    y -= length / 2 * math.sin(heading)
    return (
        f'<road name="r" length="{length}" id="{road_id}" junction="-1"><link/><planView>'
        f'<geometry s="0" x="{x}" y="{y}" hdg="{heading}" length="{length}"><line/></geometry></planView>'
        f"<elevationProfile>{elevation}</elevationProfile>"
        f'<lanes><laneSection s="0">{lanes}</laneSection></lanes></road>'
    )


def opendrive(*roads: str) -> str:
    """The roads as a whole document."""
    return f'<OpenDRIVE><header revMajor="1" revMinor="4"/>{"".join(roads)}</OpenDRIVE>'
