// Renews what is live on a page, and saves hands some ways. Everything else works without this file.
"use strict";
const live = document.querySelector("[data-live]");
const EVERY = 5000;
const AGAIN = 1000;

async function renew() {
  if (!document.hidden) {
    try {
      const answer = await fetch(live.dataset.live, { headers: { accept: "text/html" } });
      if (answer.ok) live.innerHTML = await answer.text();
      document.body.classList.toggle("stale", !answer.ok);
    } catch {
      document.body.classList.add("stale");
    }
  }
  setTimeout(renew, EVERY);
}

if (live) setTimeout(renew, EVERY);

// What takes longer comes after the page.
for (const place of document.querySelectorAll("[data-later]")) {
  fetch(place.dataset.later).then(async (answer) => {
    if (answer.ok) place.innerHTML = await answer.text();
  });
}

// "/" goes to the search field; arrows walk through a grid.
document.addEventListener("keydown", (event) => {
  const field = document.activeElement;
  const typing = field && (field.tagName === "INPUT" || field.tagName === "SELECT");
  if (event.key === "/" && !typing) {
    const input = document.querySelector("[data-focus]");
    if (input) {
      event.preventDefault();
      input.focus();
    }
    return;
  }
  const links = [...document.querySelectorAll(".grid a:not(.more)")];
  const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columns(links), ArrowUp: -columns(links) };
  const step = steps[event.key];
  if (typing || !step || !links.length) return;
  const here = links.indexOf(field);
  const next = here < 0 ? links[0] : links[here + step];
  if (next) {
    event.preventDefault();
    next.focus();
  }
});

// How many pieces stand side by side.
function columns(links) {
  const top = (link) => Math.round(link.getBoundingClientRect().top);
  const next = links.findIndex((link) => top(link) > top(links[0]) + 20);
  return next < 0 ? links.length : next;
}

// A result that the models are still at work on is looked at again.
if (document.querySelector("[data-again]")) setTimeout(() => location.reload(), AGAIN);

// A picture is dropped anywhere on the page, or pasted.
const drop = document.querySelector("[data-drop]");

function take(files, event) {
  const picture = [...files].find((file) => file.type.startsWith("image/"));
  if (!picture) return;
  event.preventDefault();
  const chosen = new DataTransfer();
  chosen.items.add(picture);
  drop.elements.picture.files = chosen.files;
  drop.requestSubmit();
}

if (drop) {
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  document.addEventListener("dragleave", () => drop.classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    take(event.dataTransfer.files, event);
  });
  document.addEventListener("paste", (event) => take(event.clipboardData.files, event));
}
