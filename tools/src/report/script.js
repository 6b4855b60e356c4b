// Nothing here is needed to read the page. Neither "and" signs nor "less than" signs are used, so that the page is XML too.
"use strict";

// Readouts of the curves appear at once and follow the pointer.
const tip = document.createElement("div");
tip.className = "tip";
tip.hidden = true;
document.body.append(tip);
const place = (event) => {
  const { innerWidth, innerHeight } = window;
  const fits = event.clientX + tip.offsetWidth + 28 > innerWidth;
  const x = fits ? event.clientX - tip.offsetWidth - 14 : event.clientX + 14;
  const y = Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8);
  tip.style.transform = `translate(${Math.max(4, x)}px, ${y}px)`;
};
for (const stop of document.querySelectorAll(".stops g")) {
  const title = stop.querySelector("title");
  const text = title.textContent;
  title.remove();
  stop.addEventListener("pointermove", (event) => {
    const [head, ...lines] = text.split("\n");
    tip.replaceChildren(Object.assign(document.createElement("b"), { textContent: head }), lines.join("\n"));
    tip.hidden = false;
    place(event);
  });
  stop.addEventListener("pointerleave", () => { tip.hidden = true; });
}

// Commands get a button.
for (const block of navigator.clipboard ? document.querySelectorAll("pre.command") : []) {
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Copy" });
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(block.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  block.append(button);
}

// A click shows a picture as large as the window.
const stage = document.createElement("dialog");
stage.addEventListener("click", () => stage.close());
document.body.append(stage);
for (const image of document.querySelectorAll(".pictures img")) {
  image.classList.add("zoom");
  image.addEventListener("click", () => {
    const large = new Image();
    large.src = image.src;
    large.alt = image.alt;
    const scale = Math.min(window.innerWidth * 0.94 / image.naturalWidth, window.innerHeight * 0.94 / image.naturalHeight);
    large.width = image.naturalWidth * scale;
    large.style.imageRendering = scale > 2 ? "pixelated" : "auto";
    stage.replaceChildren(large);
    stage.showModal();
  });
}
