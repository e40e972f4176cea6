"""The registry of styles: one TOML file each, in `style_files/` and in the user's own folder.

A style is a profile over a trained network: what the network is told, what must or must not be struck where, and how
what it plays is moved and weighted. Nobody has published drum parts labelled with producers, so those styles are
inspired by what has been written of them; each file says which of its figures are sourced and which are taste.
"""

from __future__ import annotations

import difflib
import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tutti.capabilities.groove.tokens import STYLES, SUBSTYLES
from tutti.declared import read_declared
from tutti.errors import StyleError, UnknownStyleError
from tutti.music.drum_kit import DRUM_CLASSES
from tutti.settings import settings

__all__ = [
    "Figure",
    "Lean",
    "Places",
    "Rolls",
    "Style",
    "Told",
    "find_style",
    "get_model_path",
    "get_style_id",
    "get_style_params",
    "list_available_styles",
    "load_styles",
    "read_style",
]

BUNDLED_STYLES = Path(__file__).with_name("style_files")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _known_voice(name: str) -> str:
    if name not in DRUM_CLASSES:
        raise ValueError(f"there is no drum {name!r}; use one of: {', '.join(DRUM_CLASSES)}")
    return name


def _in_order(pair: tuple[float, float]) -> tuple[float, float]:
    if pair[0] > pair[1]:
        raise ValueError(f"the lower comes first; got {pair[0]:g} and {pair[1]:g}")
    return pair


_Share = Annotated[float, Field(ge=0, le=1)]
_Steps = tuple[Annotated[int, Field(ge=0, le=47)], ...]
_Ms = Annotated[float, Field(ge=-60, le=60)]


class Told(_Table):
    """What the network is told."""

    style: str | None = None
    substyle: str | None = None
    density: float | None = Field(None, ge=1, le=60)
    """Strokes in four beats."""
    half_time: bool = False
    """The network thinks at half the tempo: one bar of its own becomes two."""

    @field_validator("style")
    @classmethod
    def _known_style(cls, name: str | None) -> str | None:
        if name is not None and name not in STYLES:
            raise ValueError(f"the network knows no style {name!r}; it knows: {', '.join(STYLES)}")
        return name

    @field_validator("substyle")
    @classmethod
    def _known_substyle(cls, name: str | None) -> str | None:
        if name is not None and name not in SUBSTYLES:
            raise ValueError(f"the network knows no substyle {name!r}; it knows: {', '.join(SUBSTYLES)}")
        return name


class Places(_Table):
    """A piece of the kit on sixteenths of a bar, from 0."""

    voice: str
    steps: _Steps
    chance: _Share = 1.0
    """Drawn once a pattern for each of the steps."""

    _voice = field_validator("voice")(_known_voice)


class Lean(_Table):
    """How late (early below 0) a voice is on its sixteenths: one amount for each, drawn once a pattern, kept all
    through it."""

    voice: str
    late_ms: tuple[_Ms, _Ms]
    steps: _Steps | None = None
    """None is every sixteenth that no other entry names."""
    grid_per_beat: int | None = Field(None, ge=12, le=960)
    """Amounts are whole parts of a beat so fine, as on the machine it was made with."""

    _voice = field_validator("voice")(_known_voice)
    _order = field_validator("late_ms")(_in_order)


class Rolls(_Table):
    """Hi-hats split into faster ones."""

    chance: _Share
    """Of a beat to hold one."""
    divisions: tuple[Annotated[int, Field(ge=3, le=16)], ...] = Field(min_length=1)
    """Strokes in a beat."""
    ramp: float = Field(0.0, ge=-1, le=1)
    """By which share velocity rises along a roll, or falls below 0; either way at random."""


class Figure(_Table):
    """Where a figure of this file is from."""

    what: str
    basis: Literal["required", "sourced", "measured", "taste"]
    source: str


