from __future__ import annotations

import socket

import pytest

from sb3_carla import doctor
from sb3_carla.cli import main


def test_a_working_installation_is_healthy(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("SB3_CARLA_SERVER", raising=False)
    assert main(["doctor", "--buffer-size", "1000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 9
    assert not any(line.startswith("✗") for line in lines)
    assert any("embedded simulator: CARLA 0.9.16" in line for line in lines)


def test_a_server_that_is_not_there_fails_with_its_fix(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{bound.getsockname()[1]}"
        assert main(["doctor", "--server", address]) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("✗"))
    assert address in line
    assert "Start one there" in line


def test_a_replay_buffer_that_does_not_fit_is_an_error_with_the_size_that_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_free_memory", lambda: 1_000_000_000)
    assert doctor.check_memory(50_000).state == "ok"
    finding = doctor.check_memory(1_000_000)
    assert finding.state == "error"
    fits = int(finding.fix.rsplit(" ", 1)[1].replace(",", ""))
    assert doctor.check_memory(fits).state == "ok"


def test_a_port_in_use_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(doctor, "PORTS", (port,))
        assert doctor.check_ports().state == "warning"
        assert str(port) in doctor.check_ports().text
    assert doctor.check_ports().state == "ok"


def test_opencv_that_lacks_a_library_of_the_system_is_an_error_with_its_packages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(name: str) -> None:
        raise ImportError("libGL.so.1: cannot open shared object file: No such file or directory")

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    finding = doctor.check_packages()
    assert (finding.state, finding.fix) == ("error", "apt-get install libgl1 libglib2.0-0")
    assert "libGL.so.1" in finding.text


def test_missing_packages_are_named_as_pip_calls_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name in ("cv2", "numba") else name)
    assert doctor.check_packages().fix == "pip install opencv-python numba"


@pytest.mark.parametrize("version", ["0.9.15", None])
def test_another_client_is_an_error_with_the_command_that_mends_it(
    version: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def installed(name: str) -> str:
        if version is None:
            raise doctor.importlib.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(doctor.importlib.metadata, "version", installed)
    finding = doctor.check_wheel()
    assert (finding.state, finding.fix) == ("error", "pip install carla==0.9.16")
