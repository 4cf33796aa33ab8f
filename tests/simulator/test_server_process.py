"""The server as a process: how it starts, how it ends, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import sys
import time

import pytest
from plain_client import RawClient, ask

from sb3_carla.simulator import EmbeddedServer, ServerError


def ended(pid, within=10.0):
    """Whether a process that is not our child has ended."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


def test_a_with_block_starts_a_server_and_ends_it():
    with EmbeddedServer("Town_Curves") as server:
        pid = server.pid
        assert server.is_alive()
        assert ask(server.port, "get_map_info")[0] == "Carla/Maps/Town_Curves"
    assert not server.is_alive()
    assert server.pid is None
    assert ended(pid)


def test_a_server_can_be_started_again_after_it_was_killed():
    server = EmbeddedServer("Town_Curves").start()
    os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + 5.0
    while server.is_alive():
        assert time.monotonic() < deadline
    with server:
        assert server.is_alive()
        assert ask(server.port, "version") == "0.9.16"


def test_stopping_twice_is_no_error():
    server = EmbeddedServer("Town_Curves").start()
    server.stop()
    server.stop()
    assert not server.is_alive()


def test_a_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"Port {port} .*Choose another port"):
            EmbeddedServer("Town_Curves", port=port).start()


def test_an_unknown_town_is_named_with_those_that_exist():
    with pytest.raises(ServerError, match=r"Atlantis.*Town_Blocks"):
        EmbeddedServer("Atlantis").start()


def test_a_missing_map_file_is_named(tmp_path):
    with pytest.raises(ServerError, match=r"nowhere\.xodr"):
        EmbeddedServer(str(tmp_path / "nowhere.xodr")).start()


@pytest.mark.parametrize("content", ["", "hello", "<html></html>", "<OpenDRIVE></OpenDRIVE>"])
def test_a_file_that_is_no_opendrive_map_is_refused(tmp_path, content):
    path = tmp_path / "bad.xodr"
    path.write_text(content)
    with pytest.raises(ServerError):
        EmbeddedServer(str(path)).start()


def test_a_users_map_file_is_served_under_its_name(tmp_path):
    from sb3_carla.simulator.roads import RoadMap

    path = tmp_path / "My Town.xodr"
    path.write_text(RoadMap.load("Town_Curves").opendrive)
    with EmbeddedServer(str(path)) as server:
        assert ask(server.port, "get_map_info")[0] == "Carla/Maps/My Town"
        assert ask(server.port, "get_available_maps")[0] == "/Game/Carla/Maps/My Town"
        ask(server.port, "load_new_episode", "My Town", True, 65535)


def test_a_start_that_takes_too_long_is_ended():
    server = EmbeddedServer("Town_Blocks", timeout=0.01)
    with pytest.raises(ServerError, match="did not start within"):
        server.start()
    assert not server.is_alive()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly(number):
    server = EmbeddedServer("Town_Curves").start()
    client = RawClient(server.port)
    client.settle()
    process = server._process
    os.kill(server.pid, number)
    assert process.wait(5.0) == 0
    client.close()
    server.stop()


