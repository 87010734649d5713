"""How a Spec says that its values do not fit together."""

from pydantic_core import PydanticCustomError

INCONSISTENT = "inconsistent"


def inconsistent(text: str, *fields: str) -> PydanticCustomError:
    """Return the error to raise in a validator; `fields` are the keys, relative to the Spec, that it is about."""
    return PydanticCustomError(INCONSISTENT, "{text}", {"text": text, "fields": fields})
