"""The ego vehicle with everything that it carries."""

from __future__ import annotations

import carla
import cv2
import numpy as np
import numpy.typing as npt

from sb3_carla.envs.cameras import AgentCamera, BirdView
from sb3_carla.envs.client import CameraImage, CarlaClient, image_array
from sb3_carla.envs.errors import ConfigurationError
from sb3_carla.envs.observation import Picture
from sb3_carla.envs.planner import RouteTracker
from sb3_carla.envs.route import LaneTracker
from sb3_carla.envs.scenario import Scenario
from sb3_carla.envs.surroundings import Surroundings

RENDER_WIDTH, RENDER_HEIGHT = 640, 360  # [pixel] of render()
CHASE_MOUNT = carla.Transform(carla.Location(x=-7.0, z=3.5), carla.Rotation(pitch=-12.0))  # behind the vehicle


class Ego:
    """The ego vehicle, its camera, its collision sensor, and on request a camera behind it.

    :param client: spawns them
    :param scenario: says which
    :param render: whether to carry the camera behind it
    :raises ConfigurationError: for a vehicle, sensor or spawn point that there is not
    """

    def __init__(self, client: CarlaClient, scenario: Scenario, render: bool) -> None:
        if scenario.spawn_point is not None and scenario.spawn_point >= len(client.spawn_points):
            raise ConfigurationError(
                f"spawn_point={scenario.spawn_point} does not exist: {client.map.name} has "
                f"{len(client.spawn_points)} spawn points. Give a smaller number."
            )
        self.vehicle = client.spawn_ego(scenario.vehicle, client.spawn_points)
        self._camera: AgentCamera | BirdView = (
            BirdView(client.lanes, scenario.image_shape)
            if scenario.camera == "birdview"
            else AgentCamera(client, self.vehicle, scenario)
        )
        self.collision = client.attach_sensor("sensor.other.collision", self.vehicle, carla.Transform())
        self._chase = (
            client.attach_sensor(
                "sensor.camera.rgb",
                self.vehicle,
                CHASE_MOUNT,
                image_size_x=RENDER_WIDTH,
                image_size_y=RENDER_HEIGHT,
            )
            if render
            else None
        )
        self._chase_image: CameraImage = np.zeros((RENDER_HEIGHT, RENDER_WIDTH, 4), np.uint8)
        self.mass = max(float(self.vehicle.get_physics_control().mass), 1.0)  # [kg]
        self.surroundings = Surroundings(self.vehicle, client.rules)

    def hold(self, point: carla.Transform) -> None:
        """Teleport the vehicle and hold it there."""
        self.vehicle.apply_control(carla.VehicleControl(brake=1.0, hand_brake=True))
        self.vehicle.set_target_velocity(carla.Vector3D())
        self.vehicle.set_target_angular_velocity(carla.Vector3D())
        self.vehicle.set_transform(point)

    def picture(
        self,
        frame: int,
        pose: carla.Transform,
        tracker: LaneTracker | RouteTracker,
        road_users: list[carla.Actor],
    ) -> Picture:
        """What the agent sees at a frame; the camera behind the vehicle is read with it.

        :param frame: number of the newest frame
        :param pose: of the vehicle at that frame
        :param tracker: knows the way ahead, for the bird's-eye view
        :param road_users: the others, for the bird's-eye view
        :raises LostFrameError: when a picture does not come
        """
        if self._chase is not None:
            self._chase_image = image_array(self._chase.at_frame(frame))
        if isinstance(self._camera, BirdView):
            return self._camera.draw(pose, tracker, [self.vehicle, *road_users])
        return self._camera.at_frame(frame)

    def render(self) -> npt.NDArray[np.uint8]:
        """The camera behind the vehicle at the newest frame: (height, width, 3), RGB."""
        return cv2.cvtColor(self._chase_image, cv2.COLOR_BGRA2RGB)  # type: ignore[return-value]
