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
