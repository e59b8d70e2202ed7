// Draws the charts of a page. Each one's numbers are those of its own table, which stays
// for everybody who sees no picture.
"use strict";
(() => {
  const language = document.documentElement.lang;
  const day = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", timeZone: "UTC" });
  const count = new Intl.NumberFormat(language, { notation: "compact" });
  const steps = [1, 2, 5];
  for (let power = 10; power < 1e12; power *= 10) {
    steps.push(power, 2 * power, 5 * power);
  }
  const height = (figure) => figure.closest(".large") ? 280 : 180;

  // A canvas knows no variables: a colour is what an element that has it is drawn in.
  function colour(figure, name) {
    const probe = figure.appendChild(document.createElement("i"));
    probe.style.setProperty("color", "var(--" + name + ")");
    const value = getComputedStyle(probe).color;
    probe.remove();
    return value;
  }

  function draw(figure) {
    const plot = figure.querySelector("[data-plot]"), read = figure.querySelector("[data-read]");
    const rows = [...figure.querySelectorAll("tbody tr")];
    const values = rows.map((row) => Number(row.dataset.value));
    const labels = rows.map((row) => row.querySelector("th").textContent);
    const axis = { stroke: colour(figure, "quiet"), ticks: { show: false }, font: "12px " + getComputedStyle(plot).fontFamily };
    plot.hidden = read.hidden = false;
    plot.replaceChildren();
    read.textContent = "\u00a0";
    return new uPlot({
      width: plot.clientWidth, height: height(figure), legend: { show: false },
      cursor: { y: false, points: { show: false }, drag: { x: false, y: false, setScale: false } },
      scales: { x: { time: false, range: [-0.5, values.length - 0.5] }, y: { range: (u, low, high) => [0, Math.max(4, high * 1.08)] } },
      series: [{}, { fill: colour(figure, "accent"), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.72, 48], radius: 0.12 }) }],
      axes: [
        { ...axis, grid: { show: false }, incrs: [1, 2, 7, 14], space: 56, size: 28, values: (u, at) => at.map((i) => labels[i] ? day.format(new Date(labels[i] + "T00:00Z")) : "") },
        { ...axis, grid: { stroke: colour(figure, "line"), width: 1 }, incrs: steps, size: 48, values: (u, at) => at.map((n) => count.format(n)) },
      ],
      hooks: { setCursor: [(u) => {
        const row = rows[u.cursor.idx];
        read.textContent = u.cursor.left >= 0 && row ? labels[u.cursor.idx] + ": " + row.querySelector("td").textContent : "\u00a0";
      }] },
    }, [values.map((_, i) => i), values], plot);
  }

  for (const figure of document.querySelectorAll("[data-chart]")) {
    let chart = draw(figure);
    new ResizeObserver(([entry]) => {
      const width = Math.floor(entry.contentRect.width);
      if (width > 0 && width !== chart.width) {
        chart.setSize({ width, height: height(figure) });
      }
    }).observe(figure.querySelector("[data-plot]"));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      chart.destroy();
      chart = draw(figure);
    });
  }
})();
