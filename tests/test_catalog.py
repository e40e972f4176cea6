import inspect
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest
from pydantic import BaseModel

import tutti
from tutti.catalog import CAPABILITIES, Capability, capability
from tutti.errors import OptionError, UsageError

EVERY_ROW = pytest.mark.parametrize("row", CAPABILITIES, ids=lambda row: row.verb)


def test_every_capability_folder_has_one_row_and_every_row_a_folder() -> None:
    folder = Path(tutti.__file__).parent / "capabilities"
    there = sorted(f"tutti.capabilities.{path.parent.name}" for path in folder.glob("*/types.py"))
    assert sorted(row.module for row in CAPABILITIES) == there
    assert len({row.verb for row in CAPABILITIES}) == len(CAPABILITIES)


@EVERY_ROW
def test_a_row_says_everything(row: Capability) -> None:
    assert row.verb.isidentifier()
    for text in (row.summary, row.takes, row.gives):
        assert text.strip()
    assert row.summary.endswith(".")
    assert len(import_module(row.module).__doc__ or "") > 100


@EVERY_ROW
def test_options_are_frozen_documented_and_all_have_a_default(row: Capability) -> None:
    assert issubclass(row.options_type, BaseModel)
    assert row.options_type.model_config["frozen"] is True
    assert row.options_type.model_config["extra"] == "forbid"
    row.options({})
    for name, field in row.options_type.model_fields.items():
        assert field.description, name


@EVERY_ROW
def test_run_takes_source_options_progress_and_cancellation(row: Capability) -> None:
    assert list(inspect.signature(row.run).parameters) == ["source", "options", "on_progress", "cancelled"]


@EVERY_ROW
def test_a_result_can_be_saved_and_carries_warnings_and_provenance(row: Capability) -> None:
    assert isinstance(row.formats, Sequence)
    assert row.formats
    for name in ("save", "save_as", "warnings", "provenance"):
        assert hasattr(row.result_type, name)


@EVERY_ROW
def test_the_library_has_the_verb(row: Capability) -> None:
    assert callable(getattr(tutti, row.verb))


def test_an_unknown_verb_names_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"There is no verb 'sing'\. There is: transcribe"):
        capability("sing")


def test_wrong_options_are_named_with_what_was_given() -> None:
    with pytest.raises(OptionError, match=r"^device='banana': Where to compute: auto, cpu, cuda, cuda:N or mps\.$"):
        capability("transcribe").options({"device": "banana"})
    with pytest.raises(OptionError, match=r"onset_threshold=2: Input should be less than 1\.") as caught:
        capability("transcribe").options({"onset_threshold": 2, "windw": 1})
    assert "transcribe has no option 'windw'. It has: model, device" in str(caught.value)
