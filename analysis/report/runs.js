// The table of runs: sorted by a click on a title, filtered by words and conditions.
(() => {
  const table = document.getElementById("all-runs");
  if (!table) return;
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const titles = heads.map((head) => head.textContent.trim());
  const rows = [...body.rows].map((row, place) => {
    const texts = [...row.cells].map((cell) => cell.textContent.trim());
    return { row, place, texts, all: texts.join("\n").toLowerCase() };
  });
  const collator = new Intl.Collator("en", { numeric: true });

  const compare = (a, b, column, number, sign) => {
    const [x, y] = [a.texts[column], b.texts[column]];
    if (x === "" || y === "") return (x === "") - (y === "") || a.place - b.place; // what has no value comes last
    return sign * (number ? Number(x) - Number(y) : collator.compare(x, y)) || a.place - b.place;
  };

  const sort = (column) => {
    const next = { ascending: "descending", descending: "none" }[heads[column].ariaSort] || "ascending";
    for (const head of heads) head.removeAttribute("aria-sort");
    let ordered = rows;
    if (next !== "none") {
      heads[column].setAttribute("aria-sort", next);
      const number = heads[column].classList.contains("number");
      const sign = next === "ascending" ? 1 : -1;
      ordered = [...rows].sort((a, b) => compare(a, b, column, number, sign));
    }
    body.append(...ordered.map(({ row }) => row));
  };
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sort(column)));

  const TESTS = {
    "=": (x, y) => x === y, ">": (x, y) => x > y, "<": (x, y) => x < y, ">=": (x, y) => x >= y, "<=": (x, y) => x <= y,
  };
  const condition = (word) => {
    const [, name, sign, wanted] = /^(.+?)(>=|<=|=|>|<)(.+)$/.exec(word) || [];
    const column = titles.indexOf(name);
    if (column < 0) return ({ all }) => all.includes(word.toLowerCase());
    // As in the tables: text is compared as text, so that 007 is not 7, and a number as a number.
    const number = heads[column].classList.contains("number");
    return ({ texts }) => {
      const text = texts[column];
      if (text === "") return false;
      return number ? TESTS[sign](Number(text), Number(wanted)) : sign === "=" && text === wanted;
    };
  };

  const input = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const filter = () => {
    const conditions = input.value.trim().split(/\s+/).filter(Boolean).map(condition);
    let number = 0;
    for (const one of rows) {
      const fits = conditions.every((test) => test(one));
      one.row.hidden = !fits;
      number += fits;
    }
    const all = `${rows.length} run${rows.length === 1 ? "" : "s"}`;
    shown.textContent = conditions.length ? `${number} of ${all}` : all;
  };
  input.addEventListener("input", filter);
  filter(); // a browser may have kept what was typed before a reload
})();
