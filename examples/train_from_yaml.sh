#!/bin/sh
# Train from YAML, write a video of the trained policy and the report of the run.
# Options are passed on to the training: examples/train_from_yaml.sh -n 300
set -e
configs=$(dirname "$0")/../zoo_configs
sb3-carla train --env Carla-v0 --conf-file "$configs/td3.yml" "$@"
sb3-carla enjoy --env Carla-v0 --episodes 1 --video drive.mp4
sb3-carla report "$(ls -td runs/td3/Carla-v0_* | head -n 1)"
