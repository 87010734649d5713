"""Every error a person can meet, with the exit code the command line ends with.

A message says what was found, where, what is allowed and what to do.
"""


class MTQuantError(Exception):
    """Base of all errors raised on purpose; anything else is a defect (exit code 1)."""

    exit_code = 1


class UsageError(MTQuantError):
    """A command was called with arguments that do not fit together."""

    exit_code = 2


class ConfigError(MTQuantError):
    """A configuration file or override is invalid."""

    exit_code = 3


class DataError(MTQuantError):
    """Market data are missing, broken or insufficient."""

    exit_code = 4


class CheckpointError(MTQuantError):
    """No valid checkpoint is left and restarting from zero was not allowed."""

    exit_code = 5


class LockedError(MTQuantError):
    """Another process holds the unit or the run."""

    exit_code = 6


class TrainingError(MTQuantError):
    """At least one unit failed; finished units are kept."""

    exit_code = 7


class GateError(MTQuantError):
    """A quality gate was not met."""

    exit_code = 8


class StoreError(MTQuantError):
    """The store cannot be read or written: disk full, no permission, torn content."""

    exit_code = 9


class Preempted(MTQuantError):
    """Training was asked to stop; a checkpoint was written and `mtquant resume` continues exactly."""

    exit_code = 75