def test_the_server_ends_when_the_process_that_started_it_is_killed():
    code = (
        "import time; from sb3_carla.simulator import EmbeddedServer; s = EmbeddedServer('Town_Curves').start();"
        "print(s.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert ended(pid)


def test_a_forked_child_that_ends_does_not_take_the_server_with_it():
    server = EmbeddedServer("Town_Curves").start()
    pid = os.fork()
    if pid == 0:
        server.__del__()
        os._exit(0)
    os.waitpid(pid, 0)
    assert server.is_alive()
    assert ask(server.port, "version") == "0.9.16"
    server.stop()


def test_a_dead_server_shows_the_end_of_its_log():
    with EmbeddedServer("Town_Curves", log_level="info") as server:
        assert "loading map Town_Curves" in server.last_log_lines()


def test_the_log_goes_to_a_file_when_asked(tmp_path):
    path = tmp_path / "server.log"
    with EmbeddedServer("Town_Curves", log_level="info", log_file=path):
        pass
    assert "loading map Town_Curves" in path.read_text()


def test_the_module_prints_one_line_of_json_and_status_2_when_it_cannot_start():
    command = [sys.executable, "-m", "sb3_carla.simulator.server", "--map", "Atlantis", "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    (line,) = done.stdout.splitlines()
    assert "Atlantis" in line


def test_the_server_process_imports_neither_torch_nor_stable_baselines():
    code = (
        "import sys, sb3_carla.simulator.server, sb3_carla.simulator.loop;"
        "print([m for m in ('torch', 'stable_baselines3', 'rl_zoo3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture
def folder(tmp_path):
    """A folder with two maps."""
    from sb3_carla.simulator.roads import RoadMap

    for name in ("Alpha", "Beta"):
        (tmp_path / f"{name}.xodr").write_text(RoadMap.load("Town_Quarter").opendrive)
    return tmp_path


def test_a_folders_maps_are_known_by_name_and_one_is_the_start(folder):
    with EmbeddedServer(str(folder), town="Beta") as server:
        assert ask(server.port, "get_map_info")[0] == "Carla/Maps/Beta"
        names = ask(server.port, "get_available_maps")
        assert names[0] == "/Game/Carla/Maps/Beta"
        assert {"/Game/Carla/Maps/Alpha", "/Game/Carla/Maps/Town_Blocks"} <= set(names)
        ask(server.port, "load_new_episode", "Alpha", True, 65535)
        assert ask(server.port, "get_map_info")[0] == "Carla/Maps/Alpha"


def test_a_folder_without_maps_is_named(tmp_path):
    with pytest.raises(ServerError, match="has no OpenDRIVE file"):
        EmbeddedServer(str(tmp_path)).start()


def test_the_command_line_of_carlas_own_server_is_understood():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "sb3_carla.simulator.server", "/Game/Carla/Maps/Town_Curves",
        f"-carla-rpc-port={port}", "-carla-streaming-port=0", "-RenderOffScreen", "-quality-level=Low", "-nosound",
        "-carla-server-timeout=10000ms", "-benchmark", "-fps=20",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert json.loads(process.stdout.readline())["port"] == port
        assert ask(port, "get_map_info")[0] == "Carla/Maps/Town_Curves"
        assert ask(port, "get_episode_settings")[2] == [True, 0.05]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(5.0) == 0
        process.stdout.close()


def test_a_flag_that_nobody_knows_is_an_error():
    command = [sys.executable, "-m", "sb3_carla.simulator.server", "-carla-warp-drive=9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "-carla-warp-drive=9" in done.stderr


def test_in_a_terminal_the_server_says_in_words_what_it_does():
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "sb3_carla.simulator.server", "--map", "Town_Quarter", "--port", "0"]
    process = subprocess.Popen(command, stdout=follower, stderr=follower)
    os.close(follower)
    text = b""
    try:
        while b"ticks/s" not in text:
            text += os.read(leader, 4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(5.0) == 0
    finally:
        process.kill()
        os.close(leader)
    assert b"map Town_Quarter. Ctrl-C ends it." in text
    assert b"0 clients, 0 vehicles" in text


def test_another_projects_tests_get_a_server_and_a_client(tmp_path):
    (tmp_path / "conftest.py").write_text('pytest_plugins = ["sb3_carla.simulator.pytest_plugin"]\n')
    (tmp_path / "test_theirs.py").write_text(
        "def test_one(carla_client, carla_server):\n"
        "    world = carla_client.get_world()\n"
        "    assert world.get_map().name == 'Carla/Maps/Town_Quarter'\n"
        "    point = world.get_map().get_spawn_points()[0]\n"
        "    world.spawn_actor(world.get_blueprint_library().find('vehicle.audi.tt'), point)\n"
        "def test_two(carla_client):\n"
        "    assert not carla_client.get_world().get_actors().filter('vehicle.*')\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--carla-map", "Town_Quarter"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert "2 passed" in done.stdout, done.stdout + done.stderr
