// Makes the columns of the results sortable: by a click, by the keyboard, or by an address such as #sort=median,descending.
"use strict";
(() => {
  const table = document.getElementById("results-table");
  if (!table) return;
  const status = document.getElementById("sorted");
  const heads = [...table.tHead.rows[0].cells];
  // resnet101 after resnet50
  const words = new Intl.Collator("en", { numeric: true });

  function compare(left, right, numeric) {
    return numeric ? Number(left) - Number(right) : words.compare(left, right);
  }

  function sortBy(index, direction) {
    const numeric = heads[index].dataset.kind === "number";
    const sign = direction === "descending" ? -1 : 1;
    const value = (body) => body.rows[0].cells[index].dataset.sort;
    const bodies = [...table.tBodies].sort((a, b) => {
      const [left, right] = [value(a), value(b)];
      // Missing values are last in either direction.
      if (left === undefined || right === undefined) return (left === undefined) - (right === undefined);
      return sign * compare(left, right, numeric);
    });
    table.append(...bodies);
    heads.forEach((head) => head.removeAttribute("aria-sort"));
    heads[index].setAttribute("aria-sort", direction);
    status.textContent = `Sorted by ${heads[index].textContent}, ${direction}.`;
  }

  function sortByAddress() {
    const match = /^#sort=([^,]+)(?:,(ascending|descending))?$/.exec(location.hash);
    const index = match ? heads.findIndex((head) => head.dataset.key === match[1]) : -1;
    if (index >= 0) sortBy(index, match[2] ?? "ascending");
  }

  heads.forEach((head, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      sortBy(index, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
    });
  });
  window.addEventListener("hashchange", sortByAddress);
  sortByAddress();
})();
