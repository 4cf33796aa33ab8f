#!/bin/sh
# Train from the packaged hyperparameters, then write a video of the trained policy.
# Options are passed on to the training: examples/train_from_yaml.sh -n 300
set -e
sb3-carla train --env Carla-v0 "$@" # --conf-file my.yml for hyperparameters of your own
sb3-carla enjoy --env Carla-v0 --episodes 1 --video drive.mp4