class Style(_Table):
    """One style. A figure that is None is left to the network."""

    name: str = Field(min_length=1)
    id: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    model: str = "tutti-groove"
    """Name of the model card that plays it."""
    description: str = Field(min_length=1)
    aliases: tuple[str, ...] = ()
    bpm: tuple[Annotated[float, Field(ge=30, le=300)], Annotated[float, Field(ge=30, le=300)]]
    """The tempi it is at home in, quarter notes a minute."""
    swing_percent: float | None = Field(None, ge=50, le=75)
    swing_division: Literal["8th", "16th"] = "16th"
    micro_timing_ms: float | None = Field(None, ge=0, le=60)
    ghost_note_prob: _Share | None = None
    """Share of the snare strokes that are ghost notes."""
    velocity_variation: _Share | None = None
    """Of strokes that are repeated, as a share of their velocity."""
    told: Told = Field(default_factory=lambda: Told.model_validate({}))
    must: tuple[Places, ...] = ()
    never: tuple[Places, ...] = ()
    voices: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """The pieces that are played at all; None is the whole kit."""
    lean: tuple[Lean, ...] = ()
    straight: tuple[Places, ...] = ()
    """Voices (steps are not looked at) that by `chance` stay straight while the others swing."""
    stray_ms: float | None = Field(None, ge=0, le=60)
    """Standard deviation of what is left when leans are taken out, at `micro_timing_ms` as it stands here."""
    levels: dict[str, Annotated[int, Field(ge=1, le=127)]] = {}
    """How loud a voice is that a machine plays, for its strokes above a ghost note; drummers' accents stay, smaller."""
    rolls: Rolls | None = None
    keys: dict[str, Annotated[int, Field(ge=27, le=87)]] = {}
    """General MIDI keys of pieces that this style plays on other instruments."""
    by_hand: bool = True
    """Whether it is to be playable by two hands and two feet."""
    figures: tuple[Figure, ...] = ()

    _order = field_validator("bpm")(_in_order)

    @field_validator("levels", "keys")
    @classmethod
    def _known_voices(cls, table: dict[str, int]) -> dict[str, int]:
        return {_known_voice(name): value for name, value in table.items()}

    @model_validator(mode="after")
    def _can_be_played(self) -> Style:
        must, never = (
            {(own.voice, step) for own in places for step in own.steps} for places in (self.must, self.never)
        )
        if both := sorted(must & never):
            raise ValueError(f"{both[0][0]} on sixteenth {both[0][1]} must be played and never is")
        if self.voices is not None and (silent := {voice for voice, _ in must} - set(self.voices)):
            raise ValueError(f"{min(silent)} must be played, but is not among the voices")
        return self

    @property
    def usual_bpm(self) -> float:
        """The middle of its range."""
        return (self.bpm[0] + self.bpm[1]) / 2


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


@cache
def load_styles() -> dict[str, Style]:
    """Every style by name. Raises StyleError for a malformed file, or two of one name or alias."""
    styles: dict[str, Style] = {}
    taken: dict[str, Path] = {}
    for folder in (BUNDLED_STYLES, settings().styles_dir):
        for path in sorted(folder.glob("*.toml")):
            style = read_style(path)
            for name in {_plain(own) for own in (style.name, style.id, *style.aliases)}:
                if name in taken:
                    raise StyleError(f"{taken[name]} and {path} both answer to {name!r}. Rename one of them.")
                taken[name] = path
            styles[style.name] = style
    return styles


def _by_plain_name() -> dict[str, Style]:
    names = ((style, own) for style in load_styles().values() for own in (style.name, style.id, *style.aliases))
    return {_plain(own): style for style, own in names}


def read_style(path: Path) -> Style:
    """The style in a TOML file. Raises StyleError naming file and field."""
    return read_declared(path, Style, "style", StyleError)


def style_called(name: str) -> Style | None:
    """The style of this name, id or alias, however it is spelt; None where there is none."""
    return _by_plain_name().get(_plain(name))


def find_style(name: str) -> Style:
    """The style called `name`, by its name, id or an alias, however it is spelt. Raises UnknownStyleError."""
    if (style := style_called(name)) is not None:
        return style
    styles, known = load_styles(), _by_plain_name()
    near = difflib.get_close_matches(_plain(name), known, n=1, cutoff=0.4)
    hint = f" Did you mean {known[near[0]].name!r}?" if near else ""
    raise UnknownStyleError(f"There is no style {name!r}.{hint} There is: {', '.join(styles)}.")


def list_available_styles() -> list[str]:
    """Names of all styles, in the order of their files: those of tutti, then the user's own."""
    return list(load_styles())


def get_style_id(name: str) -> str:
    """The id of a style, which names its profile in results. Raises UnknownStyleError."""
    return find_style(name).id


def get_style_params(name: str) -> dict[str, Any]:
    """A copy of the public parameters of a style. Raises UnknownStyleError."""
    style = find_style(name)
    return {
        "model": style.id,
        "description": style.description,
        "preferred_tempo_range": style.bpm,
        "swing_percent": style.swing_percent,
        "micro_timing_ms": style.micro_timing_ms,
        "ghost_note_prob": style.ghost_note_prob,
        "velocity_variation": style.velocity_variation,
    }


def get_model_path(style_id: str) -> Path:
    """The verified weights that play a style, by its id or name.

    Raises UnknownStyleError, UnknownModelError, WeightsMissingError, HashMismatchError.
    """
    from tutti.weights.cards import find_card
    from tutti.weights.store import locate

    return locate(find_card(find_style(style_id).model))
