// Shows what the "When" box means while somebody types. The page works without it: "Preview" does the same.
(() => {
  "use strict";
  const form = document.getElementById("schedule_form");
  const place = document.getElementById("preview");
  if (!form || !place) return;
  const names = ["when", "dialect", "timezone", "gap", "repeat", "name", "start_time", "expires"];
  let timer = 0;
  let asked = 0;

  async function show() {
    const number = ++asked;
    const query = new URLSearchParams();
    for (const name of names) query.set(name, form.elements[name]?.value ?? "");
    try {
      const answer = await fetch(`${form.dataset.preview}?${query}`, { credentials: "same-origin" });
      // The server escapes what was typed; an answer that was overtaken by a newer one is dropped.
      if (answer.ok && !answer.redirected && number === asked) place.innerHTML = await answer.text();
    } catch {
      // No answer: what is shown stays.
    }
  }

  for (const name of names) {
    form.elements[name]?.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(show, 250);
    });
  }
})();
