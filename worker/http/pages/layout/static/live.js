// Live progress of a job: server-sent events update the page, and its end loads the page again.
"use strict";
(() => {
  const panel = document.querySelector("[data-events]");
  if (!panel || !window.EventSource) return;
  const bar = panel.querySelector("progress");
  const text = panel.querySelector("[data-progress]");
  const source = new EventSource(panel.dataset.events);
  source.addEventListener("job", (event) => {
    const job = JSON.parse(event.data);
    if (job.status === "completed" || job.status === "failed") {
      source.close();
      location.reload();
      return;
    }
    bar.value = job.progress;
    text.textContent = `${job.status}${job.stage ? `, ${job.stage}` : ""}, ${job.progress} %`;
  });
})();
