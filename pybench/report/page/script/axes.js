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
