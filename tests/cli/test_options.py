from typing import Annotated, Any, Literal

import pytest
import typer
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from tutti.cli.options import with_options


class Options(BaseModel):
    model: Annotated[str, Field(description="Name of the card.")] = "small"
    kind: Annotated[Literal["soft", "hard"], Field(description="Which one.")] = "soft"
    threshold: Annotated[float | None, Field(description="Confidence.", gt=0, lt=1)] = None
    length_s: Annotated[float, Field(description="Shortest.", ge=0, le=10)] = 0.5
    count: Annotated[int, Field(ge=1)] = 3
    is_fast: Annotated[bool, Field(description="Hurry.")] = False
    families: Annotated[tuple[Literal["piano", "drums"], ...], Field(description="Keep these.")] = ()
    numbers: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(description="These, too.")] = ()


def invoke(*arguments: str) -> tuple[Any, dict[str, Any]]:
    seen: dict[str, Any] = {}
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command()
    @with_options(Options)
    def command(
        name: Annotated[str, typer.Argument()],
        *,
        loud: Annotated[bool, typer.Option("--loud")] = False,
        options: dict[str, Any],
    ) -> None:
        """Do it."""
        seen.update(name=name, loud=loud, options=options)

    return CliRunner().invoke(app, list(arguments)), seen


def test_defaults_are_the_models_own() -> None:
    result, seen = invoke("x")
    assert result.exit_code == 0
    assert Options(**seen["options"]) == Options()


def test_every_flag_reaches_the_model() -> None:
    result, seen = invoke(
        *("x", "--loud", "--model", "big", "--kind", "hard", "--threshold", "0.3", "--length-s", "2"),
        *("--count", "7", "--is-fast", "--families", "piano", "--families", "drums"),
        *("--numbers", "3", "--numbers", "5"),
    )
    assert result.exit_code == 0
    assert seen["name"] == "x"
    assert seen["loud"] is True
    assert Options(**seen["options"]) == Options(
        model="big",
        kind="hard",
        threshold=0.3,
        length_s=2,
        count=7,
        is_fast=True,
        families=("piano", "drums"),
        numbers=(3, 5),
    )


@pytest.mark.parametrize(
    "text",
    [
        "Confidence. [0 < x < 1]",
        "Shortest. [0 <= x <= 10]",
        "[1 <= x]",
        "[soft|hard]",
        "[piano|drums]",
        "[default: small]",
    ],
)
def test_help_says_meaning_range_choice_and_default(text: str) -> None:
    result, _ = invoke("--help")
    assert text in " ".join(result.stdout.split())


@pytest.mark.parametrize("arguments", [("--kind", "medium"), ("--count", "many"), ("--windw", "1")])
def test_what_no_flag_can_mean_is_wrong_usage(arguments: tuple[str, ...]) -> None:
    result, seen = invoke("x", *arguments)
    assert result.exit_code == 2
    assert not seen


def test_a_field_type_without_a_flag_is_refused_when_the_command_is_made() -> None:
    class Odd(BaseModel):
        table: dict[str, int] = {}

    def command(*, options: dict[str, Any]) -> None: ...

    with pytest.raises(TypeError, match="No command-line flag for a field of type dict"):
        with_options(Odd)(command)
