// On paper nothing can be unfolded.
(() => {
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")].filter((one) => !one.closest(".picture"));
    for (const one of folded) one.open = true;
  });
  addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));
})();

// What is wider than the screen scrolls by itself, so the keyboard has to get there, by a name that tells the tables of
// a section apart. Widths change with the window, with what is unfolded, and with the rows that the filter leaves.
(() => {
  const name = (box) => {
    const folded = box.closest("details")?.querySelector("summary");
    const title = box.querySelector("caption") || box.closest("section").querySelector("h2");
    return [folded, title].filter(Boolean).map((one) => one.textContent.trim()).join(": ");
  };
  const fit = (box) => {
    if (box.scrollWidth <= box.clientWidth && box.scrollHeight <= box.clientHeight) {
      for (const attribute of ["tabindex", "role", "aria-label"]) box.removeAttribute(attribute);
      return;
    }
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", name(box));
  };
  const sizes = new ResizeObserver((entries) => {
    for (const box of new Set(entries.map(({ target }) => target.closest(".table")))) fit(box);
  });
  for (const one of document.querySelectorAll(".table, .table > table")) sizes.observe(one);
})();
