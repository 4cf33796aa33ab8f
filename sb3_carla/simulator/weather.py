"""Weather: CARLA's fourteen numbers. What they do to a picture is worked out in :mod:`camera.look`."""

from __future__ import annotations

from typing import NamedTuple


class Weather(NamedTuple):
    """CARLA's weather parameters in the order of the wire; the defaults are the preset ClearNoon."""

    cloudiness: float = 5.0  # [%]
    precipitation: float = 0.0  # [%]
    precipitation_deposits: float = 0.0  # [%]
    wind_intensity: float = 10.0  # [%]
    sun_azimuth_angle: float = -1.0  # [deg]
    sun_altitude_angle: float = 45.0  # [deg], negative at night
    fog_density: float = 2.0  # [%]
    fog_distance: float = 0.75  # where the fog begins [m]
    fog_falloff: float = 0.1
    wetness: float = 0.0  # [%]
    scattering_intensity: float = 1.0
    mie_scattering_scale: float = 0.03
    rayleigh_scattering_scale: float = 0.0331
    dust_storm: float = 0.0  # [%]
