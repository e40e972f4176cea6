import signal
import sys
from types import ModuleType

import pytest
import typer

import tutti
from tutti.catalog import CAPABILITIES
from tutti.cli import main as cli
from tutti.errors import DeviceError, UnknownModelError, WeightsMissingError


@pytest.fixture(autouse=True)
def keep_signals() -> object:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def leave(*arguments: str) -> object:
    with pytest.raises(SystemExit) as leaving:
        cli.main(arguments)
    return leaving.value.code


def install(monkeypatch: pytest.MonkeyPatch, fault: BaseException | None) -> None:
    """A command `probe` that raises `fault`."""
    module = ModuleType("probe_command")
    app = typer.Typer()

    @app.command()
    def probe() -> None:
        """Probe."""
        if fault:
            raise fault

    module.app = app  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "probe_command", module)
    monkeypatch.setitem(cli.COMMANDS, "probe", cli.LazyCommand("probe_command", "Probe it."))


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("--version") == 0
    assert capsys.readouterr().out == f"tutti {tutti.__version__}\n"


def test_help_lists_every_verb_and_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert leave("--help") == 0
    out = capsys.readouterr().out
    for name in [*(row.verb for row in CAPABILITIES), *cli.COMMANDS]:
        assert f"\n  {name} " in out


@pytest.mark.parametrize("arguments", [(), ("transcrib",), ("--windw",)])
def test_wrong_usage_is_two(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert leave(*arguments) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_success_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    assert leave("probe") == 0


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (UnknownModelError("No model 'x'. There is: y."), 2),
        (DeviceError("No CUDA here."), 2),
        (WeightsMissingError("Run tutti models pull y."), 1),
    ],
)
def test_an_expected_error_is_one_sentence_and_its_own_code(
    fault: BaseException, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install(monkeypatch, fault)
    assert leave("probe") == code
    assert capsys.readouterr() == ("", f"tutti: {fault}\n")


def test_an_unforeseen_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, ZeroDivisionError("bug"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["probe"])


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    install(monkeypatch, KeyboardInterrupt())
    assert leave("probe") == 130
    assert "interrupted" in capsys.readouterr().err


def test_being_told_to_end_unwinds(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    leave("probe")
    with pytest.raises(SystemExit) as leaving:
        signal.raise_signal(signal.SIGTERM)
    assert leaving.value.code == 143
