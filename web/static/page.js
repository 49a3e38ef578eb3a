// Renews what is live on a page. Everything else works without this file.
"use strict";
const live = document.querySelector("[data-live]");
const EVERY = 5000;

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

// "/" goes to the search field; arrows walk through a grid.
document.addEventListener("keydown", (event) => {
  const field = document.activeElement;
  const typing = field && (field.tagName === "INPUT" || field.tagName === "TEXTAREA");
  if (event.key === "/" && !typing) {
    const input = document.querySelector("[data-focus]");
    if (input) {
      event.preventDefault();
      input.focus();
    }
    return;
  }
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (typing || !step) return;
  const links = [...document.querySelectorAll(".grid a:not(.more)")];
  const next = links[links.indexOf(field) + step] || (links.includes(field) ? null : links[0]);
  if (next) {
    event.preventDefault();
    next.focus();
  }
});
