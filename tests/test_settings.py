import re
from collections.abc import Iterator
from dataclasses import FrozenInstanceError
from pathlib import Path

import platformdirs
import pytest

import tutti.settings
from tutti.errors import OptionError
from tutti.settings import read_settings, settings


@pytest.fixture
def fresh() -> Iterator[None]:
    settings.cache_clear()
    yield
    settings.cache_clear()


def test_an_empty_environment_gives_the_platform_s_folders() -> None:
    default = read_settings({})
    assert default.cache_dir == Path(platformdirs.user_cache_dir("tutti", appauthor=False))
    assert default.cards_dir == Path(platformdirs.user_config_dir("tutti", appauthor=False)) / "cards"
    assert default.offline is False
    assert default.threads is None
    assert (default.model_uri, default.model_version, default.model_sha256) == (None, None, None)
    assert default.model_cache_dir == Path("/data/models")


def test_every_variable_is_read() -> None:
    chosen = read_settings(
        {"TUTTI_CACHE_DIR": "/a b/c", "TUTTI_CARDS_DIR": "cards", "TUTTI_OFFLINE": "1", "TUTTI_THREADS": " 3 "}
    )
    assert (chosen.cache_dir, chosen.cards_dir) == (Path("/a b/c"), Path("cards"))
    assert (chosen.offline, chosen.threads) == (True, 3)
    model = {"URI": " https://a/b.h5 ", "VERSION": "v1.2", "SHA256": "aB" * 32, "CACHE_DIR": "/m n"}
    chosen = read_settings({f"MODEL_{name}": value for name, value in model.items()})
    assert (chosen.model_uri, chosen.model_version) == ("https://a/b.h5", "v1.2")
    assert (chosen.model_sha256, chosen.model_cache_dir) == ("aB" * 32, Path("/m n"))


def test_empty_variables_count_as_missing() -> None:
    names = [f"TUTTI_{name}" for name in ("CACHE_DIR", "CARDS_DIR", "OFFLINE", "THREADS")]
    names += [f"MODEL_{name}" for name in ("URI", "VERSION", "SHA256", "CACHE_DIR")]
    assert read_settings(dict.fromkeys(names, "")) == read_settings({})


@pytest.mark.parametrize(
    ("value", "offline"), [("0", False), ("no", False), ("False", False), ("1", True), ("YES", True), ("true", True)]
)
def test_yes_and_no(value: str, offline: bool) -> None:
    assert read_settings({"TUTTI_OFFLINE": value}).offline is offline


@pytest.mark.parametrize(
    ("name", "value", "advice"),
    [
        ("TUTTI_OFFLINE", "maybe", "Set it to 1 or 0"),
        ("TUTTI_THREADS", "0", "Set it to 1 or more"),
        ("TUTTI_THREADS", "-2", "Set it to 1 or more"),
        ("TUTTI_THREADS", "two", "Set it to 1 or more"),
        ("TUTTI_THREADS", "1.5", "Set it to 1 or more"),
        ("MODEL_VERSION", "../1", "Set it to letters, digits"),
        ("MODEL_VERSION", "..", "Set it to letters, digits"),
        ("MODEL_SHA256", "03d46bdd", "Set it to 64 hexadecimal digits"),
    ],
)
def test_a_malformed_value_is_named_with_what_to_set(name: str, value: str, advice: str) -> None:
    with pytest.raises(OptionError, match=f"{name}='{value}'.*{advice}"):
        read_settings({name: value})


@pytest.mark.usefixtures("fresh")
def test_the_process_reads_its_environment_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTTI_THREADS", "2")
    first = settings()
    monkeypatch.setenv("TUTTI_THREADS", "5")
    assert settings() is first
    assert first.threads == 2
    settings.cache_clear()
    assert settings().threads == 5


def test_settings_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        read_settings({}).offline = True  # type: ignore[misc]


def test_every_variable_is_documented() -> None:
    read = set(re.findall(r'"((?:TUTTI|MODEL)_\w+)"', Path(tutti.settings.__file__).read_text()))
    assert read == set(re.findall(r"`((?:TUTTI|MODEL)_\w+)`", tutti.settings.__doc__ or ""))
    assert len(read) == 9
