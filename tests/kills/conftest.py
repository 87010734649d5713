"""An MLflow database that was initialised once."""

from tests.tracking.conftest import empty_database

__all__ = ["empty_database"]
