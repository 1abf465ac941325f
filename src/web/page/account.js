// One account's card: how it is, and everything that it can be asked.

import { ask, pathOf } from "./api.js";
import { absolute, badge, how, isSetUp, outcome, refusal, relative, sentence, timeLeft, trouble } from "./words.js";

// Ways to sign in, the easiest first.
const WAYS = ["code", "password", "tokens"];
const VENDORS = { akuvox: "Akuvox", aqara: "Aqara" };

export class AccountCard {
  #account;
  #isBusy = false;
  #shown = {};

  /** `confirm(title, text, yes)` asks the person; it resolves to whether they are sure. */
  constructor(account, confirm) {
    this.#account = account;
    this.confirm = confirm;
    this.element = document.getElementById("account").content.cloneNode(true).firstElementChild;
    const title = this.#find("h2");
    title.textContent = account.name ?? account.entry_id;
    title.id = `account-${account.entry_id}`;
    this.element.setAttribute("aria-labelledby", title.id);
    this.#find(".vendor").textContent = VENDORS[account.vendor] ?? account.vendor;
    this.#find("progress").setAttribute("aria-label", `Time left of ${title.textContent}`);
    this.#setUpForms();
    this.element.addEventListener("click", (event) => {
      const button = event.target.closest("button[data-do]");
      if (button) this.#run(button, () => this.#do(button.dataset));
    });
    this.element.addEventListener("submit", (event) => {
      event.preventDefault();
      const form = event.target;
      this.#run(event.submitter ?? form.querySelector("button"), () => this.#submit(form));
    });
    this.update(account);
  }

  /** Whether it shows this account as it is configured. */
  isOf({ name, vendor, logs_in_by }) {
    const mine = this.#account;
    return mine.name === name && mine.vendor === vendor && String(mine.logs_in_by) === String(logs_in_by);
  }

