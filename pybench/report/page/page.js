"use strict";
// Sorts tables, shows and hides rows, draws the charts. Reads #data, asks the network for nothing.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const all = (selector, base = document) => [...base.querySelectorAll(selector)];

  // Theme: the system's wish until the button is used; the choice is kept where the browser lets us.

  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : systemDark.matches);
  const themeButton = document.getElementById("theme");

  function storage(action) {
    try {
      return action(window.localStorage);
    } catch {
      return null; // a page opened from a file may have no storage
    }
  }

  function showTheme() {
    themeButton.textContent = isDark() ? "Light" : "Dark";
    drawSwatches();
    drawCharts();
  }

  themeButton.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    storage((kept) => kept.setItem("pybench-theme", root.dataset.theme));
    showTheme();
  });
  systemDark.addEventListener("change", showTheme);

  const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const colour = (row) => (isDark() ? data.rows[row].dark : data.rows[row].light);

  function paler(row) {
    const parts = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
    const ground = parts(css("--ground"));
    return `rgb(${parts(colour(row)).map((part, i) => Math.round(0.42 * part + 0.58 * ground[i]))})`;
  }

  const MARKS = {
    circle: "M16 6a3 3 0 1 1-6 0a3 3 0 1 1 6 0z",
    square: "M10 3h6v6h-6z",
    "triangle-up": "M13 2l4 7h-8z",
    "triangle-down": "M13 10l4-7h-8z",
    diamond: "M13 2l4 4l-4 4l-4-4z",
    cross: "M11.5 2h3v2.5h2.5v3h-2.5v2.5h-3v-2.5h-2.5v-3h2.5z",
    x: "M10.5 2l2.5 2.5l2.5-2.5l1.5 1.5l-2.5 2.5l2.5 2.5l-1.5 1.5l-2.5-2.5l-2.5 2.5l-1.5-1.5l2.5-2.5l-2.5-2.5z",
  };

  function swatch(row) {
    const { dash, marker } = data.rows[row];
    const stroke = dash === "solid" ? "" : ` stroke-dasharray="${dash.replaceAll("px", "")}"`;
    return (
      `<svg width="26" height="12" aria-hidden="true"><line x1="1" y1="6" x2="25" y2="6"` +
      ` stroke="${colour(row)}" stroke-width="2.2"${stroke}/>` +
      `<path d="${MARKS[marker]}" fill="${colour(row)}"/></svg>`
    );
  }

  function drawSwatches() {
    for (const place of all("[data-swatch]")) place.innerHTML = swatch(place.dataset.swatch);
  }

  const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");

  // Which rows: the filter (families, search) rules tables and charts; the charts draw those of its
  // rows that are picked. While nobody picked, these are the fastest of each family.

  const names = Object.keys(data.rows);
  const off = new Set(); // families
  let words = [];
  let picked = data.many ? null : new Set(names);
  let drawn = new Set();
  const follow = document.getElementById("follow");

  function passes(row) {
    const lower = row.toLowerCase();
    return !off.has(data.rows[row].family) && (!words.length || words.some((word) => lower.includes(word)));
  }

  // All rows when they are few, else equally many of each family; and how many that is.

  function fastest(rows) {
    const measured = data.fastest.filter((name) => rows.includes(name));
    if (measured.length <= data.most) return { rows, each: 0 };
    const families = new Map();
    for (const row of measured) {
      const family = data.rows[row].family;
      families.set(family, [...(families.get(family) || []), row]);
    }
    const take = (each) => [...families.values()].flatMap((own) => own.slice(0, each));
    let each = 1;
    while (take(each + 1).length <= data.most) each += 1;
    return { rows: take(each), each };
  }

  function showRows() {
    const shown = names.filter(passes);
    const choice = picked ? { rows: shown.filter((row) => picked.has(row)), each: 0 } : fastest(shown);
    drawn = new Set(choice.rows);
    const listed = data.many && !follow.checked ? new Set(shown) : drawn;
    for (const button of all("[data-toggle]")) {
      button.setAttribute("aria-pressed", String(drawn.has(button.dataset.toggle)));
      button.hidden = !passes(button.dataset.toggle);
    }
    for (const group of all(".picks .family")) group.hidden = !group.querySelector("button:not([hidden])");
    for (const line of all("[data-row]")) line.hidden = !listed.has(line.dataset.row);
    if (data.many) showFilter(listed.size, choice);
    drawCharts();
  }

  function showFilter(listed, choice) {
    const count = Object.values(data.rows).reduce((found, row) => found.add(row.family), new Set()).size;
    const press = (button, on) => button.setAttribute("aria-pressed", String(on));
    for (const button of all("[data-family]")) press(button, !off.has(button.dataset.family));
    for (const button of all("[data-only]")) {
      press(button, off.size === count - 1 && !off.has(button.dataset.only));
    }
    for (const button of all("[data-every-family]")) press(button, !off.size);
    for (const button of all("[data-show=best]")) press(button, !picked);
    const of = listed === names.length ? `all ${listed}` : `${listed} of ${names.length}`;
    const which = choice.each > 1 ? `fastest, up to ${choice.each}` : "fastest";
    let charts = `draw ${choice.rows.length}`;
    if (choice.each) charts = `draw ${choice.rows.length}, the ${which} of each family`;
    else if (listed && choice.rows.length === listed) charts = "draw them all";
    document.getElementById("status").textContent = `Tables list ${of} rows; charts ${charts}.`;
  }

  function pick(rows) {
    picked = rows && new Set(rows);
    showRows();
  }

  for (const button of all("[data-toggle]")) {
    button.addEventListener("click", () => {
      const row = button.dataset.toggle;
      pick(drawn.has(row) ? [...(picked || drawn)].filter((other) => other !== row) : [...(picked || drawn), row]);
    });
  }
  const SHOW = {
    best: () => pick(null),
    all: () => pick(names),
    none: () => pick([]),
    "no-c": () => pick(names.filter((row) => data.rows[row].family !== "C")),
  };
  for (const button of all("[data-show]")) {
    button.addEventListener("click", SHOW[button.dataset.show]);
  }

  for (const button of all("[data-family]")) {
    button.addEventListener("click", () => {
      const { family } = button.dataset;
      off.has(family) ? off.delete(family) : off.add(family);
      showRows();
    });
  }
  for (const button of all("[data-only]")) {
    button.addEventListener("click", () => {
      const again = button.getAttribute("aria-pressed") === "true";
      off.clear();
      if (!again) {
        for (const row of names) off.add(data.rows[row].family);
        off.delete(button.dataset.only);
      }
      pick(null); // whoever wants one family wants to see it
    });
  }
  for (const button of all("[data-every-family]")) {
    button.addEventListener("click", () => {
      off.clear();
      showRows();
    });
  }
  const search = document.getElementById("search");
  search?.addEventListener("input", () => {
    words = search.value.toLowerCase().split(/[\s,]+/).filter(Boolean);
    showRows();
  });
  follow?.addEventListener("change", showRows);

  // Tables: a head sorts by its column; figures start with the largest, missing ones stay last.

  function sortTable(head) {
    const table = head.closest("table");
    const column = [...head.parentNode.children].indexOf(head);
    const cycle = column === 0 ? ["none", "ascending", "descending"] : ["descending", "ascending"];
    const order = cycle[(cycle.indexOf(head.getAttribute("aria-sort")) + 1) % cycle.length];
    for (const other of all("thead th", table)) other.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", order);
    const sign = order === "ascending" ? 1 : -1;
    const body = table.tBodies[0];
    const lines = [...body.rows];
    const value = (line) => line.cells[column].dataset.sort;
    lines.sort((a, b) => {
      if (order === "none") return a.dataset.place - b.dataset.place;
      if (column === 0) return sign * a.dataset.row.localeCompare(b.dataset.row);
      if (value(a) === "" || value(b) === "") return (value(a) === "") - (value(b) === "");
      return sign * (Number(value(a)) - Number(value(b))) || a.dataset.place - b.dataset.place;
    });
    body.append(...lines);
  }

  for (const button of all("button.sort")) {
    button.addEventListener("click", () => sortTable(button.closest("th")));
  }

  // Numbers as text, as the tables write them.

  function si(value) {
    if (value === 0) return "0";
    if (value >= 1e6) return `${+(value / 1e6).toPrecision(3)}M`;
    if (value >= 1e3) return `${+(value / 1e3).toPrecision(3)}k`;
    return String(+value.toPrecision(3));
  }

  function time(ns) {
    if (ns === 0) return "0";
    for (const [size, unit] of [[1e9, "s"], [1e6, "ms"], [1e3, "us"]]) {
      if (ns >= size * 0.9995) return `${+(ns / size).toPrecision(3)} ${unit}`;
    }
    return `${+ns.toPrecision(3)} ns`;
  }

  // Axes with ranges and ticks of our own, so that labels can be placed beside the lines.

  function linearAxis(top, write, most = 6) {
    const rough = (top || 1) / most;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].find((s) => s * power >= rough) * power;
    const ticks = [];
    for (let i = 0; i * step <= top * 1.001; i += 1) ticks.push(i * step);
    return { type: "linear", range: [0, (top || 1) * 1.05], tickvals: ticks, ticktext: ticks.map(write) };
  }

  function logAxis(low, high, write) {
    const range = [Math.log10(low) - 0.06, Math.log10(high) + 0.06];
    const subs = range[1] - range[0] < 2.6 ? [1, 2, 5] : [1];
    const ticks = [];
    for (let p = Math.floor(range[0]); p <= range[1]; p += 1) {
      for (const sub of subs) {
        const place = Math.log10(sub) + p;
        if (place >= range[0] && place <= range[1]) ticks.push(sub * 10 ** p);
      }
    }
    return { type: "log", range, tickvals: ticks, ticktext: ticks.map(write) };
  }

  const place = (axis, value) =>
    ((axis.type === "log" ? Math.log10(value) : value) - axis.range[0]) / (axis.range[1] - axis.range[0]);

  // Names beside the ends of lines, pushed apart until none covers another.

  function endLabels(ends, xaxis, yaxis, size) {
    const gap = 15;
    if (ends.length * gap > size.height + gap) return [];
    const spots = ends
      .map((end) => ({ ...end, px: place(xaxis, end.x) * size.width, want: place(yaxis, end.y) * size.height }))
      .sort((a, b) => a.want - b.want);
    const blocks = [];
    const clamp = (start, n) => Math.max(0, Math.min(start, size.height - (n - 1) * gap));
    for (const spot of spots) {
      blocks.push({ wants: [spot.want], start: clamp(spot.want, 1) });
      while (blocks.length > 1) {
        const [low, high] = blocks.slice(-2);
        if (low.start + low.wants.length * gap <= high.start) break;
        const wants = [...low.wants, ...high.wants.map((want) => want - low.wants.length * gap)];
        const mean = wants.reduce((sum, want) => sum + want, 0) / wants.length;
        blocks.splice(-2, 2, { wants, start: clamp(mean, wants.length) });
      }
    }
    const places = blocks.flatMap((block) => block.wants.map((_, i) => block.start + i * gap));
    return spots.map((spot, i) => ({
      x: xaxis.type === "log" ? Math.log10(spot.x) : spot.x,
      y: yaxis.type === "log" ? Math.log10(spot.y) : spot.y,
      ax: size.width - spot.px + 16,
      ay: spot.want - places[i],
      text: spot.text,
      xanchor: "left",
      yanchor: "middle",
      showarrow: true,
      arrowhead: 0,
      arrowwidth: 1,
      arrowcolor: spot.colour,
      standoff: 5,
      opacity: 0.95,
      font: { size: 12, color: spot.colour },
    }));
  }

  // One function per chart: what to draw of a group, for the rows that are on.

  const shownRows = (group) => group.rows.filter((row) => drawn.has(row));
  const empty = { traces: [] };

  function lineStyle(row) {
    return { color: colour(row), width: 2, dash: data.rows[row].dash };
  }

  const stamps = (line, i) => (line.c ? line.c[i] : []);

  function pointWords(group, row, line, i) {
    const where = group.where[group.counts.indexOf(line.x[i])];
    const codes = stamps(line, i);
    const stamped = codes.length ? `<br>stamped: ${escaped(codes.join(", "))}` : "";
    return `<b>${escaped(row)}</b> ${where}: ${escaped(line.t[i])}<br>${line.i[i]}${stamped}`;
  }

  function drawLines(group, name, state, size) {
    const lines = group.lines[name] || {};
    const rows = shownRows(group).filter((row) => lines[row]);
    if (!rows.length) return empty;
    const write = name === "mps" ? si : time;
    const linear = state.scale === "linear";
    const tops = ({ y, e }) => y.map((value, i) => value + (linear && e ? e[i] : 0));
    const high = Math.max(...rows.flatMap((row) => tops(lines[row])));
    const low = Math.min(...rows.flatMap((row) => lines[row].y));
    const yaxis = state.scale === "log" ? logAxis(low, high, write) : linearAxis(high, write);
    const counts = [...new Set(rows.flatMap((row) => lines[row].x))].sort((a, b) => a - b);
    const xaxis = countsAxis(group, counts);
    const traces = rows.map((row) => ({
      type: "scatter",
      mode: "lines+markers",
      name: row,
      x: lines[row].x,
      y: lines[row].y,
      text: lines[row].x.map((_, i) => pointWords(group, row, lines[row], i)),
      hovertemplate: "%{text}<extra></extra>",
      line: lineStyle(row),
      marker: {
        size: 8,
        color: lines[row].x.map((_, i) => (stamps(lines[row], i).length ? css("--ground") : colour(row))),
        line: { width: 1.6, color: colour(row) },
        symbol: data.rows[row].marker,
      },
      error_y: { type: "data", array: lines[row].e || [], thickness: 1, width: 3, visible: Boolean(lines[row].e) },
    }));
    const ends = rows.map((row) => ({
      x: lines[row].x.at(-1),
      y: lines[row].y.at(-1),
      text: row,
      colour: colour(row),
    }));
    const shapes = name === "mps" ? [] : rows.flatMap((row) => knee(group, row, lines[row], yaxis));
    return { traces, xaxis, yaxis, shapes, annotations: size.labels ? endLabels(ends, xaxis, yaxis, size) : [] };
  }

  // A thin line from the point at the highest rate that the row kept down to the axis.

  function knee(group, row, { x, y }, yaxis) {
    const at = x.indexOf(group.knees[row]);
    if (at < 0 || at === x.length - 1) return [];
    const bottom = yaxis.type === "log" ? 10 ** yaxis.range[0] : yaxis.range[0];
    return [{
      type: "line", layer: "below", opacity: 0.7,
      x0: x[at], x1: x[at], y0: bottom, y1: y[at],
      line: { color: colour(row), width: 1 },
    }];
  }

  function countsAxis(group, counts) {
    const label = (count) => group.labels[group.counts.indexOf(count)];
    const edges = [Math.log10(counts[0]) - 0.07, Math.log10(counts.at(-1)) + 0.07];
    const kept = [];
    for (const count of [...counts].reverse()) {
      if (!kept.length || Math.log10(kept.at(-1) / count) / (edges[1] - edges[0]) > 0.06) kept.push(count);
    }
    return { type: "log", range: edges, tickvals: kept, ticktext: kept.map(label), title: group.axis };
  }

  function drawDistribution(group, state, size) {
    const cells = group.distribution[state.count] || {};
    const rows = shownRows(group).filter((row) => cells[row]);
    if (!rows.length) return empty;
    const ys = rows.flatMap((row) => cells[row].y);
    const last = Math.max(...rows.map((row) => cells[row].n));
    const steps = ({ n, y }) => y.map((_, i) => n ** (i / (y.length - 1)));
    const words = (row, x, y) => `${escaped(row)}: ${+(100 - 100 / x).toPrecision(6)}% within ${time(y)}`;
    const decade = size.width / Math.log10(last); // pixels: labels need some 60 of them
    const ticks = decade > 110 ? [1, 2] : [1];
    for (let tick = decade > 60 ? 10 : 100; tick <= last; tick *= decade > 60 ? 10 : 100) ticks.push(tick);
    const xaxis = {
      type: "log",
      range: [0, Math.log10(last) + 0.02],
      tickvals: ticks,
      ticktext: ticks.map((tick) => `${+(100 - 100 / tick).toPrecision(12)}%`),
      title: "percentile",
    };
    const high = Math.max(...ys);
    const yaxis = state.scale === "log" ? logAxis(Math.min(...ys), high, time) : linearAxis(high, time);
    const traces = rows.map((row) => ({
      type: "scatter",
      mode: "lines",
      name: row,
      x: steps(cells[row]),
      y: cells[row].y,
      text: steps(cells[row]).map((x, i) => words(row, x, cells[row].y[i])),
      hovertemplate: "%{text}<extra></extra>",
      line: lineStyle(row),
    }));
    const ends = rows.map((row) => ({
      x: cells[row].n,
      y: cells[row].y.at(-1),
      text: row + (cells[row].s ? " !" : ""),
      colour: colour(row),
    }));
    return { traces, xaxis, yaxis, annotations: size.labels ? endLabels(ends, xaxis, yaxis, size) : [] };
  }

  const rowsAxis = (rows) => ({
    type: "linear",
    range: [rows.length - 0.4, -0.6],
    tickvals: rows.map((_, i) => i),
    ticktext: rows,
    grid: false,
  });

  function drawCpu(group, state) {
    const cells = group.cpu[state.count] || {};
    const rows = shownRows(group).filter((row) => cells[row]);
    if (!rows.length) return empty;
    const bars = (part, word, tint) => ({
      type: "bar",
      orientation: "h",
      x: rows.map((row) => cells[row][part]),
      y: rows.map((_, i) => i),
      marker: { color: rows.map(tint) },
      hovertemplate: rows.map(
        (row) => `<b>${escaped(row)}</b>: ${cells[row].u.toFixed(1)} us user, ${cells[row].s.toFixed(1)} us system<extra></extra>`,
      ),
      name: word,
    });
    const totals = rows.map((row) => cells[row].u + cells[row].s);
    const top = Math.max(...totals);
    const annotations = rows.map((row, i) => ({
      x: totals[i],
      y: i,
      text: `${totals[i] < 9.95 ? totals[i].toFixed(1) : totals[i].toFixed(0)}${cells[row].stamped ? " !" : ""}`,
      showarrow: false,
      xanchor: "left",
      xshift: 4,
      font: { size: 12, color: css("--muted") },
    }));
    const xaxis = { ...linearAxis(top, si), title: "us per message", range: [0, top * 1.12] };
    const height = 90 + 26 * rows.length;
    return { traces: [bars("u", "user", colour), bars("s", "system", paler)], xaxis, yaxis: rowsAxis(rows), annotations, height, stack: true };
  }

  function drawFairness(group, state, size) {
    const cells = group.fairness[state.count] || {};
    const rows = shownRows(group).filter((row) => cells[row]);
    if (!rows.length) return empty;
    const traces = rows.flatMap((row, i) => {
      const [low, p5, middle, p95, high] = cells[row].span;
      const words = cells[row].jain === null ? "" : `<br>Jain's index ${cells[row].jain}`;
      const hover =
        `<b>${escaped(row)}</b>, times its median connection<br>${low} to ${high}, 5 to 95%: ${p5} to ${p95}` +
        `${words}${cells[row].starved ? `<br>${cells[row].starved} starved` : ""}<extra></extra>`;
      const span = (from, to, width, opacity) => ({
        type: "scatter",
        mode: "lines",
        x: [from, to],
        y: [i, i],
        opacity,
        line: { color: colour(row), width },
        hovertemplate: hover,
      });
      const dot = { type: "scatter", mode: "markers", x: [middle], y: [i], hovertemplate: hover };
      const inside = cells[row].stamped ? css("--ground") : colour(row);
      const marker = { size: 9, color: inside, line: { width: 1.6, color: colour(row) } };
      return [span(low, high, 2, 1), span(p5, p95, 9, 0.5), { ...dot, marker }];
    });
    const reach = Math.max(...rows.map((row) => cells[row].span[4]));
    const annotations = rows.map((row, i) => {
      const { jain, starved } = cells[row];
      const poor = starved > 0 || (jain !== null && jain < 0.9);
      return {
        x: 1, xref: "paper", y: i, xanchor: "right", showarrow: false,
        text: (jain === null ? "" : jain.toFixed(3)) + (starved ? `, ${starved} starved` : ""),
        font: { size: 12, color: poor ? css("--warn-ink") : css("--muted") },
      };
    });
    const words = Math.max(...annotations.map((note) => note.text.length)) * 7 + 12; // pixels
    const room = Math.max(0.35, 1 - words / size.width); // the notes stand behind the spans
    const top = Math.max(reach / room, 1.6); // the median not at the edge
    const axis = linearAxis(top, si, size.width < 400 ? 3 : 5);
    const xaxis = { ...axis, range: [-0.03 * top, top], title: "times the median" };
    return { traces, xaxis, yaxis: rowsAxis(rows), annotations, height: 90 + 26 * rows.length };
  }

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
      lat: () => drawLines(group, state.metric, state, size),
      distribution: () => drawDistribution(group, state, size),
      cpu: () => drawCpu(group, state),
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

  // The chart library lies deflated in the page, which is less than half as large for it.

  async function unpackLibrary() {
    const packed = atob(document.getElementById("library").textContent);
    const bytes = Uint8Array.from(packed, (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script); // runs before append returns
  }

  async function startCharts() {
    root.dataset.charts = "waiting";
    try {
      await unpackLibrary();
    } catch {
      for (const note of all(".chart .unable")) note.hidden = false;
    }
    delete root.dataset.charts;
    drawCharts();
    root.dataset.ready = "true";
  }

  for (const chart of all(".chart")) {
    for (const button of all("[data-set-scale]", chart)) {
      button.addEventListener("click", () => {
        chart.dataset.scale = button.dataset.setScale;
        for (const other of all("[data-set-scale]", chart)) {
          other.setAttribute("aria-pressed", String(other === button));
        }
        drawChart(chart);
      });
    }
    for (const select of all("select", chart)) select.addEventListener("change", () => drawChart(chart));
  }

  let width = window.innerWidth;
  let waiting = 0;
  window.addEventListener("resize", () => {
    if (window.innerWidth === width) return; // a phone's address bar came or went
    width = window.innerWidth;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(drawCharts);
  });

  const kept = storage((place) => place.getItem("pybench-theme"));
  if (kept === "dark" || kept === "light") root.dataset.theme = kept;
  showTheme();
  showRows();
  startCharts();
})();
