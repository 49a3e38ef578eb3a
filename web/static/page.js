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
