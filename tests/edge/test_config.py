"""agent.toml: one tree, and a clear word for what is wrong in it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec
import pytest

from sono_edge.config import AgentConfig, load, with_
from sono_models.errors import BadConfig

EXAMPLE = Path(__file__).parents[2] / "deploy" / "agent.toml.example"


def written(folder: Path, text: str) -> Path:
    path = folder / "agent.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_no_file_gives_the_defaults() -> None:
    assert load(None) == AgentConfig()


def test_the_example_states_every_default() -> None:
    assert tomllib.loads(EXAMPLE.read_text(encoding="utf-8")) == msgspec.json.decode(msgspec.json.encode(AgentConfig()))


def test_an_empty_file_differs_only_in_where_the_state_lies(tmp_path: Path) -> None:
    config = load(written(tmp_path, ""))
    assert config.state.outbox == tmp_path / "state" / "outbox.sqlite"
    assert msgspec.structs.replace(config, state=AgentConfig().state) == AgentConfig()


def test_an_absolute_path_stays(tmp_path: Path) -> None:
    assert load(written(tmp_path, '[state]\nfolder = "/var/lib/sono"')).state.folder == "/var/lib/sono"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[veiw]\nport = 1", ["unknown key veiw", "mean view?"]),
        ("[view]\nprot = 1", ["unknown key view.prot", "mean view.port?"]),
        ('[view]\nport = "x"', ["view.port", "int"]),
        ("view = 3", ["view"]),
        ("[uplink]\nwindow = 21", ["uplink.window", "20"]),
        ('[device]\nid = "a.b"', ["device 'a.b'"]),
        ('[view]\nhost = "0.0.0.0"', ["view.token"]),
        ('[view]\nhost = "board.local"', ["view.token"]),
        ('[broker]\ntls_cert = "x"', ["tls_key"]),
        ('[broker]\nalso = ["somewhere"]', ["somewhere", "HOST:PORT"]),
        ('[broker]\npassword_file = "x"', ["username"]),
        ('[model]\nprofile = "x"', ["model.profile_key"]),
        ('[model]\nprofile_key = "x"', ["model.profile"]),
        ("[uplink]\nretry_first_s = 31", ["retry_longest_s"]),
        ('[model]\nruntime = "torch"', ["model.runtime"]),
        ("[view", ["not TOML"]),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path: Path, text: str, words: list[str]) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadConfig) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(BadConfig, match="No such file"):
        load(tmp_path / "agent.toml")


def test_the_command_line_wins_and_none_leaves_a_value() -> None:
    config = with_(AgentConfig(), view={"port": 0, "token": None}, source={"uri": "a.mp4"}, state={"folder": "there"})
    assert (config.view.port, config.view.token, config.source.uri) == (0, "", "a.mp4")
    assert config.state.folder == "there"
    assert config.broker == AgentConfig().broker


@pytest.mark.parametrize(
    "sections", [{"view": {"host": "0.0.0.0"}}, {"device": {"id": "a/b"}}, {"view": {"prot": 1}}, {"vew": {}}]
)
def test_the_command_line_is_checked_too(sections: dict[str, dict[str, object]]) -> None:
    with pytest.raises(BadConfig):
        with_(AgentConfig(), **sections)


def test_a_wider_page_with_a_token_is_allowed() -> None:
    assert with_(AgentConfig(), view={"host": "0.0.0.0", "token": "t"}).view.host == "0.0.0.0"


def test_a_profile_and_its_key_lie_beside_the_file(tmp_path: Path) -> None:
    text = '[model]\nprofile = "clinic.profile.json"\nprofile_key = "/etc/sono/clinic.pub"'
    model = load(written(tmp_path, text)).model
    assert (model.profile, model.profile_key) == (str(tmp_path / "clinic.profile.json"), "/etc/sono/clinic.pub")
    given = with_(AgentConfig(), model={"profile": "a", "profile_key": "b"}).model
    assert (given.profile, given.profile_key) == ("a", "b")


def test_the_password_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("secret\nmore\n", encoding="utf-8")
    config = load(written(tmp_path, '[broker]\nusername = "board"\npassword_file = "password"'))
    assert config.broker.password() == "secret"
    assert AgentConfig().broker.password() == ""
    missing = with_(config, broker={"password_file": str(tmp_path / "none")})
    with pytest.raises(BadConfig, match="password_file"):
        missing.broker.password()
