// What the portal's pages do by themselves. Every page works without it: what needs it
// is not shown by browsers that run no scripts.
"use strict";
(() => {
  const one = (root, selector, act) => root.querySelectorAll(selector).forEach(act);

  // Runs for the page, and for each part of it that htmx puts in place.
  function ready(root) {
    one(root, "time[data-local]", (e) => {
      const at = new Date(e.dateTime);
      e.title = [e.title, at.toLocaleString(document.documentElement.lang, { dateStyle: "medium", timeStyle: "long" })].filter(Boolean).join("\n");
    });
    one(root, "[data-focus]", (e) => e.focus());
    one(root, "textarea[data-inspect]", inspect);
  }

  // Secrets are covered, by the stylesheet, until somebody asks for them.
  function reveal(field, shown) {
    const button = field.querySelector("[data-reveal]");
    field.classList.toggle("is-shown", shown);
    button.textContent = shown ? button.dataset.conceal : button.dataset.reveal;
    button.setAttribute("aria-pressed", String(shown));
  }

  const speaker = document.createElement("p");
  speaker.className = "visually-hidden";
  speaker.setAttribute("role", "status");
  document.body.append(speaker);

  // Copies, and says so to those who see and to those who listen.
  async function copy(button) {
    try {
      await navigator.clipboard.writeText(button.dataset.copy);
    } catch {
      return select(button.parentElement.querySelector("code") || button);
    }
    speaker.textContent = button.dataset.copied;
    if (button.classList.contains("copy") && !button.dataset.label) {
      button.dataset.label = button.textContent;
      button.style.setProperty("min-inline-size", button.offsetWidth + "px");
      button.textContent = button.dataset.copied;
      button.classList.add("is-done");
      setTimeout(() => {
        button.textContent = button.dataset.label;
        button.classList.remove("is-done");
        delete button.dataset.label;
        speaker.textContent = "";
      }, 2000);
    }
  }

  // Where copying is not allowed, the text is selected for the keyboard.
  function select(element) {
    const range = document.createRange();
    range.selectNodeContents(element);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.copy) copy(button);
    if (button.dataset.reveal) reveal(button.closest("[data-secret]"), button.getAttribute("aria-pressed") !== "true");
    if (button.dataset.fill) {
      const field = document.getElementById(button.dataset.fill);
      field.value = button.dataset.value;
      field.dispatchEvent(new Event("change", { bubbles: true }));
    }
  });

  // Leaving a page with something that is shown once asks once, until it is confirmed.
  let guarded = document.querySelector("[data-guard]") !== null;
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-stored]")) guarded = !event.target.checked;
    picked();
  });
  document.addEventListener("submit", (event) => { if (event.target.matches("[data-stored-form]")) guarded = false; });
  addEventListener("beforeunload", (event) => { if (guarded) event.preventDefault(); });

  // The summary names what is ticked, while it is ticked.
  function picked() {
    if (!document.querySelector("[data-pick-name]")) return;
    one(document, "[data-picked]", (e) => {
      const names = [...document.querySelectorAll("[data-pick-name]:checked")].map((box) => box.dataset.pickName);
      e.textContent = names.length ? names.join(", ") : e.dataset.none;
    });
  }

  // A word about pasted text before it is sent: the server inspects it, and says what
  // key it holds and for whom. A file can be dropped on the field. The text of a private key
// is not sent anywhere.
  function inspect(area) {
    const out = document.querySelector(`[data-inspection="${area.id}"]`);
    const address = area.form.dataset.inspect;
    if (!out || !address) return;
    area.addEventListener("dragover", (event) => event.preventDefault());
    area.addEventListener("drop", async (event) => {
      const file = event.dataTransfer.files[0];
      if (!file || file.size > area.maxLength) return;
      event.preventDefault();
      area.value = await file.text();
      area.dispatchEvent(new Event("input", { bubbles: true }));
    });
    let last = 0;
    area.addEventListener("input", async () => {
      const turn = ++last;
      const text = area.value.trim();
      if (text === "") return out.replaceChildren();
      if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
        area.value = "";
        out.textContent = area.form.dataset.privateKey;
        return;
      }
      const answer = await fetch(address, { method: "POST", body: new URLSearchParams({ [area.name]: text }) }).catch(() => null);
      if (turn !== last || !answer || !answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      out.replaceChildren(...page.body.childNodes);
    });
  }

  // A passkey fills a form in: the browser asks its holder, and what it answers is sent.
  document.addEventListener("submit", async (event) => {
    const form = event.target.closest("form[data-passkey]");
    if (!form || form.elements.passkey.value) return;
    event.preventDefault();
    const failed = form.querySelector("[data-passkey-error]");
    failed.hidden = true;
    try {
      const answer = await fetch(form.dataset.options, { method: "POST" });
      const { publicKey } = await answer.json();
      const credential = form.dataset.passkey === "create"
        ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(publicKey) })
        : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(publicKey) });
      form.elements.passkey.value = JSON.stringify(credential.toJSON());
      form.submit();
    } catch {
      failed.textContent = form.dataset.failed;
      failed.hidden = false;
    }
  });

  // A form whose button waits until it is complete: every required box, and one of the
  // named fields.
  for (const mark of document.querySelectorAll("[data-complete]")) {
    const form = mark.closest("form");
    const either = mark.dataset.complete.split(" ").map((name) => form.elements[name]);
    const check = () => {
      const ticked = [...form.querySelectorAll("input[type=checkbox][required]")].every((box) => box.checked);
      const given = either.some((field) => field.type === "checkbox" ? field.checked : field.value.trim() !== "");
      form.querySelector("button[type=submit]").disabled = !(ticked && given);
    };
    form.addEventListener("input", check);
    check();
  }

  document.addEventListener("htmx:afterSwap", (event) => ready(event.target));
  document.addEventListener("portal:placed", (event) => ready(event.detail));
  ready(document);
  picked();
})();
