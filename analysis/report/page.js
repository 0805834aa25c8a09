// On paper nothing can be unfolded.
(() => {
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")].filter((one) => !one.closest(".picture"));
    for (const one of folded) one.open = true;
  });
  addEventListener("afterprint", () => folded.forEach((one) => { one.open = false; }));
})();

// What is wider than the screen scrolls by itself, so the keyboard has to get there.
(() => {
  for (const box of document.querySelectorAll(".table")) {
    if (box.scrollWidth <= box.clientWidth && box.scrollHeight <= box.clientHeight) continue;
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", box.closest("section").querySelector("h2").textContent);
  }
})();
