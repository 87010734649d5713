"""What libraries raise when numbers run away, as one sentence that says what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

from mtquant.errors import TrainingError

_REFUSED = "to satisfy the constraint"
"""How `torch.distributions` begins its complaint about a mean or deviation that is no number."""


@contextmanager
def divergence_named(setting: str) -> Iterator[None]:
    """Raise `TrainingError` where an action or a policy's distribution stops being finite; `setting` is the cure."""
    try:
        yield
    except FloatingPointError as error:
        raise TrainingError(_message(str(error), setting)) from error
    except ValueError as error:
        if _REFUSED not in str(error):
            raise
        raise TrainingError(_message("A policy's mean or deviation is not finite.", setting)) from error


def _message(found: str, setting: str) -> str:
    return f"Training diverged: {found} Lower `{setting}`; the last checkpoint is kept."
