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
