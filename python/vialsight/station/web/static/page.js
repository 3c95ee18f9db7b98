// On every page: the menu of small screens, a digit for each view, times of the place, reloading.
"use strict";
(() => {
  document.documentElement.classList.add("js");
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
  // Year first in every language: no other order is understood alike everywhere.
  const two = (value) => String(value).padStart(2, "0");
  for (const time of document.querySelectorAll("time[data-unix-ms]")) {
    const at = new Date(Number(time.dataset.unixMs));
    time.title = time.textContent;
    const day = [at.getFullYear(), two(at.getMonth() + 1), two(at.getDate())].join("-");
    const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
    time.textContent = `${day} ${clock}`;
  }
  const reload = document.getElementById("reload");
  if (reload) setTimeout(() => location.replace(location.pathname), Number(reload.dataset.after));
})();
