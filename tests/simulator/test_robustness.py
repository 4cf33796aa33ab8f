"""Hostile bytes, slow readers and vanishing clients disturb nobody else."""

from __future__ import annotations

import os
import random
import socket
import struct
import time

import msgpack
import pytest
from plain_client import RawClient, Stream


def closed_by_server(sock, within=5.0):
    sock.settimeout(within)
    try:
        while True:
            if not sock.recv(65536):
                return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False


@pytest.mark.parametrize(
    "data",
    [
        b"\xc1",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\xdd\xff\xff\xff\xff",
        msgpack.packb([0, 1, 2, 3]),
        b"\x91" * 5000,
        b"\xa4\xff\xfe\xfd\xfc",
    ],
)
def test_bytes_that_are_no_rpc_close_only_their_own_connection(raw, server, data):
    with socket.create_connection((server.host, server.port)) as bad:
        bad.sendall(data)
        assert closed_by_server(bad)
    assert raw.call("version") == "0.9.16"


def test_more_than_a_handshake_on_the_streaming_port_closes_the_connection(raw, server):
    with socket.create_connection((server.host, server.stream_port)) as bad:
        bad.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert closed_by_server(bad)
    assert raw.call("tick_cue") > 0


def test_random_bytes_on_both_ports_leave_a_good_client_served(raw, server):
    rng = random.Random(0)
    for _ in range(60):
        for port in (server.port, server.stream_port):
            bad = socket.create_connection((server.host, port))
            bad.sendall(rng.randbytes(rng.randrange(1, 200)))
            bad.close()
        raw.call("tick_cue")
    assert server.is_alive()


def test_a_request_cut_off_in_the_middle_is_forgotten_with_its_connection(raw, server):
    half = msgpack.packb([0, 1, "tick_cue", [[False]]])[:6]
    for _ in range(20):
        bad = socket.create_connection((server.host, server.port))
        bad.sendall(half)
        bad.close()
    frame = raw.call("tick_cue")
    assert raw.call("tick_cue") == frame + 1


def test_a_client_that_vanishes_while_its_tick_is_held_does_not_stop_the_others(raw, server):
    other = RawClient(server.port)
    other.call("get_sensor_token", 1)
    other.request("tick_cue")
    other.close()
    assert raw.call("tick_cue") > 0


def test_a_hundred_clients_come_and_go(raw, server):
    clients = [RawClient(server.port) for _ in range(100)]
    assert {client.call("version") for client in clients} == {"0.9.16"}
    for client in clients:
        client.close()
    assert raw.call("tick_cue") > 0


def test_a_subscriber_that_reads_nothing_delays_ticks_but_does_not_stop_them(raw, server, place):
    car = raw.spawn("vehicle.tesla.model3", place)[0]
    camera = raw.spawn(
        "sensor.camera.rgb", [[1.5, 0.0, 2.4], [0.0, 0.0, 0.0]], car, image_size_x=1600, image_size_y=1200
    )
    (stream_id,) = struct.unpack_from("<I", camera[5])
    lazy = raw.subscribe(stream_id)
    raw.sock.settimeout(60.0)
    began = time.monotonic()
    for _ in range(5):  # 38 MB: more than the kernel's buffers and the backlog that is tolerated take
        raw.call("tick_cue")
    assert time.monotonic() - began < 30.0
    good = RawClient(server.port)
    assert good.call("version") == "0.9.16"
    good.close()
    lazy.close()
    began = time.monotonic()
    raw.call("tick_cue")
    assert time.monotonic() - began < 5.0


def test_a_late_reader_gets_whole_messages(raw, place):
    world = raw.subscribe(1)
    frames = [raw.call("tick_cue") for _ in range(200)]
    received = [struct.unpack_from("<Q", world.message(), 8)[0] for _ in range(200)]
    assert [frame for frame in received if frame in frames] == frames[: len(received)]
    world.close()


def test_a_subscriber_of_a_stream_that_does_not_exist_is_simply_given_nothing(raw, server):
    stream = Stream(server.stream_port, 123_456)
    stream.sock.settimeout(0.2)
    raw.call("tick_cue")
    with pytest.raises(TimeoutError):
        stream.message()
    stream.close()


def resident(pid):
    """Memory of a process [bytes]."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_replies_that_nobody_reads_neither_stop_the_server_nor_fill_its_memory(raw, server):
    before = resident(server.pid)
    greedy = socket.create_connection((server.host, server.port))
    greedy.sendall(msgpack.packb([0, 1, "get_map_data", [[False]]]) * 2000)  # 450 MB of replies
    for _ in range(20):
        began = time.monotonic()
        assert raw.call("version") == "0.9.16"
        assert time.monotonic() - began < 5.0
        time.sleep(0.02)
    assert resident(server.pid) - before < 150e6
    greedy.close()


def test_a_client_that_reads_late_gets_every_reply(server):
    client = RawClient(server.port)
    ids = [client.request("get_map_data") for _ in range(200)]
    assert {len(client.reply(one)[1][0][1]) for one in ids} == {len(client.call("get_map_data"))}
    client.close()
