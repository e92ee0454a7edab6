// Makes the columns of tables sortable: by a click, by the keyboard, or by an address such as #sort=median,descending.
"use strict";
(() => {
  // resnet101 after resnet50
  const words = new Intl.Collator("en", { numeric: true });
  const tables = [...document.querySelectorAll("table.sorts")].map(sortable);

  function compare(left, right, numeric) {
    return numeric ? Number(left) - Number(right) : words.compare(left, right);
  }

  function sortable(table) {
    const status = table.closest(".scroll").nextElementSibling;
    const heads = [...table.tHead.rows[0].cells];

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

    // With a single row there is nothing to sort.
    if (table.tBodies.length > 1) {
      table.classList.add("sortable");
      heads.forEach((head, index) => {
        const button = document.createElement("button");
        button.type = "button";
        button.append(...head.childNodes);
        head.append(button);
        button.addEventListener("click", () => {
          sortBy(index, head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending");
        });
      });
    }
    return { heads, sortBy };
  }

  function sortByAddress() {
    const match = /^#sort=([^,]+)(?:,(ascending|descending))?$/.exec(location.hash);
    if (!match) return;
    for (const { heads, sortBy } of tables) {
      const index = heads.findIndex((head) => head.dataset.key === match[1]);
      if (index >= 0) {
        sortBy(index, match[2] ?? "ascending");
        return;
      }
    }
  }

  window.addEventListener("hashchange", sortByAddress);
  sortByAddress();
})();
