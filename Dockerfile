# Headless training on the CPU: docker build -t sb3_carla . && docker run --rm -v "$PWD/runs:/work/runs" sb3_carla
FROM python:3.11-slim

# OpenCV's wheel wants these two libraries of the desktop.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/*

# With an index of CPU builds the image is gigabytes smaller: --build-arg TORCH_INDEX=<the address of one>
ARG TORCH_INDEX
COPY constraints.txt /tmp/
RUN pip install --no-cache-dir --constraint /tmp/constraints.txt torch ${TORCH_INDEX:+--index-url "$TORCH_INDEX"}

COPY . /opt/sb3_carla
RUN pip install --no-cache-dir --constraint /opt/sb3_carla/constraints.txt /opt/sb3_carla

# The embedded simulator and the carla client run as an ordinary user; runs/ is mounted from outside.
RUN useradd --create-home driver && mkdir /work && chown driver /work
USER driver
WORKDIR /work
ENTRYPOINT ["sb3-carla"]
CMD ["train", "--env", "Carla-v0"]
