import sys
from types import ModuleType
from typing import Any

import pytest

import tutti
from tutti.capabilities.transcription.types import Options
from tutti.errors import OptionError
from tutti.weights import loaded


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    made: list[tuple[Any, ...]] = []
    module = ModuleType("tutti.capabilities.transcription.run")

    def run(source: Any, options: Options, on_progress: Any = None, cancelled: Any = None) -> str:
        made.append((source, options, on_progress, cancelled))
        return "result"

    module.run = run  # type: ignore[attr-defined]
    module.load = lambda options: made.append(("load", options))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return made


def test_transcribe_checks_its_options_and_passes_everything_on(calls: list[Any]) -> None:
    assert tutti.transcribe("song.wav", "big", on_progress=print, min_note_s=0.1) == "result"  # type: ignore[comparison-overlap]
    assert calls == [("song.wav", Options(model="big", min_note_s=0.1), print, None)]


def test_a_misspelt_option_is_never_ignored(calls: list[Any]) -> None:
    with pytest.raises(OptionError, match="no option 'min_notes'"):
        tutti.transcribe("song.wav", min_notes=0.1)
    assert calls == []


def test_a_loaded_model_is_loaded_at_once_and_keeps_device_and_precision(calls: list[Any]) -> None:
    model = tutti.load_model("big", device="cpu", precision="fp32")
    assert calls == [("load", Options(model="big", device="cpu", precision="fp32"))]
    model.transcribe("song.wav", min_note_s=0.1)
    assert calls[1][1] == Options(model="big", device="cpu", precision="fp32", min_note_s=0.1)


def test_what_the_package_offers_is_listed_and_nothing_else_is_there() -> None:
    assert set(tutti.__all__) <= set(dir(tutti))
    with pytest.raises(AttributeError, match="has no attribute 'sing'"):
        tutti.sing  # type: ignore[attr-defined]  # noqa: B018


def test_messages_stay_silent_until_the_program_asks_for_them(capfd: pytest.CaptureFixture[str]) -> None:
    loaded.log.warning("a GPU too full")
    assert capfd.readouterr() == ("", "")
