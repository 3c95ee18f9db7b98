// On every page: the menu of small screens, a digit for each view, times of the place, reloading.
"use strict";
(() => {
  document.documentElement.classList.add("js");
  const language = document.documentElement.lang;
  const menu = document.getElementById("menu");
  if (menu) {
    menu.addEventListener("click", () => {
      const open = menu.getAttribute("aria-expanded") !== "true";
      menu.setAttribute("aria-expanded", String(open));
      for (const part of document.querySelectorAll(".side nav, .side .who")) part.classList.toggle("open", open);
    });
  }
  const writes = (element) => element.closest("input, select, textarea, [contenteditable]") !== null;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !/^[0-9]$/.test(event.key) || writes(event.target)) return;
    const link = document.querySelector(`a[data-key="${event.key}"]`);
    if (link) { event.preventDefault(); link.click(); }
  });
  const local = new Intl.DateTimeFormat(language, { dateStyle: "short", timeStyle: "medium" });
  for (const time of document.querySelectorAll("time[data-unix-ms]")) {
    time.title = time.textContent;
    time.textContent = local.format(Number(time.dataset.unixMs));
  }
  const reload = document.getElementById("reload");
  if (reload) setTimeout(() => location.replace(location.pathname), Number(reload.dataset.after));
})();
