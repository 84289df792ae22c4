// Parts of a page that change: every few seconds the page that they name is fetched, and each is replaced where it differs.
// A part that has no mark any more is replaced a last time. Where one is gone, the page is another one, and is opened.
"use strict";
(() => {
  const PAUSE = 2000;
  const isInUse = (part) => part.contains(document.activeElement) || part.querySelector("details[open]");
  const replace = (part, fetched) => {
    const next = fetched.getElementById(part.id);
    if (!next) return false;
    if (!("refresh" in next.dataset)) delete part.dataset.refresh;
    if (next.innerHTML !== part.innerHTML) part.innerHTML = next.innerHTML;
    return true;
  };
  const refresh = async () => {
    const parts = [...document.querySelectorAll("[data-refresh]")];
    if (!parts.length) return;
    if (document.visibilityState === "visible" && !parts.some(isInUse)) {
      const address = parts[0].dataset.refresh;
      const answer = await fetch(address, { headers: { Accept: "text/html" } }).catch(() => null);
      const fetched = answer && answer.ok ? new DOMParser().parseFromString(await answer.text(), "text/html") : null;
      if (fetched && !parts.every((part) => replace(part, fetched))) {
        location.assign(address);
        return;
      }
    }
    setTimeout(refresh, PAUSE);
  };
  setTimeout(refresh, PAUSE);
})();
