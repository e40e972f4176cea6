import io

import pytest

from tutti.cli.progress import bar, progress_wanted, silence


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_follows_the_stages_on_standard_error_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with bar("1/2 [song].wav") as on_progress:
        on_progress("listening", 5, 10)
    assert "1/2 [song].wav: listening" in terminal.getvalue()
    assert "50%" in terminal.getvalue()
    assert capsys.readouterr().out == ""


def test_silence_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with silence("song") as on_progress:
        on_progress("listening", 5, 10)
    assert capsys.readouterr() == ("", "")


def test_progress_is_wanted_on_a_terminal_that_is_not_to_be_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert not progress_wanted(quiet=False)
    monkeypatch.setattr("sys.stderr", Terminal())
    assert progress_wanted(quiet=False)
    assert not progress_wanted(quiet=True)
