# Headless training on the CPU; what it leaves is copied out of the container:
#   docker build -t sb3_carla . && docker run --name trained sb3_carla && docker cp trained:opt/driving/runs .
FROM python:3.11-slim

# OpenCV's wheel wants these two libraries of the desktop.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/sb3_carla
# With an index of CPU builds the image is gigabytes smaller: --build-arg TORCH_INDEX=<the address of one>
ARG TORCH_INDEX
COPY constraints.txt .
RUN pip install --no-cache-dir --constraint constraints.txt torch ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}

COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt .

# The embedded simulator and the carla client run as an ordinary user.
RUN useradd --create-home driver && mkdir /opt/driving && chown driver /opt/driving
USER driver
RUN python -c 'import sb3_carla.simulator.server'  # compiles the simulator's kernels into this user's cache, once
WORKDIR /opt/driving
ENTRYPOINT ["sb3-carla"]
CMD ["train", "--env", "Carla-v0"]
