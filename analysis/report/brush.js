// Parallel coordinates: a stretch of an axis chooses the lines that go through it. Those of plotly need WebGL,
// and code made at run time, which the policy of the page does not allow. It takes a mouse or a pen; the hint
// below the picture leads to the filter of the runs, which does not.
const brush = (() => {
  const REACH = 24; // pixels from an axis
  const stretches = new WeakMap(); // of a plot: axis to [low, high]
  const fixed = new WeakMap(); // shapes that the plot has anyway

  const reset = (plot, layout) => {
    if (!stretches.has(plot)) listen(plot);
    stretches.set(plot, new Map());
    fixed.set(plot, layout.shapes || []);
    layout.dragmode = false;
    const hint = plot.parentElement.querySelector(".hint");
    hint.hidden = false;
    hint.querySelector("output").textContent = "";
  };

  const shapes = (plot) => [...fixed.get(plot), ...[...stretches.get(plot)].map(([axis, [low, high]]) => ({
    type: "rect", x0: axis - 0.03, x1: axis + 0.03, y0: low, y1: high,
    fillcolor: "#D55E00", opacity: 0.5, line: { width: 0 },
  }))];

  const choose = (plot) => {
    const lines = plot.data.map((trace, index) => [trace, index]).filter(([trace]) => trace.meta === "brushed");
    const wanted = [...stretches.get(plot)];
    const fits = ({ y }) => wanted.every(([axis, [low, high]]) => y[axis] >= low && y[axis] <= high);
    const chosen = lines.map(([trace]) => fits(trace));
    Plotly.update(
      plot, { opacity: chosen.map((yes) => (yes ? 1 : 0.06)) }, { shapes: shapes(plot) }, lines.map(([, index]) => index),
    );
    const number = chosen.filter(Boolean).length;
    const text = wanted.length ? `${number} of ${lines.length} chosen.` : "";
    plot.parentElement.querySelector(".hint output").textContent = text;
  };

  const listen = (plot) => {
    let began = null;
    const place = (event) => {
      const { xaxis, yaxis } = plot._fullLayout;
      const box = plot.getBoundingClientRect();
      const x = xaxis.p2d(event.clientX - box.left - xaxis._offset);
      const axis = Math.round(x);
      const near = Math.abs(xaxis.d2p(x) - xaxis.d2p(axis)) < REACH;
      return { axis, near, y: yaxis.p2d(event.clientY - box.top - yaxis._offset) };
    };
    plot.addEventListener("pointerdown", (event) => {
      const at = place(event);
      const inside = at.near && at.axis >= 0 && at.axis < Number(plot.dataset.brush) && at.y > -0.06 && at.y < 1.06;
      if (event.pointerType === "touch" || event.button || !inside) return; // a finger scrolls the page
      began = at;
      plot.setPointerCapture(event.pointerId);
      event.preventDefault();
    });
    plot.addEventListener("pointermove", (event) => {
      if (!began) return;
      const ends = [began.y, place(event).y].sort((a, b) => a - b);
      stretches.get(plot).set(began.axis, ends);
      Plotly.relayout(plot, { shapes: shapes(plot) });
    });
    plot.addEventListener("pointerup", (event) => {
      if (!began) return;
      if (Math.abs(place(event).y - began.y) < 0.01) stretches.get(plot).delete(began.axis);
      began = null;
      choose(plot);
    });
  };
  return { reset };
})();
