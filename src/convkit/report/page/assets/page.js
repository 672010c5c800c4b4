"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const make = (tag, options = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), options);
    node.append(...children);
    return node;
  };
  const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (index) => ink(`--series-${index % 10}`);
  const number = (value) => (value === 0 ? "0" : Math.abs(value) >= 1e-3 && Math.abs(value) < 1e5
    ? String(Number(value.toPrecision(4))) : value.toExponential(2));

  // An exponential moving average, corrected for its start: the first values count in full.
  const smoothed = (values, weight) => {
    if (!weight) return values;
    let mean = 0, share = 1;
    return values.map((value) => {
      mean = weight * mean + (1 - weight) * value;
      share *= weight;
      return mean / (1 - share);
    });
  };

  class Chart {
    constructor(panel, place) {
      this.panel = panel;
      this.log = panel.title === "Learning rate";
      this.hidden = new Set();
      this.weight = 0;
      this.plot = make("div", { className: "plot", tabIndex: 0 });
      this.plot.setAttribute("role", "application");
      this.plot.setAttribute("aria-label", `${panel.title}: chart of ${panel.series.length} curves by ${panel.axis}; arrow keys read the values`);
      this.readout = make("output", { className: "readout" });
      const log = make("input", { type: "checkbox", checked: this.log });
      log.addEventListener("change", () => { this.log = log.checked; this.draw(); });
      const unit = panel.unit ? make("span", { className: "quiet", textContent: ` ${panel.unit}` }) : "";
      this.legend = make("div", { className: "legend", tabIndex: 0 });
      this.legend.setAttribute("role", "group");
      this.legend.setAttribute("aria-label", `curves of ${panel.title}`);
      place.append(make("figure", { className: "chart" },
        make("figcaption", {}, make("span", {}, panel.title, unit), make("label", {}, log, " log scale")),
        this.plot, this.readout, this.legend));
      panel.series.forEach((series, index) => {
        const box = make("input", { type: "checkbox", checked: true });
        box.addEventListener("change", () => {
          this.hidden[box.checked ? "delete" : "add"](index);
          this.chart.setSeries(index + 1, { show: box.checked });
        });
        this.legend.append(make("label", {}, box, make("i"), series.label));
      });
      this.plot.addEventListener("keydown", (event) => this.key(event));
      this.draw();
      new ResizeObserver(() => this.chart.setSize({ width: this.plot.clientWidth, height: 230 })).observe(this.plot);
    }

    draw() {
      this.chart?.destroy();
      const { panel } = this;
      const joined = uPlot.join(panel.series.map((series) => [series.x,
        smoothed(series.y, series.smooth ? this.weight : 0).map((value) => (this.log && value <= 0 ? null : value))]));
      const axis = { stroke: ink("--quiet"), grid: { stroke: ink("--line"), width: 1 }, ticks: { stroke: ink("--line") } };
      this.legend.querySelectorAll("i").forEach((line, index) => { line.style.background = colour(index); });
      this.chart = new uPlot({
        width: this.plot.clientWidth || 400,
        height: 230,
        scales: { x: { time: false }, y: { distr: this.log ? 3 : 1 } },
        legend: { show: false },
        cursor: { drag: { x: true, y: false } },
        axes: [axis, { ...axis, size: 64, values: (_, ticks) => ticks.map((tick) => (tick === null ? "" : number(tick))) }],
        series: [{}, ...panel.series.map((series, index) => ({
          label: series.label, stroke: colour(index), width: 1.75, spanGaps: true, show: !this.hidden.has(index),
          points: { show: series.x.length < 40, size: 5 },
        }))],
        hooks: { drawClear: [(chart) => this.drops(chart)], setCursor: [(chart) => this.read(chart)] },
      }, joined, this.plot);
      this.read(this.chart);
    }

    // Where a rate was dropped, a dashed line.
    drops(chart) {
      if (this.panel.axis !== "step") return;
      const { ctx, bbox } = chart;
      ctx.save();
      ctx.setLineDash([4, 4]);
      ctx.strokeStyle = ink("--quiet");
      for (const step of new Set(data.drops.flat().map(([at]) => at))) {
        const x = chart.valToPos(step, "x", true);
        if (x < bbox.left || x > bbox.left + bbox.width) continue;
        ctx.beginPath();
        ctx.moveTo(x, bbox.top);
        ctx.lineTo(x, bbox.top + bbox.height);
        ctx.stroke();
      }
      ctx.restore();
    }

    read(chart) {
      const at = chart.cursor.idx;
      if (at === null || at === undefined) { this.readout.textContent = ""; return; }
      const x = chart.data[0][at], parts = [`${this.panel.axis} ${x}`];
      const per = data.perEpoch.length === 1 ? data.perEpoch[0] : null;
      if (this.panel.axis === "step" && per) parts.push(`epoch ${number(x / per)}`);
      this.panel.series.forEach((series, index) => {
        if (this.hidden.has(index)) return;
        let place = at;
        while (place >= 0 && chart.data[index + 1][place] == null) place -= 1; // the last value before
        if (place >= 0) parts.push(`${series.label} ${number(chart.data[index + 1][place])}`);
      });
      if (this.panel.axis === "step") {
        for (const [step, text] of data.drops.flat()) if (step === x) parts.push(text);
      }
      this.readout.textContent = parts.join(" · ");
    }

    key(event) {
      const { chart } = this, xs = chart.data[0];
      const { min, max } = chart.scales.x;
      const now = chart.cursor.idx ?? xs.length - 1;
      const step = event.shiftKey ? 10 : 1;
      const go = { ArrowLeft: now - step, ArrowRight: now + step, Home: 0, End: xs.length - 1 }[event.key];
      if (go !== undefined) {
        const index = Math.min(xs.length - 1, Math.max(0, go));
        this.readout.setAttribute("aria-live", "polite");
        chart.setCursor({ left: chart.valToPos(xs[index], "x"), top: 10 });
      } else if (event.key === "+" || event.key === "-") {
        const half = (max - min) * (event.key === "+" ? 0.25 : 1);
        const lower = Math.max(xs[0], xs[now] - half), upper = Math.min(xs[xs.length - 1], xs[now] + half);
        if (upper > lower) chart.setScale("x", { min: lower, max: upper });
      } else if (event.key === "0" || event.key === "Escape") {
        chart.setScale("x", { min: xs[0], max: xs[xs.length - 1] });
      } else {
        return;
      }
      event.preventDefault();
    }
  }

  const charts = [];
  const place = document.getElementById("charts");
  for (const panel of data.panels) charts.push(new Chart(panel, place));
  if (!data.panels.length) place.append(make("p", { className: "note", textContent: "There is no metric with two values to draw." }));
  document.querySelectorAll("[data-settling]").forEach((node) => {
    for (const panel of data.settling[node.dataset.settling]) charts.push(new Chart(panel, node));
  });

  const smoothing = document.getElementById("smoothing");
  smoothing.addEventListener("input", () => {
    smoothing.parentElement.querySelector("output").textContent = Number(smoothing.value) ? smoothing.value : "none";
    for (const chart of charts) { chart.weight = Number(smoothing.value); chart.draw(); }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((chart) => chart.draw()));

  document.querySelectorAll("[data-strips]").forEach((slider) => {
    const strips = data.strips[slider.dataset.strips];
    slider.addEventListener("input", () => {
      for (const [stage, moments] of Object.entries(strips)) {
        const [epoch, source] = moments[Math.min(Number(slider.value), moments.length - 1)];
        const image = [...document.querySelectorAll("[data-strip]")].find(
          (node) => node.dataset.strip === stage && node.dataset.run === slider.dataset.strips);
        image.src = source;
        image.alt = `For each feature map of ${stage} the strongest patch and its projection, epoch ${epoch}`;
        slider.parentElement.querySelector("output").textContent = epoch;
        slider.setAttribute("aria-valuetext", `epoch ${epoch}`);
      }
    });
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-cell]");
    if (!button) return;
    const [run, split, ...cell] = button.dataset.cell.split(",");
    const seen = data.behind[run][split][cell.join(",")];
    const panel = document.querySelector(`[data-behind="${run},${split}"]`);
    document.querySelectorAll("button[data-cell]").forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    panel.replaceChildren(
      make("p", { textContent: `${button.getAttribute("aria-label").replace(/: show$/, "")}${seen.length < Number(button.textContent) ? `; the ${seen.length} most certain` : ""}` }),
      make("ul", {}, ...seen.map(([probability, source]) => make("li", {},
        make("img", { src: source, alt: "" }), `${(100 * probability).toFixed(0)} %`))));
  });
})();
