"""The base of every Spec: frozen, strict, closed."""

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """Settings that cannot change after they were read and that refuse what they do not know."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
        validate_default=True,
    )
