"""Weights of `small_groove`, for every test of the capability."""

from pathlib import Path

import pytest

from tests.capabilities.groove.small_groove import small_weights


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_weights(tmp_path_factory.mktemp("groove") / "small.safetensors")
