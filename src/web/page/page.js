// The page: a sign-in, then the accounts and what happens, live.

import { AccountCard } from "./account.js";
import { ask, Refused } from "./api.js";
import { absolute, clockTime, eventSentence } from "./words.js";

const MOST_EVENTS = 50;
const TRY_AGAIN_AFTER = 3000;

const find = (id) => document.getElementById(id);
const cards = new Map();
const names = new Map();
let stream;
let retry;

/** Shows the accounts, or the sign-in where there is no session. */
async function open() {
  clearTimeout(retry);
  try {
    const { by } = await ask("GET", "v1/session");
    const { accounts } = await ask("GET", "v1/accounts");
    show(by);
    showAccounts(accounts);
    listen();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.status === 401) return showSignIn();
    find("link").textContent = `${error.message}. ${error.hint}`;
    retry = setTimeout(open, TRY_AGAIN_AFTER);
  }
}

function showAccounts(accounts) {
  for (const [id, card] of cards) {
    // What is configured otherwise gets a card of its own.
    if (accounts.some((it) => it.entry_id === id && card.isOf(it))) continue;
    card.element.remove();
    cards.delete(id);
  }
  const list = find("accounts");
  accounts.forEach((account, place) => {
    names.set(account.entry_id, account.name ?? account.entry_id);
    if (!cards.has(account.entry_id)) cards.set(account.entry_id, new AccountCard(account, confirm));
    const card = cards.get(account.entry_id);
    card.update(account);
    // What is in its place is not moved: it would lose the focus.
    if (list.children[place] !== card.element) list.insertBefore(card.element, list.children[place] ?? null);
  });
}

function showSignIn() {
  stream?.close();
  cards.clear();
  find("accounts").replaceChildren();
  find("events").querySelector("ol").replaceChildren();
  find("link").textContent = "";
  show(null);
  find("sign-in").elements.key.focus();
}

/** `by`: what let us in, null where nothing did. */
function show(by) {
  find("sign-in").hidden = by !== null;
  find("events").hidden = by === null;
  // Whom Home Assistant lets in is signed out there.
  find("sign-out").hidden = by !== "session";
}

/** Hears what changes. A browser tries again by itself, unless it was refused. */
function listen() {
  stream?.close();
  stream = new EventSource("v1/events");
  const heard = (name, act) => stream.addEventListener(name, (event) => act(JSON.parse(event.data)));
  stream.onopen = () => (find("link").textContent = "Live");
  stream.onerror = () => {
    find("link").textContent = "The connection is lost. Trying again …";
    if (stream.readyState === EventSource.CLOSED) retry = setTimeout(open, TRY_AGAIN_AFTER);
  };
  heard("state", (state) => cards.get(state.entry_id)?.update(state));
  heard("inventory", (inventory) => cards.get(inventory.entry_id)?.list(inventory));
  heard("event", note);
  // The stream that is opened anew tells what the new accounts can act on.
  heard("accounts", open);
  heard("past", ({ events }) => {
    // What is past is not announced.
    const log = find("events").querySelector("[role=log]");
    log.setAttribute("aria-live", "off");
    log.querySelector("ol").replaceChildren();
    events.forEach(note);
    requestAnimationFrame(() => log.removeAttribute("aria-live"));
  });
}

function note(event) {
  const time = document.createElement("time");
  Object.assign(time, { dateTime: event.at, title: absolute(event.at), textContent: clockTime(event.at) });
  const item = document.createElement("li");
  item.append(time, ` ${names.get(event.entry_id) ?? event.entry_id}: ${eventSentence(event)}`);
  const list = find("events").querySelector("ol");
  list.prepend(item);
  while (MOST_EVENTS < list.children.length) list.lastElementChild.remove();
  find("events").querySelector(".quiet").hidden = true;
}

/** Asks whether the person is sure. */
function confirm(title, text, yes) {
  const dialog = find("confirm");
  find("confirm-title").textContent = title;
  find("confirm-text").textContent = text;
  dialog.querySelector("[value=yes]").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  dialog.querySelector("[value=no]").focus();
  return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true }));
}

find("confirm").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) find("confirm").close(button.value);
});

find("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = find("sign-in");
  const result = form.querySelector(".result");
  const key = form.elements.key.value.trim();
  form.reset();
  result.textContent = "";
  result.className = "result bad";
  // What cannot stand in a header is no key.
  if (!/^[!-~]+$/.test(key)) return void (result.textContent = "That is not the key: it has no blanks and no other signs.");
  try {
    await ask("POST", "v1/session", undefined, { "X-Latchkey-Key": key });
    await open();
    find("main").focus();
  } catch (error) {
    result.textContent = error.status === 401 ? "That is not the key." : `${error.message}. ${error.hint}`;
    form.elements.key.focus();
  }
});

find("sign-out").addEventListener("click", async () => {
  try {
    await ask("DELETE", "v1/session");
  } finally {
    showSignIn();
  }
});

find("accounts").addEventListener("signed-out", showSignIn);

setInterval(() => cards.forEach((card) => card.tick()), 1000);
open();
