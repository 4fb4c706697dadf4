"""Settings: one table, three sources, and a clear no to everything else."""

import json
from pathlib import Path
from typing import Any

import pytest

from objstore.config import Config, ConfigError, Erasure, load

ROOT = Path(__file__).parent.parent
SECRET = "a-very-secret-secret"


def test_the_settings_file_lists_every_setting_as_config_has_it() -> None:
    from objstore.config import as_toml

    assert (ROOT / "config/objstore.toml").read_text() == as_toml(), "run `make docs`"


def test_the_settings_file_with_every_line_active_is_the_default(tmp_path: Path) -> None:
    lines = (ROOT / "config/objstore.toml").read_text().splitlines()
    active = [
        line[1:] for line in lines if line[:1] == "#" and line[1:2].isalpha() and "# no default" not in line
    ]
    path = tmp_path / "all.toml"
    path.write_text("\n".join(active))
    assert load(path=path, environment={}) == load(environment={})
    assert len(active) > 20


def test_dev_settings_are_allowed() -> None:
    assert load(path=ROOT / "config/dev.toml", environment={}).workers == 2


def test_flag_wins_over_environment_over_file_over_default(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    assert load(environment={}).workers == 0
    path.write_text("workers = 2\nport = 1\n")
    assert load(path=path, environment={}).workers == 2
    both = {"OBJSTORE_WORKERS": "3", "OBJSTORE_CONFIG": str(path)}
    assert load(environment=both).workers == 3
    assert load({"workers": "4"}, environment=both).workers == 4
    assert load({"workers": "4"}, environment=both).port == 1


def test_an_empty_variable_and_an_absent_flag_say_nothing() -> None:
    assert load({"workers": None}, environment={"OBJSTORE_PORT": ""}) == load(environment={})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("erasure", "8+3", Erasure(8, 3)),
        ("erasure", "1+0", Erasure(1, 0)),
        ("chunk_bytes", "1 MiB", 1 << 20),
        ("chunk_bytes", "65536", 65536),
        ("chunk_bytes", "4MB", 4_000_000),
        ("other_regions", "eu-west-1, eu-west-2", ("eu-west-1", "eu-west-2")),
        ("domains", "s3.example.org", ("s3.example.org",)),
        ("drives", "/a,/b,/c,/d,/e,/f", tuple(Path(f"/{name}") for name in "abcdef")),
        ("access_log", "off", False),
        ("drain_s", "0.5", 0.5),
        ("index_directory", "/fast", Path("/fast")),
    ],
)
def test_a_variable_is_read_as_its_type(name: str, text: str, value: object) -> None:
    assert getattr(load(environment={f"OBJSTORE_{name.upper()}": text}), name) == value


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"erasure": "4x2"}, ["erasure", "'4x2'", "--erasure", "k+m"]),
        ({"erasure": "0+2"}, ["erasure", "'0+2'", "at least 1"]),
        ({"erasure": "200+56"}, ["erasure", "at most 255"]),
        ({"drives": ["/a", "/b", "/c"]}, ["erasure", "4+2", "6 drives", "3"]),
        ({"drives": ["/a", "/a", "/b"], "erasure": "2+1"}, ["drives", "/a", "twice"]),
        ({"drives": []}, ["drives"]),
        ({"workers": "-1"}, ["workers", "'-1'", "greater than or equal to 0"]),
        ({"workers": "many"}, ["workers", "'many'", "integer"]),
        ({"port": "65536"}, ["port", "'65536'", "65535"]),
        ({"chunk_bytes": "8 bananas"}, ["chunk_bytes", "'8 bananas'", "bananas"]),
        ({"chunk_bytes": "1"}, ["chunk_bytes", "65536"]),
        ({"region": "Europe"}, ["region", "'Europe'", "lower-case"]),
        ({"domains": "http://x"}, ["domains", "http://x", "without scheme"]),
        ({"log_level": "loud"}, ["log_level", "'loud'", "debug"]),
        ({"access_log": "perhaps"}, ["access_log", "'perhaps'", "boolean"]),
        ({"tls_key": "/k"}, ["tls_certificate", "tls_key", "both or none"]),
        ({"root_access_key": "AK"}, ["root_secret_key", "both or none"]),
        ({"garbage_grace_s": "nan"}, ["garbage_grace_s", "'nan'"]),
        ({"scrub_cycle_days": "inf"}, ["scrub_cycle_days", "'inf'"]),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_with_name_value_and_what_is_allowed(flags: Any, said: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load(flags, environment={})
    for words in said:
        assert words in str(caught.value)


def test_every_wrong_setting_is_named_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load({"workers": "-1"}, environment={"OBJSTORE_PORT": "x"})
    assert "--workers" in str(caught.value)
    assert "OBJSTORE_PORT" in str(caught.value)


def test_unknown_names_are_refused_in_file_and_environment(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text("worker = 2\n")
    with pytest.raises(ConfigError, match=r"wrong.toml: there is no setting worker \(did you mean workers"):
        load(path=path, environment={})
    with pytest.raises(ConfigError, match="there is no setting OBJSTORE_DIRVES"):
        load(environment={"OBJSTORE_DIRVES": "/a"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OBJSTORE_SERVICE_HOST", "10.0.0.1"),
        ("OBJSTORE_SERVICE_PORT", "9000"),
        ("OBJSTORE_PORT", "tcp://10.0.0.1:9000"),
        ("OBJSTORE_PORT_9000_TCP_ADDR", "10.0.0.1"),
    ],
)
def test_what_kubernetes_sets_for_a_service_called_objstore_is_no_setting(name: str, value: str) -> None:
    assert load(environment={name: value}) == load(environment={})


@pytest.mark.parametrize("content", [b"workers = ", b"\xff\xfe", b"workers = 1\nworkers = 2\n"])
def test_a_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad.toml is not valid TOML"):
        load(path=path, environment={})


def test_an_absent_file_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"/nowhere.toml: No such file"):
        load(path=Path("/nowhere.toml"), environment={})


def test_secrets_show_neither_in_repr_nor_in_refusals_nor_in_what_children_are_told() -> None:
    environment = {"OBJSTORE_ROOT_ACCESS_KEY": "AKROOT", "OBJSTORE_ROOT_SECRET_KEY": SECRET}
    config = load(environment=environment)
    assert config.root_secret_key is not None
    assert config.root_secret_key.get_secret_value() == SECRET
    assert SECRET not in repr(config)
    assert SECRET not in str(config.for_children())
    with pytest.raises(ConfigError) as caught:
        load({"root_secret_key": ["short"]}, environment={"OBJSTORE_ROOT_ACCESS_KEY": "AKROOT"})
    assert "short" not in str(caught.value).replace("too short", "")


REMOTE = {"name": "far", "url": "https://s3.example.org", "access_key": "AKFAR", "secret_key": SECRET}


def test_remotes_come_from_file_and_environment(tmp_path: Path) -> None:
    path = tmp_path / "some.toml"
    fields = "\n".join(f'{name} = "{value}"' for name, value in REMOTE.items())
    path.write_text(f"[[remotes]]\n{fields}\nregion = 'eu-west-1'\n")
    (remote,) = load(path=path, environment={}).remotes
    assert (remote.name, remote.url, remote.region) == ("far", "https://s3.example.org", "eu-west-1")
    (remote,) = load(environment={"OBJSTORE_REMOTES": json.dumps([REMOTE])}).remotes
    assert (remote.region, remote.secret_key.get_secret_value()) == ("us-east-1", SECRET)


def test_secrets_of_remotes_go_to_children_and_nowhere_else() -> None:
    config = load({"remotes": [REMOTE]}, environment={})
    assert SECRET not in repr(config) and SECRET not in config.model_dump_json()
    assert Config(**config.for_children()) == config


@pytest.mark.parametrize(
    "wrong",
    [
        "{}",
        "junk",
        [{**REMOTE, "name": "a b"}],
        [{**REMOTE, "url": "ftp://s3.example.org"}],
        [{**REMOTE, "url": "https://s3.example.org/path"}],
        [{**REMOTE, "url": "https://me@s3.example.org"}],
        [{**REMOTE, "url": "https://s3.example.org?x"}],
        [{**REMOTE, "url": "https://s3.example.org:port"}],
        [{**REMOTE, "region": "Europe"}],
        [{**REMOTE, "access_key": ""}],
        [{**REMOTE, "more": SECRET}],
        [{name: value for name, value in REMOTE.items() if name != "name"}],
        [REMOTE, REMOTE],
    ],
)
def test_wrong_remotes_are_refused_without_telling_the_secret(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="remotes") as caught:
        load({"remotes": wrong}, environment={})
    assert SECRET not in str(caught.value)


def test_children_are_told_the_same_settings() -> None:
    config = load({"erasure": "2+1", "domains": "a.example"}, environment={})
    assert Config(**config.for_children()) == config


def test_settings_cannot_be_changed_after_they_are_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(environment={}).workers = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        ("GLACIER", "CLASS=remote/bucket"),
        ("GLACIER=vault", "CLASS=remote/bucket"),
        ("GLACIER=vault/UPPER", "CLASS=remote/bucket"),
        ("STANDARD=vault/bucket", "the class must be one of"),
        ("GLACIER=vault/bucket/" + "x" * 600, "at most 512 bytes"),
        ("GLACIER=vault/bucket,GLACIER=vault/other", "named twice"),
        ("GLACIER=elsewhere/bucket", "'elsewhere', which is not in remotes"),
    ],
)
def test_wrong_tiers_are_refused(tiers: str, said: str) -> None:
    remotes = [{**REMOTE, "name": "vault"}]
    with pytest.raises(ConfigError, match="tiers") as caught:
        load({"remotes": remotes, "tiers": tiers}, environment={})
    assert said in str(caught.value)


def test_tiers_are_read_as_they_are_written() -> None:
    tiers = "GLACIER=vault/bucket,STANDARD_IA=vault/bucket/a/b"
    config = load({"remotes": [{**REMOTE, "name": "vault"}], "tiers": tiers}, environment={})
    assert config.tiers == ("GLACIER=vault/bucket", "STANDARD_IA=vault/bucket/a/b")
