"""Prefect flows over the units of `mtquant`; the only place that imports Prefect.

Importing this package sets Prefect's environment, because Prefect reads it when it is imported.
"""

from flows.embedded import configure

configure()
