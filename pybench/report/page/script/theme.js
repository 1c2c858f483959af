// The page's own parts stand in one function, in this order: theme, rows, tables, axes, charts, draw,
// start. They read #data and ask the network for nothing.

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
