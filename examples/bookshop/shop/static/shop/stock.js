// Shows the copies on the shelf as they change, whichever process sells one. EventSource connects again after a loss.
const shown = document.querySelector("[data-stream]");
const live = document.querySelector("[data-live]");
const stream = new EventSource(shown.dataset.stream);
stream.addEventListener("stock", (event) => {
  shown.textContent = JSON.parse(event.data).quantity;
  live.hidden = false;
});
stream.addEventListener("error", () => {
  live.hidden = true;
});
addEventListener("pagehide", () => stream.close());
