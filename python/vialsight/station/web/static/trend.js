// Draws φ per region with its threshold, and the latency against the slot.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const { text, number, language } = Page;
  const charts = document.getElementById("charts"), batch = charts.dataset.batch;
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const clock = new Intl.DateTimeFormat(language, { timeStyle: "short", hourCycle: "h23" });
  const seconds = new Intl.DateTimeFormat(language, { timeStyle: "medium", hourCycle: "h23" });
  // Ticks closer than this would carry the same minute.
  const MINUTE_S = 60;
  const HEIGHT = 190, REFRESH_MS = 3000;
  const plots = new Map();
  const line = (label, name, extra = {}) => ({ label, stroke: colour(name), width: 1.5, points: { show: false }, value: (u, value) => number(value, extra.digits ?? 4), ...extra });
  const options = (holder, series, digits) => ({
    width: holder.clientWidth, height: HEIGHT, cursor: { y: false },
    scales: { y: { range: (u, low, high) => {
      const [least, most] = [Math.min(0, low ?? 0), Math.max(0, high ?? 1)], room = 0.14 * (most - least);
      return [least < 0 ? least - room : 0, most + room];
    } } },
    axes: [
      { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") }, space: 90, values: (u, at) => at.map((each) => (at.length > 1 && at[1] - at[0] < MINUTE_S ? seconds : clock).format(each * 1000)) },
      { stroke: colour("--muted"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line") }, size: 64, values: (u, at) => at.map((each) => number(each, digits ?? (at[1] - at[0] < 0.1 ? 3 : at[1] - at[0] < 1 ? 1 : 0))) },
    ],
    series: [{ label: text("chart.time"), value: (u, value) => (value === null ? "–" : seconds.format(value * 1000)) }, ...series],
  });
  const draw = (holder, data, series, digits) => {
    const known = plots.get(holder);
    if (known) { known.setData(data); return; }
    plots.set(holder, new uPlot(options(holder, series, digits), data, holder));
  };
  const above = (values, limit) => values.map((value) => (value !== null && value > limit ? value : null));
  const flat = (length, value) => new Array(length).fill(value);
  const show = (found) => {
    const count = found.time.length;
    charts.hidden = count === 0;
    document.getElementById("no-chart").hidden = count > 0;
    if (count === 0) return;
    for (const holder of charts.querySelectorAll("[data-region]")) {
      const region = Number(holder.dataset.region), limit = found.thresholds[region], values = found.largest[region];
      draw(holder, [found.time, values, flat(count, limit), above(values, limit)], [
        line(text("chart.phi"), "--curve"),
        line(text("chart.threshold"), "--mark", { dash: [7, 5], width: 2 }),
        line(text("chart.above"), "--mark", { width: 0, points: { show: true, size: 9, fill: colour("--mark") } }),
      ], null);
    }
    draw(document.getElementById("latency"), [found.time, found.latency, flat(count, found.budget_ms), flat(count, found.slot_ms)], [
      line(text("chart.latency"), "--curve", { digits: 0 }),
      line(text("chart.budget"), "--mark", { dash: [7, 5], width: 2, digits: 0 }),
      line(text("chart.slot"), "--muted", { dash: [2, 4], width: 2, digits: 0 }),
    ], 0);
  };
  const load = async () => {
    try {
      const answer = await fetch(`/trend.json?batch=${batch}`);
      if (answer.ok) show(await answer.json());
    } catch { /* the bar above says that the page is offline */ }
    if (batch === "0") setTimeout(load, REFRESH_MS);
  };
  new ResizeObserver(() => {
    for (const [holder, plot] of plots) plot.setSize({ width: holder.clientWidth, height: HEIGHT });
  }).observe(charts);
  load();
});
