"""Command-line flags made from an options model, so that no flag is written twice."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel
from pydantic.fields import FieldInfo

__all__ = ["with_options"]

_SCALARS = (bool, int, float, str, Path)


def with_options(model: type[BaseModel]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace the decorated command's `options` parameter by one flag per field of `model`.

    The command then receives `options` as a plain dict of values, unchecked: the model itself checks them.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(command, include_extras=True)
        own = [
            parameter.replace(annotation=hints[name])
            for name, parameter in inspect.signature(command).parameters.items()
            if name != "options"
        ]
        generated = [_flag(name, field) for name, field in model.model_fields.items()]

        @functools.wraps(command)
        def wrapper(**values: Any) -> None:
            options = {name: values.pop(name) for name in model.model_fields}
            command(**values, options=options)

        parameters = [*own, *generated]
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapper

    return decorate


def _flag(name: str, field: FieldInfo) -> inspect.Parameter:
    kind, is_many = _flag_type(field.annotation)
    default = field.get_default(call_default_factory=True)
    option = typer.Option(
        *_short_names(name, field),
        help=_help(field),
        show_default=default is not None and not is_many,
        metavar=_choices(get_args(field.annotation)[0] if is_many else field.annotation),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=list(default) if is_many else default,
        annotation=Annotated[kind, option],
    )


def _short_names(name: str, field: FieldInfo) -> tuple[str, ...]:
    """The flag's own name and the shorter one that the field asks for with `json_schema_extra={"flag": …}`."""
    extra = field.json_schema_extra
    return (str(extra["flag"]), f"--{name.replace('_', '-')}") if isinstance(extra, dict) and "flag" in extra else ()


def _flag_type(annotation: Any) -> tuple[Any, bool]:
    """The type typer parses, and whether the flag may be repeated."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if annotation in _SCALARS or origin is Literal:
        return annotation, False
    if origin in (Union, UnionType) and len(arguments) == 2 and type(None) in arguments:
        inner, is_many = _flag_type(next(part for part in arguments if part is not type(None)))
        return inner | None, is_many
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        # typer parses neither a list of choices nor one of values in a range: the model checks them
        inner = get_args(arguments[0])[0] if get_origin(arguments[0]) is Annotated else arguments[0]
        return (list[str] if get_origin(inner) is Literal else list[inner]), True  # type: ignore[valid-type]
    raise TypeError(f"No command-line flag for a field of type {annotation!r}.")


def _choices(annotation: Any) -> str | None:
    return f"[{'|'.join(get_args(annotation))}]" if get_origin(annotation) is Literal else None


def _help(field: FieldInfo) -> str:
    low = next((f"{bound.ge} <= " for bound in field.metadata if isinstance(bound, Ge)), "")
    low = next((f"{bound.gt} < " for bound in field.metadata if isinstance(bound, Gt)), low)
    high = next((f" <= {bound.le}" for bound in field.metadata if isinstance(bound, Le)), "")
    high = next((f" < {bound.lt}" for bound in field.metadata if isinstance(bound, Lt)), high)
    text = field.description or ""
    return f"{text} [{low}x{high}]" if low or high else text
