// Everything works without this; it makes long work live and short work quicker.
(() => {
  "use strict";
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // A part of the page that the server renders anew.
  const part = (html) => {
    const holder = document.createElement("template");
    holder.innerHTML = html;
    return holder.content;
  };

  // Selects that only choose what is shown need no button.
  for (const select of all("[data-submit]")) {
    const button = select.form.querySelector("button");
    if (button && !select.form.querySelector("[type=search]")) button.hidden = true;
    select.addEventListener("change", () => select.form.submit());
  }
  for (const one of all("[data-no-script]")) one.hidden = true;
  for (const one of all("[data-print]")) {
    one.hidden = false;
    one.addEventListener("click", () => print());
  }

  // Copy buttons.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const text = button.parentElement.querySelector("code").textContent;
    try {
      await navigator.clipboard.writeText(text);
      const word = button.textContent;
      button.textContent = "✓";
      setTimeout(() => { button.textContent = word; }, 1500);
    } catch {
      getSelection().selectAllChildren(button.parentElement.querySelector("code"));
    }
  });

  // A list as text, line by line.
  for (const button of all("[data-copy-list]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const list = document.querySelector(button.dataset.copyList);
      try {
        await navigator.clipboard.writeText([...list.children].map((line) => line.textContent).join("\n"));
        const word = button.textContent;
        button.textContent = "✓";
        setTimeout(() => { button.textContent = word; }, 1500);
      } catch {
        getSelection().selectAllChildren(list);
      }
    });
  }

  // Menus close on a click elsewhere and on Escape.
  document.addEventListener("click", (event) => {
    for (const menu of all("details.menu[open], details.cli[open]")) if (!menu.contains(event.target)) menu.open = false;
  });

  // Lists that stay true while they are looked at.
  for (const place of all("[data-refresh]")) {
    const refresh = async () => {
      // What somebody is about to press must not move under the finger.
      if (document.hidden || place.contains(document.activeElement)) return;
      try {
        const answer = await fetch(place.dataset.refresh, { headers: { "x-part": "1" } });
        if (!answer.ok || answer.redirected) return;
        for (const fresh of all("template[data-part]", part(await answer.text()))) {
          const old = place.querySelector(`[data-part="${fresh.dataset.part}"]`);
          const next = fresh.content.firstElementChild;
          if (old && next && old.outerHTML !== next.outerHTML) old.replaceWith(next);
        }
      } catch { /* the next one may work */ }
    };
    setInterval(refresh, 1000 * Number(place.dataset.every));
  }

  // A run, live. The browser itself reconnects and names the last line it has seen.
  for (const panel of all("[data-live]")) {
    const log = document.getElementById("log");
    const rates = [];
    let before = null;
    const source = new EventSource(panel.dataset.live);
    const show = (event) => {
      panel.replaceChildren(part(event.data));
      const meters = panel.querySelector("[data-bytes]");
      const now = { at: performance.now(), bytes: Number(meters.dataset.bytes) };
      if (before && now.at > before.at) rates.push((now.bytes - before.bytes) / (now.at - before.at));
      before = now;
      if (rates.length > 1) {
        const shown = rates.slice(-60);
        const top = Math.max(...shown) || 1;
        const points = shown.map((rate, at) => `${(at * 220) / (shown.length - 1)},${42 - (40 * rate) / top}`).join(" ");
        const graph = document.createElementNS("http://www.w3.org/2000/svg", "svg");
        graph.setAttribute("class", "rate-graph");
        graph.setAttribute("viewBox", "0 0 220 44");
        graph.setAttribute("preserveAspectRatio", "none");
        graph.setAttribute("aria-hidden", "true");
        const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
        line.setAttribute("points", points);
        graph.append(line);
        meters.append(graph);
      }
    };
    source.addEventListener("panel", show);
    source.addEventListener("log", (event) => {
      if (!("tail" in log.dataset)) return;
      const low = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
      let seen = log.lastElementChild ? Number(log.lastElementChild.dataset.seq) : 0;
      for (const line of all("li", part(event.data))) {
        // After a reconnection a line may come twice.
        if (Number(line.dataset.seq) > seen) { log.append(line); seen = Number(line.dataset.seq); }
      }
      // What is far above is on the pages before.
      while (log.childElementCount > 5000) log.firstElementChild.remove();
      for (const note of all('[data-empty="#log"]')) note.hidden = true;
      if (low) log.scrollTop = log.scrollHeight;
    });
    source.addEventListener("end", (event) => {
      source.close();
      show(event);
      // Screen readers hear the end, not every step.
      const said = panel.querySelector(".mark");
      if (said) said.setAttribute("role", "status");
    });
  }

  // Forms that show what they come to, and try what they are given. `form.action` is no address
  // here: the buttons are called that.
  for (const form of all("form[data-preview]")) {
    const secrets = (root) => all("input[type=password]", root);
    const ask = async (action, place, busy) => {
      const fields = new FormData(form);
      fields.set("action", action);
      // No more of a secret than that there is one.
      if (action === form.dataset.preview) for (const one of secrets(form)) fields.set(one.name, one.value && "*");
      else if (action !== "test") for (const one of secrets(form)) fields.delete(one.name);
      const focused = document.activeElement.id;
      if (busy) busy.disabled = true;
      try {
        const answer = await fetch(form.getAttribute("action"), { method: "POST", body: new URLSearchParams(fields), headers: { "x-part": "1" } });
        if (answer.ok) {
          // Secrets are not sent back: what was typed stays here.
          const typed = secrets(place).map((one) => [one.name, one.value]);
          const fresh = part(await answer.text());
          const again = fresh.querySelector("[data-again]");
          if (again) again.hidden = false;
          // What stays as it is is not read out again.
          const holder = document.createElement("div");
          holder.append(fresh.cloneNode(true));
          const open = place.querySelector("details.cli[open]");
          if (open) open.open = false;
          if (holder.innerHTML !== place.innerHTML) place.replaceChildren(fresh);
          if (open) place.querySelector("details.cli").open = true;
          if (again) wait(action, place, 1000 * Number(again.dataset.again));
          for (const [name, value] of typed) for (const one of secrets(place)) if (one.name === name) one.value = value;
          for (const one of all("[data-no-script]", place)) one.hidden = true;
          if (focused && document.activeElement === document.body) (document.getElementById(focused) || place.querySelector("button:not([hidden])")).focus();
        }
      } catch { /* the button without script still works */ }
      if (busy) busy.disabled = false;
    };
    // What does not answer yet is asked again, until it does or somebody goes on.
    let waiting;
    let tries = 0;
    const wait = (action, place, time) => {
      clearTimeout(waiting);
      if (++tries > 100) return;
      waiting = setTimeout(() => { if (document.hidden) wait(action, place, time); else ask(action, place); }, time);
    };
    let timer;
    form.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => ask(form.dataset.preview, document.querySelector(form.dataset.previewInto)), 350);
    });
    form.addEventListener("click", (event) => {
      const button = event.target.closest("[data-part-into]");
      if (!button) return;
      event.preventDefault();
      clearTimeout(waiting);
      tries = 0;
      ask(button.value, document.querySelector(button.dataset.partInto), button);
    });
    // A choice that changes the fields below it.
    form.addEventListener("change", (event) => {
      if (event.target.matches("[data-press]")) event.target.parentElement.querySelector("button").click();
    });
  }

  // Keys.
  const places = { o: "/", r: "/runs", s: "/snapshots", d: "/destinations", a: "/alerts", t: "/settings" };
  let went = false;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") for (const menu of all("details.menu[open], details.cli[open]")) menu.open = false;
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    if (went && places[event.key]) { location.href = places[event.key]; return; }
    went = event.key === "g";
    const search = document.querySelector("[data-search]");
    if (event.key === "/" && search) { event.preventDefault(); search.focus(); }
    const keys = document.getElementById("keys");
    if (event.key === "?" && keys) keys.showModal();
  });
})();
