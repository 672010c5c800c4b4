"use strict";
(() => {
  const { data, make, Chart, Group } = convkit;

  // -- curves
  const per = data.perEpoch.every(Boolean) ? data.perEpoch : null;
  const curves = new Group(per ? "epoch" : "step", per), groups = [curves];
  const place = document.getElementById("charts");
  for (const panel of data.panels) new Chart(panel, place, curves);
  if (!data.panels.length) place.append(make("p", { className: "note", textContent: "There is no metric with two values to draw." }));
  document.querySelectorAll("[data-settling]").forEach((node) => {
    const group = new Group("epoch", null);
    groups.push(group);
    for (const panel of data.settling[node.dataset.settling]) new Chart(panel, node, group);
  });
  const axis = document.getElementById("axis");
  if (!per) { axis.value = "step"; axis.disabled = true; }
  axis.addEventListener("change", () => { curves.by = axis.value; curves.view = null; curves.draw(); });
  const smoothing = document.getElementById("smoothing");
  smoothing.addEventListener("input", () => {
    smoothing.parentElement.querySelector("output").textContent = Number(smoothing.value) ? smoothing.value : "none";
    curves.weight = Number(smoothing.value);
    curves.draw();
  });
  document.getElementById("whole").addEventListener("click", () => groups.forEach((group) => group.show(null)));
  const swatches = () => document.querySelectorAll("[data-colour]").forEach((node) => { node.style.background = convkit.colour(node.dataset.colour); });
  swatches();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { swatches(); groups.forEach((group) => group.draw()); });

  // -- tiles: many pictures of one size in one, drawn where they are wanted
  const sheets = new Map();
  const opened = ([source]) => {
    if (!sheets.has(source)) {
      const image = new Image();
      image.src = source;
      sheets.set(source, image.decode().then(() => image));
    }
    return sheets.get(source);
  };
  const apart = (side) => Math.max(1, Math.round(side / 16));
  const canvases = (node, labels, width, height) => labels.map((label) => {
    const canvas = make("canvas", { width, height });
    node.append(make("div", {}, make("span", { textContent: label }), canvas));
    return canvas;
  });

  document.querySelectorAll("[data-strips]").forEach((slider) => {
    const run = slider.dataset.strips, strips = data.strips[run], output = slider.parentElement.querySelector("output");
    const stages = [...document.querySelectorAll("[data-strip]")].filter((node) => node.dataset.run === run).map((node) => {
      const one = strips[node.dataset.strip], [, width, height] = one.sheets[0];
      return { node, one, drawn: canvases(node, one.maps.map((map) => `map ${map}`), 2 * width + apart(width), height) };
    });
    const show = async () => {
      const wanted = slider.value;
      for (const { node, one, drawn } of stages) {
        const at = Math.min(Number(wanted), one.sheets.length - 1), sheet = one.sheets[at], [, width, height] = sheet;
        const image = await opened(sheet);
        if (slider.value !== wanted) return; // it has moved on
        drawn.forEach((canvas, row) => {
          const draw = canvas.getContext("2d");
          draw.clearRect(0, 0, canvas.width, canvas.height);
          for (const side of [0, 1]) draw.drawImage(image, side * width, row * height, width, height, side * (width + apart(width)), 0, width, height);
        });
        output.textContent = one.epochs[at];
        slider.setAttribute("aria-valuetext", `epoch ${one.epochs[at]}`);
        node.setAttribute("aria-label", `For each feature map of ${node.dataset.strip} the strongest patch and its projection, epoch ${one.epochs[at]}`);
        node.dataset.epoch = one.epochs[at];
      }
    };
    slider.addEventListener("input", show);
    show();
    const play = document.querySelector(`[data-play="${run}"]`);
    let timer = null;
    const stop = () => { clearInterval(timer); timer = null; play.setAttribute("aria-pressed", "false"); play.textContent = "play"; };
    play.addEventListener("click", () => {
      if (timer) { stop(); return; }
      play.setAttribute("aria-pressed", "true");
      play.textContent = "stop";
      if (slider.value === slider.max) slider.value = 0;
      show();
      timer = setInterval(() => {
        if (slider.value === slider.max) { stop(); return; }
        slider.value = Number(slider.value) + 1;
        show();
      }, 900);
    });
  });

  document.querySelectorAll("[data-patches]").forEach((node) => {
    const [run, index] = node.dataset.patches.split(","), one = data.patches[run][index];
    const [, width, height] = one.sheet, gap = apart(width), across = Math.ceil(Math.sqrt(one.top));
    const block = across * (width + gap), sides = one.projected ? 2 : 1;
    const drawn = canvases(node, one.maps, sides * block + (sides - 1) * 2 * gap - gap, across * (height + gap) - gap);
    opened(one.sheet).then((image) => drawn.forEach((canvas, row) => {
      const draw = canvas.getContext("2d");
      for (let column = 0; column < sides * one.top; column += 1) {
        const rank = column % one.top, side = Math.floor(column / one.top);
        draw.drawImage(image, column * width, row * height, width, height,
          side * (block + 2 * gap) + (rank % across) * (width + gap), Math.floor(rank / across) * (height + gap), width, height);
      }
    }));
  });

  // -- confusions
  document.querySelectorAll("td[data-share]").forEach((cell) => {
    const share = Number(cell.dataset.share) / 100, right = cell.classList.contains("right");
    if (share) cell.style.background = `rgba(var(--${right ? "right" : "wrong"}), ${right ? 0.08 + 0.34 * share : Math.min(0.6, 0.12 + 1.6 * share)})`;
  });
  const behind = (button) => {
    const [run, split, ...cell] = button.dataset.cell.split(",");
    const seen = data.behind[run][split][cell.join(",")], count = Number(button.textContent), right = cell[0] === cell[1];
    const panel = document.querySelector(`[data-behind="${run},${split}"]`);
    document.querySelectorAll(`button[data-cell^="${run},${split},"]`).forEach((other) => other.setAttribute("aria-pressed", String(other === button)));
    const which = seen.length < count ? `; the ${seen.length} ${right ? "least certain" : "most certain"}` : "";
    panel.replaceChildren(
      make("p", { textContent: `${button.getAttribute("aria-label").replace(/: show$/, "")}${which}` }),
      make("ul", {}, ...seen.map(([probability, source]) => make("li", {},
        make("img", { src: source, alt: "" }), `${(100 * probability).toFixed(0)} %`))));
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-cell]");
    if (button) behind(button);
  });
  // One stop of the tab key for a matrix; arrows go on from there. At first the most frequent confusion is shown.
  document.querySelectorAll("[data-behind]").forEach((panel) => {
    const buttons = [...document.querySelectorAll(`button[data-cell^="${panel.dataset.behind},"]`)];
    const at = (button) => button.dataset.cell.split(",").slice(2).map(Number);
    if (!buttons.length) return; // of very many classes, none that was confused
    const wrong = buttons.filter((button) => at(button)[0] !== at(button)[1]);
    const first = (wrong.length ? wrong : buttons).reduce((best, one) => (Number(one.textContent) > Number(best.textContent) ? one : best));
    buttons.forEach((button) => {
      button.tabIndex = button === first ? 0 : -1;
      button.addEventListener("keydown", (event) => {
        const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
        if (!way) return;
        event.preventDefault();
        const [row, column] = at(button), along = way[0] ? 0 : 1;
        const ahead = buttons.filter((other) => {
          const away = at(other)[along] - [row, column][along];
          return away * (way[0] + way[1]) > 0;
        });
        const far = (other) => Math.abs(at(other)[along] - [row, column][along]) + 100 * Math.abs(at(other)[1 - along] - [row, column][1 - along]);
        if (!ahead.length) return;
        const next = ahead.reduce((best, other) => (far(other) < far(best) ? other : best));
        button.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      });
    });
    behind(first);
  });

  // -- tables that are sorted by a column: numbers as such, what is not known last either way
  document.querySelectorAll("table[data-sortable]").forEach((table) => {
    const heads = [...table.querySelectorAll("thead th")], body = table.tBodies[0];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const way = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
      const text = (row) => row.cells[column].textContent, known = (row) => text(row) !== "–" && text(row) !== "";
      const compared = (one, other) => (head.classList.contains("number") ? Number(text(one)) - Number(text(other))
        : text(one).localeCompare(text(other), undefined, { numeric: true }));
      body.append(...[...body.rows].sort((one, other) => known(other) - known(one) || (known(one) ? way * compared(one, other) : 0)));
    }));
  });
})();
