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
  const write = name === "mps" || name === "mbps" ? si : time;
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

// The rounds of a row are one trace with gaps: a row is switched, named and brought out as a whole.

function drawSeries(group, state, size) {
  const cells = group.series[state.count] || {};
  const name = state.metric;
  const has = (row) => cells[row] && cells[row].some((round) => round[name].some((y) => y));
  const rows = shownRows(group).filter(has);
  if (!rows.length) return empty;
  const write = { mps: si, cpu: (us) => time(1e3 * us) }[name] || time;
  const log = state.scale === "log";
  const strung = (row, of) => cells[row].flatMap((round) => [...of(round), null]);
  const ys = (row) => strung(row, (round) => round[name].map((y) => (log ? y || null : y)));
  const all = rows.flatMap(ys).filter((y) => y !== null);
  const high = Math.max(...all);
  const last = Math.max(...rows.flatMap((row) => cells[row].map((round) => round.x.at(-1))));
  const yaxis = log ? logAxis(Math.min(...all), high, write) : linearAxis(high, write);
  const seconds = linearAxis(last, (s) => `${+s.toPrecision(3)} s`);
  const xaxis = { ...seconds, range: [0, last * 1.02], title: "since the window's beginning" };
  const words = (row) =>
    cells[row].flatMap((round, n) => [
      ...round.x.map((x, i) => {
        const figure = round[name][i] === null ? "" : write(round[name][i]);
        return `<b>${escaped(row)}</b> round ${n + 1}, at ${x} s: ${figure}`;
      }),
      "",
    ]);
  const traces = rows.map((row) => ({
    type: "scatter",
    mode: "lines",
    name: row,
    x: strung(row, (round) => round.x),
    y: ys(row),
    text: words(row),
    hovertemplate: "%{text}<extra></extra>",
    connectgaps: false,
    line: { ...lineStyle(row), width: 1.4 },
  }));
  const ends = rows.map((row) => {
    const longest = cells[row].reduce((a, b) => (b.x.at(-1) > a.x.at(-1) ? b : a));
    const i = longest[name].findLastIndex((y) => y);
    return { x: longest.x[Math.max(0, i)], y: longest[name][i] || high, text: row, colour: colour(row) };
  });
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
