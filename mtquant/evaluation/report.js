"use strict";
/* Draws the figures over time so that they can be read off and zoomed. Without it, and on paper, the pictures stay. */
(async () => {
  const given = document.getElementById("charts");
  const packed = document.getElementById("plotly");
  if (!given || !packed || typeof DecompressionStream === "undefined") return;
  const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
  const source = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(source).text();
  document.head.append(script);
  const Plotly = window.Plotly;
  const charts = JSON.parse(given.textContent);
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const touch = matchMedia("(pointer: coarse)").matches;
  const narrow = matchMedia("(max-width: 34rem)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const DAY = 86400000;

  const positions = (chart, x) => (chart.dates ? x.map((day) => Math.round(day * DAY)) : x);
  const several = (chart) => chart.traces.filter((trace) => trace.baseline).length > 1;
  const lines = (chart) => {
    const found = chart.traces.map((trace) => line(chart, trace));
    /* one entry in the legend for all of them; it hides and shows all */
    const together = { type: "scatter", mode: "lines", name: "baselines", x: [null], y: [null], hoverinfo: "skip",
      legendgroup: "baselines", line: { color: style("other"), width: 1 } };
    return several(chart) ? [...found, together] : found;
  };
  const line = (chart, trace) => ({
    type: "scatter", mode: "lines", name: trace.name,
    x: positions(chart, trace.x || chart.x), y: trace.y,
    stackgroup: chart.stacked ? "all" : undefined,
    line: { color: style(trace.colour), width: chart.stacked ? 0 : trace.baseline ? 1 : 1.8 },
    fillcolor: style(trace.colour),
    hovertemplate: "%{y:.3~f}",
    opacity: trace.baseline ? 0.75 : 1,
    legendgroup: trace.baseline ? "baselines" : trace.name,
    showlegend: !(trace.baseline && several(chart)),
  });
  const layout = (chart) => {
    const axis = { gridcolor: style("line"), zerolinecolor: style("muted"), linecolor: style("line"),
      zerolinewidth: 1, automargin: true, fixedrange: touch };
    return {
      font: { family: style("font"), size: 12, color: style("muted") },
      paper_bgcolor: "transparent", plot_bgcolor: "transparent",
      margin: { l: 48, r: 8, t: 8, b: 40 }, height: several(chart) ? 360 : 300,
      hovermode: narrow.matches ? "closest" : "x unified",
      hoverlabel: { bgcolor: style("panel"), bordercolor: style("line"), font: { size: 11, color: style("ink") } },
      legend: { orientation: "h", x: 0, tracegroupgap: 0, y: -0.2, yanchor: "top", font: { size: 11, color: style("ink") } },
      showlegend: true, dragmode: touch ? false : "zoom",
      xaxis: { ...axis, type: chart.dates ? "date" : "linear", title: { text: chart.x_label, standoff: 6, font: { size: 11 } },
        zeroline: false, hoverformat: chart.dates ? "%d %b %Y" : ".2f" },
      yaxis: { ...axis, type: chart.logarithmic ? "log" : "linear", title: { text: chart.y_label, standoff: 4, font: { size: 11 } },
        dtick: chart.logarithmic ? "D2" : undefined },
    };
  };
  const options = { responsive: true, displaylogo: false, displayModeBar: touch ? false : "hover",
    modeBarButtons: [["zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]] };
  const figures = [...document.querySelectorAll("figure[data-chart]")].filter((f) => charts[f.dataset.chart]);
  const draw = (figure) => {
    const chart = charts[figure.dataset.chart];
    let live = figure.querySelector(".live");
    if (!live) {
      live = document.createElement("div");
      live.className = "live";
      live.setAttribute("aria-hidden", "true");
      figure.append(live);
      figure.classList.add("drawn");
    }
    return Plotly.react(live, lines(chart), layout(chart), options);
  };
  const all = async () => { for (const figure of figures) await draw(figure); };
  await all();
  dark.addEventListener("change", all);
  narrow.addEventListener("change", all);
  document.documentElement.dataset.live = String(figures.length);
})();