  /** Takes a newer state. */
  update(state) {
    const before = this.#account.condition;
    this.#account = { ...this.#account, ...state };
    const { condition } = this.#account;
    const [kind, word] = badge(this.#account);
    this.#find(".badge").className = `badge ${kind}`;
    this.#say(".badge", word);
    this.#say(".sentence", sentence(this.#account));
    this.#find("[data-do=recall]").hidden = condition !== "missing";
    this.#find("[data-do=refresh]").hidden = condition === "missing";
    this.#find(".way.forget").hidden = condition === "missing";
    const needsLogin = condition === "missing" || condition === "reauth_required";
    if (needsLogin && (before !== condition || !this.element.isConnected)) this.#showTheWay();
    // What helps stands out.
    this.#find("[data-do=refresh]").classList.toggle("main", !needsLogin);
    this.#find("[data-do=login-code]").classList.toggle("main", needsLogin);
    this.tick();
  }

  /** Lets relative times go on. */
  tick() {
    const left = timeLeft(this.#account);
    this.#find(".left").hidden = !left;
    if (left) {
      this.#find("progress").hidden = left.part === undefined;
      this.#find("progress").value = left.part ?? 0;
      this.#say(".left p", left.words);
      this.#find(".left").title = this.#account.access_token_expires_at ? absolute(this.#account.access_token_expires_at) : "";
    }
    for (const place of this.element.querySelectorAll("[data-time]")) {
      const time = this.#account[place.dataset.time];
      if (!place.firstChild) place.append(document.createElement("time"), document.createElement("small"));
      const [shown, exact] = place.children;
      setText(shown, time ? relative(time) : "none");
      setText(exact, time ? absolute(time) : "");
      shown.dateTime = time ?? "";
      shown.title = time ? absolute(time) : "";
    }
  }

  /** Shows what can be acted on. */
  list({ doors, scenes }) {
    if (doors) this.#listTargets("doors", doors, "open");
    if (scenes) this.#listTargets("scenes", scenes, "trigger");
  }

  #listTargets(kind, targets, verb) {
    const text = JSON.stringify(targets);
    if (this.#shown[kind] === text) return;
    this.#shown[kind] = text;
    this.#find(`.${kind}`).hidden = targets.length === 0 && !(kind === "scenes" && this.#account.vendor === "aqara");
    const items = targets.map((target) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = verb === "open" ? `Open ${target.name}` : target.name;
      Object.assign(button.dataset, { do: verb, key: target.key, name: target.name });
      const item = document.createElement("li");
      item.append(button);
      return item;
    });
    this.#find(`.${kind} ul`).replaceChildren(...items);
  }

  #setUpForms() {
    const { entry_id, vendor } = this.#account;
    const isAkuvox = vendor === "akuvox";
    for (const way of WAYS) {
      const place = this.#find(`.way.${way}`);
      setText(place.querySelector(".how"), how(way, this.#account));
      setText(place.querySelector(".trouble"), trouble(way, this.#account));
      const isSet = isSetUp(way, this.#account);
      for (const part of place.querySelectorAll(".steps, .trouble")) part.hidden = !isSet;
    }
    // One of them is open at a time.
    for (const place of this.element.querySelectorAll(".way")) place.name = `way-of-${entry_id}`;
    this.#find(".way.password").hidden = !isAkuvox;
    // Akuvox's access token may come alone, or beside the others.
    for (const token of [".access", ".auth"]) this.#find(token).hidden = !isAkuvox;
    this.#find("[name=refresh_token]").required = !isAkuvox;
  }

  /** Shows the first way to sign in that is set up. */
  #showTheWay() {
    const way = WAYS.find((it) => isSetUp(it, this.#account));
    this.#find(".manage").open = true;
    this.#find(`.way.${way}`).open = true;
  }

  /** One thing at a time; a button that waits keeps its focus. */
  async #run(button, act) {
    if (this.#isBusy) return;
    this.#isBusy = true;
    button.setAttribute("aria-disabled", "true");
    this.#tell("wait", "Working …");
    try {
      const said = await act();
      this.#tell(said ? "well" : "wait", said ?? "");
    } catch (error) {
      if (error.hint === undefined) throw error;
      this.#tell("bad", refusal(error, this.#account));
      // The session has ended meanwhile.
      if (error.status === 401) this.element.dispatchEvent(new CustomEvent("signed-out", { bubbles: true }));
    } finally {
      button.removeAttribute("aria-disabled");
      this.#isBusy = false;
    }
  }

  async #do({ do: verb, key, name }) {
    const id = this.#account.entry_id;
    switch (verb) {
      case "refresh":
        await ask("POST", pathOf(id, "refresh"));
        return "Renewed.";
      case "trigger":
        await ask("POST", pathOf(id, "scenes", key, "trigger"));
        return `“${name}” was run.`;
      case "open":
        if (!(await this.#isSure(`Open ${name}?`, "It opens at once, wherever you are.", "Open it"))) return null;
        await ask("POST", pathOf(id, "doors", key, "open"));
        return `${name} was opened.`;
      case "scenes": {
        const { scenes } = await ask("GET", pathOf(id, "scenes"));
        this.list({ scenes });
        return scenes.length === 1 ? "There is one scene." : `There are ${scenes.length} scenes.`;
      }
      case "login-code":
        await ask("POST", pathOf(id, "login-code"));
        this.#find("[name=code]").focus();
        return "A code is on its way. It works once and for a few minutes: type it as Login code.";
      case "forget": {
        const text = "Latchkey stops renewing it. Everything that is held is laid aside, sealed; for 30 days you can bring it back.";
        if (!(await this.#isSure(`Forget the login of ${this.#find("h2").textContent}?`, text, "Forget it"))) return null;
        const { until } = await ask("POST", pathOf(id, "forget"));
        this.update({ condition: "missing" });
        this.#find("[data-do=recall]").focus();
        return until ? `Forgotten. It can be brought back until ${absolute(until)}.` : "There was nothing to forget.";
      }
      case "recall":
        await ask("POST", pathOf(id, "recall"));
        this.#find(".result").focus();
        return "Brought back.";
    }
  }

  async #submit(form) {
    const id = this.#account.entry_id;
    const fields = Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]).filter((it) => it[1]));
    // What was typed is gone from the page, whatever comes of it.
    form.reset();
    switch (form.dataset.do) {
      case "tokens": {
        const { prove, ...tokens } = fields;
        return outcome(await ask("PUT", pathOf(id, "tokens"), { ...tokens, prove: prove !== undefined }));
      }
      case "password":
        return signedIn(await ask("POST", pathOf(id, "login"), { password: fields.password, keep: fields.keep !== undefined }));
      case "code":
        return signedIn(await ask("POST", pathOf(id, "login"), { code: fields.code }));
    }
  }

  async #isSure(title, text, yes) {
    this.#tell("wait", "");
    const isSure = await this.confirm(title, text, yes);
    if (isSure) this.#tell("wait", "Working …");
    return isSure;
  }

  #tell(kind, text) {
    const result = this.#find(".result");
    result.className = `result ${kind}`;
    setText(result, text);
    // What acted may stand far below.
    if (text && kind !== "wait") result.scrollIntoView({ block: "nearest" });
  }

  #say(selector, text) {
    setText(this.#find(selector), text);
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }
}

/** Only news is written, so that screen readers stay quiet. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function signedIn({ has_refresh_token }) {
  return has_refresh_token ? "Signed in." : "Signed in. The vendor gave no refresh token, so this login lasts only as long as its access token.";
}
