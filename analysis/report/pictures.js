// Pictures: drawn when they come into view, in the colours of the page, one panel below the other where it is narrow.
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const PAPER = { text: "#1f2328", grid: "#e3e6ea", line: "#8c959f", page: "#ffffff" };
  const NIGHT = { text: "#e8eaed", grid: "#333a42", line: "#7d8590", page: "#1e2227" };
  // Colours that stand out from a white page, and what stands out as much from a dark one.
  const AT_NIGHT = {
    "#000000": "#f0f3f6", "#404040": "#c8ccd1", "#595959": "#a9b1ba", "#BFBFBF": "#6b7580", "#0072B2": "#6f8ff0",
    white: "#15181c", // around what lies on a surface
  };
  // The colours of values: the bright end of viridis, as the dark one is lost on a dark page.
  const SCALE_AT_NIGHT = [
    "#2D718E", "#25838E", "#1F978B", "#24AA83", "#3DBC74", "#65CB5E", "#95D840", "#CAE11F", "#FDE725",
  ].map((colour, i, { length }) => [i / (length - 1), colour]);
  const NARROW = 480;
  const ACROSS = 3; // panels
  const PAPER_WIDTH = 680;
  const PAPER_HEIGHT = 350; // two pictures a page
  const plots = [...document.querySelectorAll(".plot")];
  const drawn = new Set();

  const recolour = (value) => AT_NIGHT[value] || String(value).replace("rgba(0,0,0,", "rgba(240,243,246,");
  const atNight = (key, value) => {
    if (key !== "color" && key !== "fillcolor") return value;
    if (Array.isArray(value)) return value.map((one) => (typeof one === "string" ? recolour(one) : one));
    return typeof value === "string" ? recolour(value) : value;
  };

  // A line's place on the scale lies in its meta; points and areas look it up themselves.
  const shade = (place) => {
    const under = Math.min(Math.floor(place * (SCALE_AT_NIGHT.length - 1)), SCALE_AT_NIGHT.length - 2);
    const channels = ([, colour]) => [1, 3, 5].map((start) => parseInt(colour.slice(start, start + 2), 16));
    const [from, to] = [channels(SCALE_AT_NIGHT[under]), channels(SCALE_AT_NIGHT[under + 1])];
    const share = place * (SCALE_AT_NIGHT.length - 1) - under;
    return `rgb(${from.map((low, i) => Math.round(low + (to[i] - low) * share)).join(",")})`;
  };
  const scaleAtNight = ({ data, layout }) => {
    if (layout.coloraxis) layout.coloraxis.colorscale = SCALE_AT_NIGHT;
    for (const trace of data) {
      if (trace.colorscale) trace.colorscale = SCALE_AT_NIGHT;
      if (typeof trace.meta === "number") trace.line.color = shade(trace.meta);
    }
  };

  const template = (colours) => {
    const axis = {
      gridcolor: colours.grid, linecolor: colours.line, tickcolor: colours.line, automargin: true,
      title: { standoff: 8 },
    };
    return {
      layout: {
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", xaxis: axis, yaxis: axis,
        font: { color: colours.text, family: getComputedStyle(document.body).fontFamily },
        hoverlabel: { bgcolor: colours.page, bordercolor: colours.line, font: { color: colours.text } },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: colours.line, activecolor: colours.text },
      },
    };
  };

  const stack = (layout, panels) => {
    const { t, b } = layout.margin;
    const height = (layout.height - t - b) * 0.85;
    const gap = 70 / (height * panels);
    const share = (1 - gap * (panels - 1)) / panels;
    for (let i = 0; i < panels; i++) {
      const number = i ? i + 1 : "";
      const top = 1 - i * (share + gap);
      layout[`xaxis${number}`].domain = [0, 1];
      layout[`yaxis${number}`].domain = [top - share, top];
      const title = (layout.annotations || [])[i];
      if (title) Object.assign(title, { x: 0.5, y: top });
    }
    layout.height = height * panels + t + b;
  };

  // Panels side by side need room for the titles between them, however wide they are.
  const spread = (layout, panels, width) => {
    const columns = Math.min(panels, ACROSS);
    const gap = 85 / (width - layout.margin.l - layout.margin.r);
    const share = (1 - gap * (columns - 1)) / columns;
    for (let i = 0; i < panels; i++) {
      const left = (i % columns) * (share + gap);
      layout[`xaxis${i ? i + 1 : ""}`].domain = [left, left + share];
      const title = (layout.annotations || [])[i];
      if (title) title.x = left + share / 2;
    }
  };

  // What an axis shows, in lines that are no longer than the axis; texts are of about 6 pixels a letter.
  const breakTitle = (axis, length) => {
    const text = axis.title && axis.title.text;
    if (!text) return 0;
    const lines = [""];
    for (const word of text.split(" ")) {
      const last = lines.length - 1;
      if (lines[last] && lines[last].length + word.length >= length / 6) lines.push(word);
      else lines[last] += (lines[last] ? " " : "") + word;
    }
    axis.title.text = lines.join("<br>");
    return lines.length - 1;
  };
  const breakTitles = (layout, width) => {
    const across = Object.keys(layout).filter((key) => key.startsWith("xaxis"));
    const more = across.reduce((sum, key) => sum + breakTitle(layout[key], width - 160), 0);
    layout.height += 16 * more;
  };

  const fit = (figure, panels, width) => {
    const layout = figure.layout;
    const named = figure.data.filter((trace) => trace.showlegend);
    layout.height += 14 * named.reduce((lines, { name }) => lines + name.split("<br>").length - 1, 0);
    if (width >= NARROW) {
      if (panels > 1) spread(layout, panels, width);
      return;
    }
    layout.dragmode = false; // a finger scrolls the page
    layout.font = { ...layout.font, size: 11 };
    layout.margin = { ...layout.margin, l: 40, r: 8 };
    breakTitles(layout, width);
    if (panels > 1) stack(layout, panels);
    if (figure.data.some(({ marker }) => marker && marker.coloraxis)) {
      const bar = layout.coloraxis.colorbar;
      bar.orientation = "h";
      Object.assign(bar, { x: 0.5, xanchor: "center", y: 1, yanchor: "bottom", len: 1, thickness: 10 });
      bar.title.side = "top";
      layout.margin.t += 60;
      layout.height += 60;
    }
    layout.height += 22 * named.length;
    if (layout.legend) layout.legend.y = -60 / (layout.height - layout.margin.t - layout.margin.b);
  };

  const draw = (plot, { paper = false } = {}) => {
    const night = dark.matches && !paper;
    const text = plot.parentElement.querySelector("script[type='application/json']").textContent;
    const figure = JSON.parse(text, night ? atNight : undefined);
    if (night) scaleAtNight(figure);
    const width = paper ? PAPER_WIDTH : plot.clientWidth;
    if (paper) figure.layout.height = Math.min(figure.layout.height, PAPER_HEIGHT);
    fit(figure, Number(plot.dataset.panels), width);
    figure.layout.template = template(night ? NIGHT : PAPER);
    if (paper) {
      const { layout } = figure;
      layout.width = width;
      layout.legend.y = -70 / (layout.height - layout.margin.t - layout.margin.b - 60);
    }
    drawn.add(plot);
    plot.style.minHeight = `${figure.layout.height}px`;
    const config = {
      displaylogo: false, responsive: !paper, displayModeBar: paper ? false : "hover",
      modeBarButtonsToRemove: ["sendChartToCloud", "lasso2d", "select2d", "autoScale2d"],
      toImageButtonOptions: { filename: plot.parentElement.id },
    };
    return Plotly.react(plot, figure.data, figure.layout, config);
  };

  if (plots.length) {
    const near = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        near.unobserve(entry.target);
        draw(entry.target);
      }
    }, { rootMargin: "400px" });
    for (const plot of plots) near.observe(plot);

    const redraw = () => drawn.forEach((plot) => draw(plot));
    dark.addEventListener("change", redraw);
    const narrow = matchMedia(`(max-width: ${NARROW + 60}px)`);
    narrow.addEventListener("change", redraw);
    addEventListener("beforeprint", () => plots.forEach((plot) => draw(plot, { paper: true })));
    addEventListener("afterprint", redraw);
  }
})();
