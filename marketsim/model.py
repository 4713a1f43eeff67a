"""What every part of an experiment file has in common: how it refuses, how it may be written, its kinds of number."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"


class Model(BaseModel):
    """A part of an experiment file: unknown keys, NaN and inf are refused; nothing changes after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)
    PASSED_OVER: ClassVar[frozenset[str]] = frozenset()  # keys that layers above add to this part

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, tree: Any) -> Any:
        if not isinstance(tree, dict):
            return tree
        for key in tree:
            if key not in cls.model_fields and key not in cls.PASSED_OVER:
                raise PydanticCustomError("unknown_key", "unknown key", {"key": key, "allowed": list(cls.model_fields)})
        return {key: value for key, value in tree.items() if key in cls.model_fields}


def tagged(default: str | None = None):
    """Let a part be written by its kind alone: ``policy: ppo`` for ``policy: {kind: ppo}``."""

    def widen(value: Any) -> Any:
        if isinstance(value, str):
            return {"kind": value}
        if isinstance(value, dict) and "kind" not in value and default is not None:
            return {"kind": default, **value}
        return value

    return BeforeValidator(widen)


def as_tuple(value: Any) -> Any:
    """Lists become tuples, which nobody changes and which hash."""
    return tuple(value) if isinstance(value, list) else value


def ordered(pair: tuple[float, float]) -> tuple[float, float]:
    """A range, whose ends must not run backwards."""
    if not pair[0] <= pair[1]:
        raise ValueError(f"the range [{pair[0]:g}, {pair[1]:g}] runs backwards")
    return pair


Item = TypeVar("Item")
Listed = Annotated[tuple[Item, ...], BeforeValidator(as_tuple)]  # a YAML list, held as a tuple
Pair = Annotated[tuple[float, float], BeforeValidator(as_tuple)]
Positive = Annotated[float, Field(gt=0, le=1e15)]
NonNegative = Annotated[float, Field(ge=0, le=1e15)]
Real = Annotated[float, Field(ge=-1e15, le=1e15)]
Probability = Annotated[float, Field(ge=0, le=1)]
