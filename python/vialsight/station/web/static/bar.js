// Follows the line: one stream of states, given to whatever on the page wants it as event "line".
"use strict";
const Page = (() => {
  const table = JSON.parse(document.getElementById("texts").textContent);
  const language = document.documentElement.lang;
  const clock = new Intl.DateTimeFormat(language, { timeStyle: "medium", hourCycle: "h23" });
  // A state comes every second; a page that shows an older one must say so.
  const SILENT_MS = 4000, RETRY_MS = 3000;
  const text = (key, values = {}) =>
    (table[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? values[name] : whole));
  const number = (value, digits = 0) => {
    if (value === null || value === undefined) return "–";
    const [whole, part] = value.toFixed(digits).replace("-", "\u2212").split(".");
    const grouped = whole.replace(/\B(?=(\d{3})+$)/g, "\u202f");
    return part ? grouped + (language === "en" ? "." : ",") + part : grouped;
  };
  const percent = (part, whole) => (whole ? `${number((100 * part) / whole, 1)} %` : "–");
  const bound = (name) => document.querySelector(`[data-bind="${name}"]`);
  const put = (name, value) => {
    const element = bound(name);
    if (element && element.textContent !== value) element.textContent = value;
    if (element) element.hidden = value === "";
  };
  const when = (unixMs) => clock.format(unixMs);
  const cause = (state) =>
    state.shown === "silent" ? text("live.silent_since", { s: number(state.silent_s) })
      : state.shown === "offline" ? text("live.offline_why") : text(`hindrance.${state.why[0]}`);
  const lastVerdict = (strip) =>
    strip ? text("live.last", { verdict: text(`live.${strip.verdict}`), id: strip.id, time: when(strip.unix_ms) }) : "";
  const show = (state) => {
    const bar = document.getElementById("bar"), strip = state.strip;
    bar.dataset.shown = state.shown;
    bar.querySelector("use").setAttribute("href", `#shape-${state.shown === "offline" ? "silent" : state.shown}`);
    put("bar-word", text(`live.${state.shown}`));
    const told = state.shown === "accept" || state.shown === "reject";
    put("bar-detail", told ? `${text("live.strip", { id: strip.id })} · ${when(strip.unix_ms)}` : state.shown === "waiting" ? "" : cause(state));
    const badge = bound("alarms");
    if (badge) { badge.hidden = !state.alarms; badge.textContent = String(state.alarms ?? ""); }
  };
  let last = null, heard = Date.now(), source = null;
  const tell = (state) => { last = state; document.dispatchEvent(new CustomEvent("line", { detail: state })); };
  const connect = () => {
    source = new EventSource("/events");
    source.onmessage = (event) => { heard = Date.now(); tell(JSON.parse(event.data)); };
    source.addEventListener("bye", () => location.replace(location.pathname));
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY_MS);
    };
  };
  document.addEventListener("line", (event) => show(event.detail));
  document.addEventListener("DOMContentLoaded", () => {
    const given = document.getElementById("data");
    const first = given ? JSON.parse(given.textContent) : null;
    if (first && first.shown) tell(first);
    connect();
    setInterval(() => {
      if (Date.now() - heard < SILENT_MS) return;
      const empty = { strip: null, counts: null, batch_counts: null, records: {}, batch: null, reject: null, rate: {}, why: [] };
      tell({ ...empty, ...last, shown: "offline", alive: false });
    }, 1000);
  });
  return { text, number, percent, bound, put, when, cause, lastVerdict, language };
})();
