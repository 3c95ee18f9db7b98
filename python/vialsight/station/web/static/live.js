// Fills the views "now" and "counts" from the states of the line.
"use strict";
(() => {
  const { text, number, percent, bound, put, when, cause, lastVerdict } = Page;
  const tick = (agree) => text(agree === null ? "live.catching_up" : agree ? "live.agrees" : "live.disagrees");
  const numbers = (counts) => ({ triggers: number(counts.triggers), accepted: number(counts.accepted), rejected: number(counts.rejected), in_flight: number(counts.in_flight) });
  let spoken = "", shownReject = "";

  // The mark alone where it agrees: words are for what needs somebody.
  const equation = (name, words, agree) => {
    const element = bound(name);
    if (!element) return;
    const mark = document.createElement("b");
    mark.className = agree === null ? "tick" : agree ? "tick yes" : "tick no";
    mark.textContent = agree === null ? "…" : agree ? "✓" : "✗";
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", tick(agree));
    const note = document.createElement("b");
    note.className = "tick no";
    note.textContent = agree === false ? ` ${text("live.disagrees")}` : "";
    element.replaceChildren(mark, ` ${words}`, note);
  };
  const sum = (counts) => text("live.sum", numbers(counts));
  const recorded = (state) => {
    const { strips, waiting, agree } = state.records, counts = state.counts;
    if (!counts || strips === null || strips === undefined) return [text("live.no_record"), null];
    const values = { done: number(counts.accepted + counts.rejected), strips: number(strips), waiting: number(waiting) };
    return [text(waiting ? "live.sum_waiting" : "live.sum_records", values), agree];
  };
  const verdict = (state) => {
    const panel = document.getElementById("verdict"), strip = state.strip;
    const told = state.shown === "accept" || state.shown === "reject";
    panel.dataset.shown = state.shown;
    panel.querySelector("use").setAttribute("href", `#shape-${state.shown === "offline" ? "silent" : state.shown}`);
    const word = text(`live.${state.shown}`);
    put("word", word);
    bound("word").dataset.size = word.length <= 6 ? "s" : word.length <= 9 ? "m" : "l";
    const facts = told ? `${text("live.strip", { id: strip.id })} · ${when(strip.unix_ms)} · ${text("live.latency", { ms: number(strip.latency_ms), budget: number(state.budget_ms) })}` : "";
    put("under", told ? facts : state.shown === "waiting" ? "" : cause(state));
    put("last", state.shown === "reject" ? text(`reason.${strip.reason}`) : told ? "" : lastVerdict(strip));
    const say = state.shown === "reject" ? `${word}: ${text(`reason.${strip.reason}`)}` : word;
    if (say !== spoken) document.getElementById("spoken").textContent = spoken = say;
  };
  const part = (name, good) => {
    const row = document.querySelector(`[data-part="${name}"]`);
    row.classList.toggle("ok", good);
    row.classList.toggle("not", !good);
  };
  const facts = (state) => {
    const ready = state.alive && state.why.length === 0;
    part("ready", ready);
    put("ready", ready ? text("live.yes") : text("live.no"));
    put("why", ready ? "" : state.shown === "offline" ? cause(state) : state.why.map((each) => text(`hindrance.${each}`)).join(" "));
    put("fault", ready || !state.alive ? "" : state.fault);
    part("heart", state.alive);
    put("heart", state.alive ? text("live.alive") : text("live.dead"));
    put("batch", state.batch ? `${state.batch.product} · ${state.batch.number}` : text("live.no_batch"));
    put("batch-state", state.batch ? text(`state.${state.batch.status}`) : "");
    const rate = state.rate;
    put("reject-rate", text("live.rate", { rate: percent(rate.rejected, rate.strips), n: number(rate.strips) }));
    if (state.counts) {
      equation("sum", sum(state.counts), state.counts.agree);
      equation("sum-records", ...recorded(state));
    }
  };
  const reject = (state) => {
    const strip = state.reject, key = strip ? `${strip.seq}/${strip.pictures}` : "";
    if (key === shownReject) return;
    shownReject = key;
    bound("reject-box").hidden = !strip;
    put("reject-none", strip ? (strip.pictures ? "" : text(strip.kept ? "live.picture_comes" : "live.no_picture")) : text("live.no_reject"));
    put("reject-when", strip ? `${text("live.strip", strip)} · ${when(strip.unix_ms)}` : "");
    put("reject-todo", strip ? text(`todo.${strip.reason}`) : "");
    put("reject-reason", strip ? text(`reason.${strip.reason}`) : "");
    draw(strip ? strip.pictures : null, key);
  };
  const draw = async (pictures, key) => {
    let scene = null;
    if (pictures) {
      try {
        const answer = await fetch(`${pictures}/scene.json`);
        scene = answer.ok ? await answer.json() : null;
      } catch { /* the next state asks again for the next reject */ }
    }
    if (key !== shownReject) return;
    Stage.show(scene);
    const bad = scene ? scene.frames.flatMap((frame) => frame.boxes.filter((box) => box.bad)) : [];
    put("reject-region", [...new Set(bad.map((box) => text("scene.place", box)))].join("; "));
  };
  const table = (state) => {
    for (const [scope, counts] of [["run", state.counts], ["batch", state.batch_counts]]) {
      for (const cell of document.querySelectorAll(`[data-count^="${scope}."], [data-share^="${scope}."]`)) {
        const name = (cell.dataset.count ?? cell.dataset.share).slice(scope.length + 1);
        const value = counts ? counts[name] ?? counts.by_reason[name] ?? 0 : null;
        cell.textContent = cell.dataset.count ? number(value) : counts ? percent(value, counts.triggers) : "–";
      }
    }
    if (state.counts) equation("equation", sum(state.counts), state.counts.agree);
    equation("equation-records", ...recorded(state));
  };
  document.addEventListener("line", (event) => {
    const state = event.detail;
    put("pace", state.rate.a_minute ? text("live.pace", { n: number(state.rate.a_minute, 1) }) : "");
    const now = document.getElementById("now");
    if (now) {
      now.classList.toggle("stale", state.shown === "offline"); verdict(state);
      facts(state);
      reject(state);
    } else {
      table(state);
    }
  });
})();
