"use strict";
// Charts: uPlot with a legend of check boxes that shows the values, a shared zoom, and keys for who has no mouse.
const convkit = {
  data: JSON.parse(document.getElementById("data").textContent),
  make: (tag, options = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), options);
    node.append(...children);
    return node;
  },
  ink: (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim(),
  colour: (index) => convkit.ink(`--series-${index % 10}`),
  number: (value) => (value === 0 ? "0" : Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5
    ? String(Number(value.toPrecision(4))) : value.toExponential(2)),
};

// An exponential moving average, corrected for its start: the first values count in full.
convkit.smoothed = (values, weight) => {
  let mean = 0, share = 1;
  return values.map((value) => {
    mean = weight * mean + (1 - weight) * value;
    share *= weight;
    return mean / (1 - share);
  });
};

// Charts that are zoomed as one. `by`: what their x is, epoch or step; `per`: steps of an epoch, run by run.
convkit.Group = class {
  constructor(by, per) { Object.assign(this, { by, per, charts: [], view: null, weight: 0 }); }
  x(series, step) { return this.by === "epoch" && this.per ? step / this.per[series.run] : step; }
  get full() {
    const all = this.charts.flatMap((chart) => chart.panel.series.flatMap((series) => [series.x[0], series.x.at(-1)].map((x) => this.x(series, x))));
    return { min: Math.min(...all), max: Math.max(...all) };
  }
  show(view) {
    this.view = view;
    for (const chart of this.charts) chart.chart?.setScale("x", view ?? this.full);
  }
  draw() { for (const chart of this.charts) chart.draw(); }
};

