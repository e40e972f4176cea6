"""Model cards: one TOML file per model, found by being in the folder.

Built-in cards lie in `weights/cards/`, the user's in `TUTTI_CARDS_DIR`. There is no other list of models.
"""

from __future__ import annotations

import difflib
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tutti.declared import read_declared
from tutti.errors import CardError, UnknownModelError
from tutti.settings import settings

__all__ = [
    "BUNDLED",
    "CONVERTED",
    "SCHEMES",
    "Card",
    "Score",
    "Training",
    "UpstreamFile",
    "check_uri",
    "find_card",
    "load_cards",
    "read_card",
]

BUNDLED_CARDS = Path(__file__).with_name("cards")
BUNDLED = "bundled"
"""The location of weights that lie inside the package."""
CONVERTED = "converted"
"""The location of weights that are made on this machine from the file their authors published."""
SCHEMES = ("https", "http", "s3", "file")
"""Where weights may be fetched from."""


def check_uri(uri: str) -> str:
    """`uri` itself. Raises ValueError unless it names a file at one of `SCHEMES`."""
    parts = urlsplit(uri)
    if parts.scheme not in SCHEMES or "::" in uri:
        raise ValueError(f"{uri!r} is no place to fetch from; use {', '.join(f'{name}://' for name in SCHEMES)}")
    if (parts.scheme != "file" and not parts.netloc) or parts.path in ("", "/") or parts.path.endswith("/"):
        raise ValueError(f"{uri!r} names no file")
    return uri


def _check_location(location: str) -> str:
    return location if location in (BUNDLED, CONVERTED) else check_uri(location)


T = TypeVar("T")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


_Text = Annotated[str, Field(min_length=1)]
_Texts = Annotated[tuple[_Text, ...], Field(strict=False)]  # TOML has lists only


class Score(_Table):
    """One measured figure."""

    data: _Text
    metric: _Text
    value: float
    note: str = ""


class Training(_Table):
    """How the weights came to be."""

    data: _Text
    hours_heard: float = Field(ge=0)
    steps: int = Field(ge=0)
    wall_hours: float = Field(ge=0)
    seed: int
    recipe: _Text


class UpstreamFile(_Table):
    """What is known of a file that a model's authors published, from which our weights can be made."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._=-]*$")
    size_bytes: int | None = Field(default=None, ge=1)
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """Empty when nobody has stated it."""
    locations: tuple[Annotated[str, AfterValidator(check_uri)], ...] = Field(default=(), strict=False)
    settings: dict[str, str] = {}
    """What no tensor in it tells; read by the capability alone."""
    note: str = ""

    @property
    def can_be_fetched(self) -> bool:
        return bool(self.locations and self.sha256 and self.size_bytes)


class Card(_Table):
    """What is known of one model. `config` is read by the capability alone."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
    capability: _Text
    framework: Literal["torch", "jax", "onnx"]
    description: _Text
    licence: _Text
    source: _Text
    commit: str = ""
    parameters: int = Field(ge=1)
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    size_bytes: int = Field(ge=1)
    """Of the file; of converted weights, whose file also says where they came from, the tensors alone."""
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """Of the file. Empty for converted weights: their file keeps its own checksum, see `store.identified`."""
    locations: tuple[Annotated[str, AfterValidator(_check_location)], ...] = Field(min_length=1, strict=False)
    """`bundled`, `converted`, or URIs to try in order: https://, http://, s3://, file:///."""
    upstream: tuple[UpstreamFile, ...] = Field(default=(), strict=False)
    """The published files that converted weights may come from, the best one first."""
    attribution: _Texts = ()
    weaknesses: _Texts = ()
    scores: tuple[Score, ...] = Field(default=(), strict=False)
    training: Training | None = None
    config: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check_where_it_is_from(self) -> Card:
        if CONVERTED in self.locations and len(self.locations) > 1:
            raise ValueError("weights that are converted have no other location")
        if not self.sha256 and not self.is_converted:
            raise ValueError("sha256 is missing; only converted weights go without")
        return self

    @property
    def is_converted(self) -> bool:
        return self.locations == (CONVERTED,)

    def settings(self, name: str, kind: type[T]) -> T:
        """The table [config.`name`] as a dataclass. Raises CardError when it is missing or has other keys."""
        table = self.config.get(name)
        if not isinstance(table, dict):
            raise CardError(
                f"The card of {self.name} has no table [config.{name}], which {self.capability} needs. Add it."
            )
        try:
            return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in table.items()})
        except TypeError as error:
            known = ", ".join(field.name for field in fields(kind))  # type: ignore[arg-type]
            raise CardError(
                f"In the card of {self.name}, [config.{name}] lacks a key or has an unknown one. It takes: {known}."
            ) from error


def load_cards() -> dict[str, Card]:
    """Every card by name. Raises CardError for a malformed card or two of one name."""
    cards: dict[str, Card] = {}
    found: dict[str, Path] = {}
    for folder in (BUNDLED_CARDS, settings().cards_dir):
        for path in sorted(folder.glob("*.toml")):
            card = read_card(path)
            if card.name in cards:
                raise CardError(f"{found[card.name]} and {path} both name {card.name!r}. Rename one of them.")
            cards[card.name], found[card.name] = card, path
    return cards


def find_card(name: str) -> Card:
    """The card called `name`. Raises UnknownModelError listing what there is, CardError as `load_cards`."""
    cards = load_cards()
    if name in cards:
        return cards[name]
    near = difflib.get_close_matches(name, cards, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UnknownModelError(f"There is no model {name!r}.{hint} There is: {', '.join(sorted(cards)) or 'none'}.")


def read_card(path: Path) -> Card:
    """The card in a TOML file. Raises CardError naming file and field."""
    return read_declared(path, Card, "model card", CardError)
