import sys
from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest
from typer.testing import CliRunner

import tutti
from tutti.cli.doctor import _needed, app
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


def installed(monkeypatch: pytest.MonkeyPatch, versions: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in versions:
            raise PackageNotFoundError(name)
        return versions[name]

    lines = ["torch>=2.10", "jax>=0.4.30; extra == 'jax'", 'onnxruntime>=1.19; extra == "onnx"', "odd[more]~=2"]
    monkeypatch.setattr("tutti.cli.doctor.requires", lambda _name: lines)
    monkeypatch.setattr("tutti.cli.doctor.version", version)
    monkeypatch.setattr("tutti.cli.doctor._weights", lambda: iter(()))


def said(exit_code: int) -> dict[str, str]:
    result = CliRunner().invoke(app)
    assert result.exit_code == exit_code
    return dict(line.split(maxsplit=1) for line in result.stdout.splitlines())


def test_versions_that_tutti_can_use_are_only_named(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {"torch": "2.10.0rc1+cpu", "jax": "0.10.2", "onnxruntime": "1.19"})
    lines = said(0)
    assert (lines["torch"], lines["jax"], lines["onnxruntime"]) == ("2.10.0rc1+cpu", "0.10.2", "1.19")
    assert lines["numpy"] == "not installed"  # nothing is said to be needed


def test_older_versions_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {"torch": "2.9.1", "jax": "0.4.30"})
    assert said(1)["torch"] == "2.9.1 is too old: tutti needs 2.10 or newer. Run: pip install -U 'torch>=2.10'"


def test_what_is_missing_is_said_how_to_get(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, {})
    lines = said(0)
    assert lines["torch"] == "not installed (needed: pip install 'torch>=2.10')"
    assert lines["onnxruntime"] == "not installed (optional: pip install 'tutti[onnx]')"


def test_the_requirements_are_read_as_they_are_written() -> None:
    assert _needed()["torch"].extra == ""
    assert _needed()["jax"].extra == "jax"
    assert _needed()["onnxruntime"] == ("1.19", "onnx")


def test_without_torch_there_is_still_a_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "tutti.weights.devices", raising=False)
    assert "torch is not installed" in said(0)["auto"]
