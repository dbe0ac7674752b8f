// The page is whole without this: it adds a filter over samples, reasons and values, and marks the section in sight.
"use strict";

const box = document.getElementById("find");
const found = document.getElementById("found");
const rows = [...document.querySelectorAll("[data-find]")].map((row) => ({ row, text: row.textContent.toLowerCase() }));
const groups = [...document.querySelectorAll("details.samples")];
const sections = [...document.querySelectorAll("section.step")];
const links = new Map([...document.querySelectorAll(".graph a")].map((link) => [link.hash, link]));
const opened = new Set(); // groups the filter opened, to be closed again with it

function shows(container) {
  return container.querySelector("[data-find]:not([hidden])") !== null;
}

function filter() {
  const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
  let matches = 0;
  for (const { row, text } of rows) {
    row.hidden = !words.every((word) => text.includes(word));
    if (!row.hidden) matches += 1;
  }
  for (const group of groups) {
    const match = shows(group);
    group.hidden = !match;
    if (words.length && match && !group.open) {
      group.open = true;
      opened.add(group);
    } else if (!words.length && opened.delete(group)) {
      group.open = false;
    }
  }
  for (const section of sections) {
    const quiet = words.length > 0 && !shows(section);
    section.hidden = quiet;
    links.get("#" + section.id)?.classList.toggle("quiet", quiet);
  }
  found.textContent = words.length ? `${matches.toLocaleString("en")} found` : "";
}

function watchSections() {
  const inSight = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const entry of entries) entry.isIntersecting ? inSight.add(entry.target) : inSight.delete(entry.target);
    const current = sections.find((section) => inSight.has(section));
    for (const [hash, link] of links) {
      if (current && hash === "#" + current.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }, { rootMargin: "0px 0px -70% 0px" });
  sections.forEach((section) => observer.observe(section));
}

document.querySelector(".search").hidden = false;
box.addEventListener("input", filter);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== box) {
    event.preventDefault();
    box.focus();
  } else if (event.key === "Escape" && document.activeElement === box) {
    box.value = "";
    filter();
  }
});
if ("IntersectionObserver" in window) watchSections();
filter();
