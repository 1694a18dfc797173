"""Settings: three sources, one tree, and errors that name what was meant."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, ValidationError
from rhapsode_server import config
from rhapsode_server.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]


def written(folder: Path, text: str) -> Path:
    path = folder / "rhapsode.toml"
    path.write_text(text)
    return path


def refused(**given_: object) -> str:
    with pytest.raises(ConfigError) as caught:
        config.load(**{"environ": {}, **given_})  # type: ignore[arg-type]
    return caught.value.message


def test_without_any_source_the_defaults_hold() -> None:
    settings = config.load(environ={})
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 50051)
    assert settings.model.source == "ion"
    assert settings == config.Settings()


def test_later_sources_win(tmp_path: Path) -> None:
    file = written(tmp_path, '[server]\nport = 1\nhost = "file"\ndrain_seconds = 1.5\n')
    environ = {"RHAPSODE_SERVER__PORT": "2", "RHAPSODE_SERVER__HOST": "environment"}
    server = config.load(file, {"server.port": "3"}, environ).server
    assert (server.port, server.host, server.drain_seconds) == (3, "environment", 1.5)


def test_the_environment_may_name_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "[engine]\nslots = 5\n")
    assert config.load(environ={"RHAPSODE_CONFIG": str(file)}).engine.slots == 5


def test_the_tree_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        config.Settings().server.port = 1


@pytest.mark.parametrize(
    ("flags", "meant"),
    [
        ({"server.prt": 1}, "'server.port'"),
        ({"srever.port": 1}, "'server.port'"),
        ({"port": 1}, "'server.port'"),
        ({"engine.max_wating": 1}, "'engine.max_waiting'"),
        ({"threads": 1}, "'model.threads'"),
        ({"server": 1}, "nearest one"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(flags: dict[str, object], meant: str) -> None:
    message = refused(flags=flags)
    assert repr(next(iter(flags))) in message
    assert meant in message


@pytest.mark.parametrize(
    "variable", ["RHAPSODE_SERVER__PROT", "RHAPSODE_SERVER_PORT", "RHAPSODE_PORT_NUMBER"]
)
def test_an_unknown_variable_is_answered_with_the_nearest(variable: str) -> None:
    message = refused(environ={variable: "6000"})
    assert variable in message
    assert "RHAPSODE_SERVER__PORT" in message


def test_an_unknown_key_of_the_file_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    file = written(tmp_path, "[server]\nprot = 1\n")
    message = refused(file=file)
    assert str(file) in message
    assert "'server.port'" in message
    assert "'model'" in refused(file=written(tmp_path, 'model = "ion"\n')) or "model." in refused(file=file)


def test_what_kubernetes_adds_for_a_service_of_our_name_is_not_a_setting() -> None:
    environ = {
        "RHAPSODE_SERVICE_HOST": "10.0.0.7",
        "RHAPSODE_SERVICE_PORT": "50051",
        "RHAPSODE_SERVICE_PORT_GRPC": "50051",
        "RHAPSODE_PORT": "tcp://10.0.0.7:50051",
        "RHAPSODE_PORT_50051_TCP": "tcp://10.0.0.7:50051",
        "RHAPSODE_PORT_50051_TCP_PROTO": "tcp",
        "RHAPSODE_PORT_50051_TCP_PORT": "50051",
        "RHAPSODE_PORT_50051_TCP_ADDR": "10.0.0.7",
        "RHAPSODE_SERVER_PORT": "tcp://10.0.0.8:1",
        "RHAPSODE_SERVER_SERVICE_HOST": "10.0.0.8",
    }
    assert config.load(environ=environ) == config.Settings()


def test_the_clients_variables_are_not_settings() -> None:
    """The container may hold both; whatever the client reads must not stop the server."""
    sources = (ROOT / "client/python/rhapsode").glob("*.py")
    variables = {name for path in sources for name in re.findall(r"RHAPSODE_[A-Z_]+", path.read_text())}
    assert variables
    assert config.load(environ=dict.fromkeys(variables, "anything")) == config.Settings()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"server.port": "70000"}, "less than or equal to 65535"),
        ({"server.port": "x"}, "valid integer"),
        ({"telemetry.log_format": "xml"}, "'text' or 'json'"),
        ({"model.device": "tpu"}, "pattern"),
        ({"engine.max_ahead": "-1"}, "greater than or equal to 0"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_what_is_allowed(
    flags: dict[str, object], words: str
) -> None:
    message = refused(flags=flags)
    assert next(iter(flags)) in message
    assert words in message
    assert "the command line" in message


def test_the_origin_of_a_bad_value_is_named(tmp_path: Path) -> None:
    file = written(tmp_path, "[server]\nport = 70000\n")
    assert str(file) in refused(file=file)
    assert "RHAPSODE_SERVER__PORT" in refused(environ={"RHAPSODE_SERVER__PORT": "x"})


def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    assert "No such file" in refused(file=tmp_path / "nowhere.toml")
    assert "not valid TOML" in refused(file=written(tmp_path, "[server\n"))


def test_options_of_a_family_are_free_and_keep_their_types(tmp_path: Path) -> None:
    file = written(tmp_path, '[model.options]\ndtype = "bfloat16"\nthreshold = 0.25\n')
    environ = {"RHAPSODE_MODEL__OPTIONS__DROPOUT": "false"}
    flags = {"model.options.max_frames": "64", "model.options.name": "my model"}
    assert config.load(file, flags, environ).model.options == {
        "dtype": "bfloat16",
        "threshold": 0.25,
        "dropout": False,
        "max_frames": 64,
        "name": "my model",
    }


def test_the_command_line_has_short_names_and_one_for_all() -> None:
    argv = ["--port", "0", "--model", "toy", "--slots", "3", "--set", "server.drain_seconds=2.5"]
    settings = config.from_command_line(argv)
    assert (settings.server.port, settings.model.source, settings.engine.slots) == (0, "toy", 3)
    assert settings.server.drain_seconds == 2.5
    with pytest.raises(ConfigError, match="NAME=VALUE"):
        config.from_command_line(["--set", "server.port"])
    with pytest.raises(ConfigError, match=r"server\.port"):
        config.from_command_line(["--set", "server.prt=1"])


def test_every_flag_stands_for_a_setting() -> None:
    assert {name for name, _ in config.FLAGS.values()} <= set(config.names())


def test_what_is_shown_hides_secrets() -> None:
    class Section(BaseModel):
        key: SecretStr = SecretStr("hunter2")
        folder: Path = Path("/srv")

    class Tree(BaseModel):
        door: Section = Section()

    shown = config.shown(Tree())  # type: ignore[arg-type]
    assert "hunter2" not in str(shown)
    assert shown == {"door.key": "**********", "door.folder": "/srv"}


def test_an_option_that_is_called_a_secret_is_hidden() -> None:
    settings = config.load(flags={"model.options.hub_token": "hunter2", "model.options.a": 1}, environ={})
    assert config.shown(settings)["model.options"] == {"hub_token": "***", "a": 1}


@given(st.dictionaries(st.from_regex(r"RHAPSODE_[A-Z_]{1,20}", fullmatch=True), st.text(max_size=8)))
def test_any_environment_gives_settings_or_one_sentence(environ: dict[str, str]) -> None:
    environ.pop("RHAPSODE_CONFIG", None)
    message = "."
    try:
        config.load(environ=environ)
    except ConfigError as error:
        message = error.message
    assert message.endswith(".")
    assert "\n" not in message


def documented() -> list[str]:
    """A row for every setting: name, default, what it means."""
    rows = []
    for section, field in config.Settings.model_fields.items():
        tree = field.annotation
        assert isinstance(tree, type)
        assert issubclass(tree, BaseModel)
        for key, setting in tree.model_fields.items():
            shown = "" if setting.default in (None, "", {}) else f"`{json.dumps(setting.default)}`"
            meaning = " ".join((setting.description or "").split())
            rows.append(f"| `{section}.{key}` | {shown} | {meaning} |")
    return rows


def test_every_setting_says_what_it_means() -> None:
    assert all(row.endswith(". |") for row in documented()), documented()


def test_the_documents_table_is_the_codes_table() -> None:
    written = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in written if line.startswith("| `") and "." in line.split("|")[1]] == documented()
