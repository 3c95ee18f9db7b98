// Draws a scene (frames, boxes and heat at the places where the camera saw them) as SVG.
"use strict";
const Stage = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const element = (name, attributes) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
    return made;
  };
  let opacity = 0.7;
  const label = (box, width) => {
    const [x, y] = box.points[0], size = width / 52, room = box.points[1][0] - x - 2 * size;
    const made = element("text", { class: "label", x: x + size / 2, y: y + 1.3 * size, "font-size": size });
    made.textContent = `${box.vial} · ${box.region}`;
    // A long name is set closer, so that it stays in its box.
    if (made.textContent.length * size * 0.66 > room) {
      made.setAttribute("textLength", Math.max(room, size));
      made.setAttribute("lengthAdjust", "spacingAndGlyphs");
    }
    return made;
  };
  const picture = (scene, frame) => element("image", { href: frame.href, width: scene.width, height: scene.height });
  const heated = (frame) => {
    const heat = element("g", { class: "heat", opacity });
    for (const each of frame.heats) {
      heat.append(element("image", { href: each.href, width: 1, height: 1, preserveAspectRatio: "none", transform: `matrix(${each.matrix.join(" ")})` }));
    }
    return heat;
  };
  const outlined = (frame, bad, width) => {
    const boxes = element("g", {});
    for (const box of frame.boxes) if (!box.bad) boxes.append(element("polygon", { class: "box", points: box.points.join(" ") }));
    for (const kind of ["halo", "box bad"]) {
      for (const box of bad) boxes.append(element("polygon", { class: kind, points: box.points.join(" ") }));
    }
    boxes.append(...bad.map((box) => label(box, width)));
    return boxes;
  };
  // The worst patch, twice: as the camera saw it, and with its heat.
  const closeUp = (scene, frame, box) => {
    const plain = document.getElementById("stage-plain"), hot = document.getElementById("stage-hot");
    for (const svg of [plain, hot]) svg.toggleAttribute("hidden", !box);
    if (!box) return;
    const across = box.points.map((point) => point[0]), down = box.points.map((point) => point[1]);
    const [left, top] = [Math.min(...across), Math.min(...down)];
    const view = `${left} ${top} ${Math.max(...across) - left} ${Math.max(...down) - top}`;
    for (const svg of [plain, hot]) svg.setAttribute("viewBox", view);
    plain.replaceChildren(picture(scene, frame));
    hot.replaceChildren(picture(scene, frame), heated(frame));
  };
  const draw = (svg, scene, frame) => {
    svg.setAttribute("viewBox", `0 0 ${scene.width} ${scene.height}`);
    const bad = frame.boxes.filter((box) => box.bad).sort((one, other) => other.ratio - one.ratio);
    svg.replaceChildren(picture(scene, frame), heated(frame), outlined(frame, bad, scene.width));
    closeUp(scene, frame, bad[0]);
    const places = bad.map((box) => Page.text("scene.place", box)).join("; ") || Page.text("scene.none");
    svg.setAttribute("aria-label", Page.text("scene.label", { n: frame.index + 1, places }));
    const over = bad.slice(0, 4).map((box) => Page.text("scene.over", { ...box, phi: Page.number(box.phi, 3), limit: Page.number(box.limit, 3) }));
    const lines = frame.found ? over : [Page.text("scene.not_found")];
    document.getElementById("stage-caption").replaceChildren(...lines.map((line) => {
      const made = document.createElement("span");
      made.textContent = line;
      return made;
    }));
  };
  const show = (scene) => {
    const stage = document.getElementById("stage"), svg = document.getElementById("stage-picture");
    stage.hidden = !scene || scene.frames.length === 0;
    if (stage.hidden) return;
    const tabs = document.getElementById("stage-frames");
    const select = (number) => {
      draw(svg, scene, scene.frames[number]);
      [...tabs.children].forEach((tab, at) => tab.setAttribute("aria-pressed", String(at === number)));
    };
    tabs.replaceChildren(...scene.frames.map((frame, number) => {
      const tab = document.createElement("button");
      tab.type = "button";
      tab.textContent = Page.text("scene.frame", { n: frame.index + 1 }) + (frame.boxes.some((box) => box.bad) ? " ▲" : "");
      tab.addEventListener("click", () => select(number));
      return tab;
    }));
    tabs.hidden = scene.frames.length < 2;
    select(scene.first);
  };
  const setOpacity = (value) => {
    opacity = value;
    for (const heat of document.querySelectorAll(".heat")) heat.setAttribute("opacity", String(value));
  };
  document.addEventListener("DOMContentLoaded", () => {
    const slider = document.getElementById("opacity");
    if (!slider) return;
    const scene = JSON.parse(document.getElementById("data").textContent).scene;
    const follow = () => {
      setOpacity(slider.value / 100);
      document.getElementById("opacity-shown").textContent = `${slider.value} %`;
    };
    slider.addEventListener("input", follow);
    show(scene);
    follow();
    document.getElementById("slider").hidden = !scene || !scene.frames.some((frame) => frame.heats.length);
    document.getElementById("no-scene").hidden = Boolean(scene && scene.frames.length);
  });
  return { show };
})();
