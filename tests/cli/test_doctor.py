from typing import Any

import pytest
from typer.testing import CliRunner

import tutti
from tutti.cli.doctor import app
from tutti.errors import HashMismatchError
from tutti.weights import store


def test_a_healthy_machine_is_described() -> None:
    result = CliRunner().invoke(app)
    assert result.exit_code == 0
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["tutti"] == tutti.__version__
    assert lines["torch"].startswith("2.")
    assert lines["tutti-notes"] == "ready"


def test_damaged_weights_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def verify(_card: Any) -> None:
        raise HashMismatchError("The file is not the one the card names.")

    monkeypatch.setattr(store, "verify", verify)
    result = CliRunner().invoke(app)
    assert result.exit_code == 1
    assert "The file is not the one the card names." in result.stdout


def test_missing_packages_are_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tutti.cli.doctor.PACKAGES", ("tutti-of-another-world",))
    assert "tutti-of-another-world not installed" in CliRunner().invoke(app).stdout
