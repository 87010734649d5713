"""Prefect flows over the units of `mtquant`; the only place that imports Prefect.

Importing this package first sets Prefect's environment, because Prefect reads it when it is imported.
"""

import sys

from flows.embedded import configure

if "prefect" not in sys.modules:
    configure()
