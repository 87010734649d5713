"""Figures that can be read off and zoomed: plotly.js inlined into the page, so that it works offline and in one file.

`plotly/` holds the basic bundle (lines, bars) as npm has it, the same version of plotly.js as the Python package
plotly 7.1.0; `SHA256` is what a copy has to have. The page holds it compressed and with its licence.
"""

import gzip
import json
from base64 import b64encode
from collections.abc import Mapping
from importlib import resources

from mtquant.evaluation.charts import Chart

BUNDLE = "plotly/plotly-basic.min.js"
VERSION = "4.1.1"
SOURCE = f"https://registry.npmjs.org/plotly.js-basic-dist-min/-/plotly.js-basic-dist-min-{VERSION}.tgz"
SHA256 = "99784e3abfb07b142a15e521a439e6d9addceadb3f79553fd24c72774f0649ba"


def scripts(charts: Mapping[str, Chart]) -> str:
    """Return the scripts that draw `charts` over their pictures; nothing without charts."""
    if not charts:
        return ""
    values = {name: chart.values() for name, chart in charts.items()}
    # a name that ends the script would be read as HTML
    given = json.dumps(values, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    licence = read("plotly/LICENSE").decode()
    packed = gzip.compress(f"/*\n{licence}*/\n".encode() + read(BUNDLE), mtime=0)
    return (
        f'<script type="application/json" id="charts">{given}</script>'
        f'<script type="text/plain" id="plotly">{b64encode(packed).decode()}</script>'
        f"<script>{read('report.js').decode()}</script>"
    )


def read(name: str) -> bytes:
    """Return a file that is shipped beside this module."""
    return resources.files("mtquant.evaluation").joinpath(name).read_bytes()
