// The frame of all charts.

function drawChart(chart) {
  if (!window.Plotly) return;
  const group = data.groups[chart.dataset.group];
  const plot = chart.querySelector(".plot");
  const narrow = chart.clientWidth < 560;
  const kind = chart.dataset.chart;
  const bars = kind === "cpu" || kind === "fairness";
  const rows = shownRows(group);
  const longest = Math.max(0, ...rows.map((row) => row.length));
  const margin = {
    l: bars ? 16 + 7.4 * longest : 58,
    r: !bars && !narrow ? 26 + 7.4 * (longest + 2) : 14,
    t: 12,
    b: 46,
  };
  const full = narrow ? 330 : Math.max(440, 15 * rows.length + margin.t + margin.b);
  const size = {
    width: Math.max(50, chart.clientWidth - margin.l - margin.r),
    height: full - margin.t - margin.b,
    labels: !narrow,
  };
  const state = {
    scale: chart.dataset.scale,
    count: chart.querySelector("select.count")?.value,
    metric: chart.querySelector("select.metric")?.value,
  };
  const draw = {
    mps: () => drawLines(group, "mps", state, size),
    size: () => drawLines(group.at[state.count], state.metric, state, size),
    lat: () => drawLines(group, state.metric, state, size),
    distribution: () => drawDistribution(group, state, size),
    cpu: () => drawCpu(group, state),
    series: () => drawSeries(group, state, size),
    fairness: () => drawFairness(group, state, size),
  }[kind]();
  const nothing = !draw.traces.length;
  chart.querySelector(".empty").hidden = !nothing;
  plot.hidden = nothing;
  showLegend(chart, nothing || bars || size.labels ? [] : draw.traces.map((trace) => trace.name));
  if (nothing) return;
  const axis = (a) => ({
    type: a.type,
    range: a.range,
    tickmode: "array",
    tickvals: a.tickvals,
    ticktext: a.ticktext,
    title: a.title ? { text: a.title, font: { size: 13 }, standoff: 8 } : undefined,
    fixedrange: true,
    zeroline: false,
    gridcolor: css("--rule"),
    linecolor: css("--rule"),
    color: css("--muted"),
    tickangle: 0,
    tickfont: { size: 12 },
  });
  const layout = {
    width: chart.clientWidth,
    height: draw.height || full,
    margin,
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, color: css("--ink") },
    showlegend: false,
    barmode: draw.stack ? "stack" : undefined,
    bargap: 0.32,
    dragmode: false,
    hovermode: "closest",
    hoverlabel: { bgcolor: css("--raised"), bordercolor: css("--rule"), font: { color: css("--ink"), size: 13 }, align: "left" },
    xaxis: { ...axis(draw.xaxis), showgrid: bars },
    yaxis: { ...axis(draw.yaxis), showgrid: !bars, tickfont: { size: 12, color: bars ? css("--ink") : css("--muted") } },
    annotations: draw.annotations,
    shapes: draw.shapes || [],
  };
  Plotly.react(plot, draw.traces, layout, { displayModeBar: false, responsive: false });
  if (!bars) emphasize(plot);
}

// Names under a chart that has no room for them beside its lines.

function showLegend(chart, rows) {
  const legend = chart.querySelector(".legend");
  legend.innerHTML = rows.map((row) => `<li>${swatch(row)}${escaped(row)}</li>`).join("");
  legend.hidden = !rows.length;
}

// The line under the pointer stands out while there are many.

function emphasize(plot) {
  if (plot.dataset.watched) return;
  plot.dataset.watched = "true";
  const fade = (kept) => {
    all(".scatterlayer .trace", plot).forEach((line, i) => {
      line.classList.toggle("faded", kept !== null && i !== kept && drawn.size > 3);
    });
  };
  plot.on("plotly_hover", (event) => fade(event.points[0].curveNumber));
  plot.on("plotly_unhover", () => fade(null));
}

function drawCharts() {
  all(".chart").forEach(drawChart);
}
