"""Where settings come from, and what is said of wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.errors import SettingsError
from slipway.settings import Settings, load_settings


def test_defaults_need_no_file_and_no_environment(tmp_path: Path) -> None:
    settings = load_settings({"data": str(tmp_path)}, {})
    assert (settings.host, settings.port, settings.gateways) == ("127.0.0.1", 8080, 1)
    assert settings.root == tmp_path


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text("port = 1\ngateways = 2\nqueue_limit = 3\n")
    environ = {"SLIPWAY_PORT": "10", "SLIPWAY_GATEWAYS": "20"}
    settings = load_settings({"data": str(tmp_path), "port": 100, "gateways": None}, environ)
    assert (settings.port, settings.gateways, settings.queue_limit) == (100, 20, 3)


def test_lists_are_comma_separated_in_the_environment(tmp_path: Path) -> None:
    settings = load_settings({"data": str(tmp_path)}, {"SLIPWAY_CORS_ORIGINS": "http://a,http://b"})
    assert settings.cors_origins == ("http://a", "http://b")


def test_the_data_directory_may_come_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "server.toml").write_text("port = 99\n")
    assert load_settings({}, {"SLIPWAY_DATA": str(tmp_path)}).port == 99


@pytest.mark.parametrize("text", ["prot = 1\n", 'port = "many"\n', "port = \n", 'payload_policy = "some"\n'])
def test_a_wrong_file_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "server.toml").write_text(text)
    with pytest.raises(SettingsError, match=r"server\.toml"):
        load_settings({"data": str(tmp_path)}, {})


def test_a_wrong_environment_variable_is_an_error_that_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="port"):
        load_settings({"data": str(tmp_path)}, {"SLIPWAY_PORT": "http"})


def test_every_path_lies_in_the_data_directory(tmp_path: Path) -> None:
    settings = Settings(data=str(tmp_path))
    paths = [value for name in dir(Settings) if isinstance(value := getattr(settings, name), Path)]
    assert len(paths) > 10
    assert all(path.is_relative_to(tmp_path) for path in paths)
