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