convkit.Chart = class {
  constructor(panel, place, group) {
    const { make } = convkit;
    Object.assign(this, { panel, group, log: panel.log, hidden: new Set() });
    group.charts.push(this);
    this.plot = make("div", { className: "plot", tabIndex: 0 });
    this.plot.setAttribute("role", "application");
    this.plot.setAttribute("aria-label", `${panel.title}: chart of ${panel.series.length} curves; arrow keys read the values`);
    this.readout = make("p", { className: "readout" });
    this.spoken = make("p", { className: "unseen" });
    this.spoken.setAttribute("role", "status");
    const log = make("input", { type: "checkbox", checked: this.log });
    log.addEventListener("change", () => { this.log = log.checked; this.draw(); });
    const unit = panel.unit ? make("span", { className: "quiet", textContent: ` ${panel.unit}` }) : "";
    this.legend = make("div", { className: "legend", tabIndex: 0 });
    this.legend.setAttribute("role", "group");
    this.legend.setAttribute("aria-label", `curves of ${panel.title}`);
    place.append(make("figure", { className: "chart card" },
      make("figcaption", {}, make("span", {}, panel.title, unit), make("label", {}, log, "log scale")),
      this.plot, this.readout, this.legend, this.spoken));
    this.values = panel.series.map((series, index) => {
      const box = make("input", { type: "checkbox", checked: true }), value = make("b");
      box.addEventListener("change", () => { this.hidden[box.checked ? "delete" : "add"](index); this.draw(); });
      this.legend.append(make("label", {}, box, make("i"), make("span", { textContent: series.label }), value));
      return value;
    });
    this.plot.addEventListener("keydown", (event) => this.key(event));
    for (const kind of ["touchstart", "touchmove"]) {
      this.plot.addEventListener(kind, (event) => {
        const box = this.plot.querySelector(".u-over").getBoundingClientRect();
        this.chart.setCursor({ left: event.touches[0].clientX - box.left, top: event.touches[0].clientY - box.top });
      }, { passive: true });
    }
    // Drawn when it has come near: a page of many charts opens at once.
    new IntersectionObserver((seen, observer) => {
      if (seen.some((one) => one.isIntersecting)) { observer.disconnect(); this.near = true; this.draw(); }
    }, { rootMargin: "600px" }).observe(this.plot);
    new ResizeObserver(() => this.chart?.setSize({ width: this.plot.clientWidth, height: 230 })).observe(this.plot);
  }

  colour(series, index) { return convkit.colour(this.panel.axis === "step" && convkit.data.names.length > 1 ? series.run : index); }

  draw() {
    if (!this.near) return;
    this.chart?.destroy();
    const { panel, group } = this, { ink, number } = convkit, series = panel.series;
    const kept = (values) => (this.log ? values.map((value) => (value <= 0 ? null : value)) : values);
    const soft = group.weight ? series.map((one, index) => [one, index]).filter(([one]) => one.smooth) : [];
    const smooth = (one) => (one.smooth && group.weight ? convkit.smoothed(one.y, group.weight) : one.y);
    const joined = uPlot.join([...series.map((one) => [one, smooth(one)]), ...soft.map(([one]) => [one, one.y])]
      .map(([one, values]) => [one.x.map((step) => group.x(one, step)), kept(values)]));
    const axis = { stroke: ink("--quiet"), grid: { stroke: ink("--grid"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    this.legend.querySelectorAll("i").forEach((line, index) => { line.style.background = this.colour(series[index], index); });
    const line = (one, index) => ({ label: one.label, stroke: this.colour(one, index), spanGaps: true, show: !this.hidden.has(index) });
    this.chart = new uPlot({
      width: this.plot.clientWidth || 400,
      height: 230,
      padding: [14, 12, 0, 0],
      scales: { x: { time: false, range: () => { const { min, max } = group.view ?? group.full; return [min, max]; } },
        y: { distr: this.log ? 3 : 1 } },
      legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false },
        bind: { dblclick: () => () => group.show(null) } },
      axes: [{ ...axis, size: 30 }, { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick))) }],
      series: [{}, ...series.map((one, index) => ({ ...line(one, index), width: 1.75,
        dash: index >= 10 ? [6, 3] : undefined, points: { show: one.x.length < 40, size: 4, fill: this.colour(one, index) } })),
      ...soft.map(([one, index]) => ({ ...line(one, index), width: 1, alpha: 0.3, points: { show: false } }))],
      hooks: {
        drawClear: [(chart) => this.drops(chart)],
        setCursor: [(chart) => this.read(chart)],
        setSelect: [(chart) => {
          const { left, width } = chart.select;
          if (width > 3) group.show({ min: chart.posToVal(left, "x"), max: chart.posToVal(left + width, "x") });
          if (width) chart.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
        }],
      },
    }, joined, this.plot);
    this.read(this.chart);
  }

  // Where a rate was dropped, a dashed line, and by how much.
  drops(chart) {
    if (this.panel.axis !== "step") return;
    const { ctx, bbox } = chart, { data, ink } = convkit, many = data.names.length > 1;
    ctx.save();
    ctx.font = `${11 * devicePixelRatio}px system-ui`;
    data.drops.forEach((drops, run) => drops.forEach(([step, , factor]) => {
      const x = chart.valToPos(this.group.x({ run }, step), "x", true);
      if (!(x >= bbox.left && x <= bbox.left + bbox.width)) return;
      ctx.strokeStyle = ctx.fillStyle = many ? convkit.colour(run) : ink("--quiet");
      ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.textAlign = x > bbox.left + bbox.width - 40 * devicePixelRatio ? "right" : "left";
      if (!many) ctx.fillText(`÷${convkit.number(factor)}`, x, bbox.top - 3 * devicePixelRatio);
    }));
    ctx.restore();
  }

  read(chart) {
    const at = chart.cursor.idx, { number } = convkit, parts = [];
    if (at === null || at === undefined) {
      this.readout.textContent = this.group.by;
      for (const value of this.values) value.textContent = "";
      return;
    }
    const x = chart.data[0][at], { by, per } = this.group;
    this.readout.textContent = `${by} ${number(x)}` + (by === "epoch" && per?.length === 1 ? ` · step ${Math.round(x * per[0])}` : "");
    this.panel.series.forEach((series, index) => {
      let place = at;
      while (place >= 0 && chart.data[index + 1][place] == null) place -= 1; // the last value before
      const over = x > this.group.x(series, series.x.at(-1)); // that run has ended before
      const shown = this.hidden.has(index) || over || place < 0 ? "" : number(chart.data[index + 1][place]);
      this.values[index].textContent = shown;
      if (shown) parts.push(`${series.label} ${shown}`);
    });
    this.told = [this.readout.textContent, ...parts].join(", ");
  }

  key(event) {
    const { chart, group } = this, xs = chart.data[0];
    const now = chart.cursor.idx ?? xs.length - 1, step = event.shiftKey ? 10 : 1;
    const go = { ArrowLeft: now - step, ArrowRight: now + step, Home: 0, End: xs.length - 1 }[event.key];
    if (go !== undefined) {
      chart.setCursor({ left: chart.valToPos(xs[Math.min(xs.length - 1, Math.max(0, go))], "x"), top: 10 });
      this.spoken.textContent = this.told;
    } else if (event.key === "+" || event.key === "-") {
      const { min, max } = group.view ?? group.full, half = (max - min) * (event.key === "+" ? 0.25 : 1);
      const lower = Math.max(group.full.min, xs[now] - half), upper = Math.min(group.full.max, xs[now] + half);
      if (upper > lower) group.show({ min: lower, max: upper });
    } else if (event.key === "0" || event.key === "Escape") {
      group.show(null);
    } else {
      return;
    }
    event.preventDefault();
  }
};
