// What the page says, in plain sentences.

import { now } from "./api.js";

const BADGES = {
  ok: ["well", "✓ Well"],
  expiring: ["wait", "… Renewal overdue"],
  expired: ["bad", "! Ended"],
  in_doubt: ["wait", "? In doubt"],
  missing: ["bad", "! Not signed in"],
  reauth_required: ["bad", "! Sign in again"],
  config_fault: ["bad", "! Configuration fault"],
  blocked: ["bad", "! Blocked"],
};

const SENTENCES = {
  ok: "Signed in. Latchkey renews this login by itself.",
  expiring: "The login works, and its renewal is overdue. Latchkey keeps trying by itself.",
  in_doubt: "The reply to a renewal was lost. Latchkey tries again by itself; nothing has to be done yet.",
};

const EVENTS = {
  refreshed: "renewed",
  refresh_failed: "a renewal failed; nothing is lost",
  in_doubt: "the reply to a renewal was lost; it is tried again",
  reauth_required: "somebody has to sign in again",
  tokens_updated: "new tokens are in use",
  update_refused: "new tokens were refused; the old ones stay",
  recovered: "well again",
  config_fault: "the application's keys or region are refused",
  unreadable_answer: "an answer could not be read; it is kept",
  code_requested: "a login code is on its way",
  logged_in: "signed in",
  forgotten: "forgotten; it can be brought back for 30 days",
  recalled: "brought back",
  store_mended: "files of the store were damaged, and are mended: nothing is lost",
  store_damaged: "files of the store were damaged, and the newest tokens may be gone: those that are left are tried",
};

const RENEWALS = ["refreshed", "refresh_failed", "in_doubt"];

const BY = {
  schedule: "by schedule",
  command: "on request",
  update: "to prove new tokens",
  call: "for a call",
  start: "found at the start",
};

const OUTCOMES = {
  proved: "The tokens work: they were renewed at once.",
  adopted: "The tokens are in use. They were not proved.",
  unchanged: "These tokens are in use already.",
  pending: "The tokens are kept, and tried as soon as the cloud can be asked.",
};

export const badge = (account) => BADGES[account.condition] ?? ["wait", account.condition];

/** How an account is. */
export function sentence(account) {
  if (account.advice) return plain(account.advice);
  const said = SENTENCES[account.condition] ?? "";
  return account.cloud === "OFF" ? `${said} Its cloud cannot be reached at the moment.` : said;
}

/** What happened, and of a renewal by whose doing. */
export function eventSentence({ event_type, by }) {
  const said = EVENTS[event_type] ?? event_type;
  return RENEWALS.includes(event_type) && BY[by] ? `${said}, ${BY[by]}` : said;
}

export const outcome = (data) => OUTCOMES[data.outcome] ?? `The tokens were taken (${data.outcome}).`;

/** Why something was not done to `account`, and the mend. */
export function refusal(error, account) {
  const text = error.message.replace(`${account.entry_id}: `, "");
  return `Not done: ${text}. ${plain(error.hint ?? "")}`;
}

/** Commands by the names that they have on this page. */
function plain(text) {
  return text.replaceAll("update_tokens", "“Paste tokens”").replaceAll("Send request_login_code again", "Request a login code again");
}

/** Whether a way to sign in can be gone. */
export const isSetUp = (way, { logs_in_by }) => way === "tokens" || logs_in_by.includes(way);

const HOW = {
  akuvox: {
    code: "A code comes by SMS to the configured number. Signing in puts the phone's app out, so use a login of Latchkey's own.",
    password: "For the login of a family member that is Latchkey's own.",
    tokens: "The access token and the refresh token of one login, together. They are not shown again.",
  },
  aqara: {
    code: "A code comes to the configured Aqara account, by e-mail or SMS.",
    tokens: "The refresh token alone is enough. It is not shown again.",
  },
};

const TROUBLE = {
  akuvox: {
    code: "No SMS after two minutes? Check the number in the configuration, then request another code. A code works once and for a few minutes.",
    password: "Refused? Sign in with the same name and password in the SmartPlus app; then compare “user” in the configuration.",
    tokens: "Refused? The tokens that were there before stay. Take both from one and the same login, and sign the app out of it.",
  },
  aqara: {
    code: "Nothing after two minutes? Look in the spam, then request another code. A code works once and for ten minutes.",
    tokens: "Refused? The token that was there before stays. Get a new one at developer.aqara.com: Authorization Management, Authorization Details.",
  },
};

const SET_UP = {
  akuvox: { code: "“dial_code” and “phone”", password: "“user”" },
  aqara: { code: "“login”" },
};

/** How to sign in by a way, or what it lacks. */
export function how(way, account) {
  if (isSetUp(way, account)) return HOW[account.vendor]?.[way] ?? "";
  return `Not set up: configure ${SET_UP[account.vendor]?.[way] ?? "it"} for this account, then restart Latchkey.`;
}

/** What to do where it does not work. */
export const trouble = (way, account) => TROUBLE[account.vendor]?.[way] ?? "";

const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];

/** `5 days`, `90 seconds`: the largest unit of which there are two or more. */
export function span(milliseconds) {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const [unit, size] = UNITS.find((it) => 2 * it[1] <= seconds) ?? UNITS[3];
  const n = Math.round(seconds / size);
  return `${n} ${unit}${n === 1 ? "" : "s"}`;
}

/** `in 5 days`, `2 minutes ago`. */
export function relative(time) {
  const left = Date.parse(time) - now();
  if (Math.abs(left) < 1500) return "now";
  return left < 0 ? `${span(-left)} ago` : `in ${span(left)}`;
}

export const absolute = (time) => new Date(time).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

/** The time of day, with the day where it is another. */
export function clockTime(time) {
  const date = new Date(time);
  const isToday = date.toDateString() === new Date(now()).toDateString();
  return isToday ? date.toLocaleTimeString() : absolute(time);
}

/** The time that an access token has left: how much of the whole, and in words. None where nobody knows. */
export function timeLeft(account) {
  const end = account.access_token_expires_at;
  if (!end) return account.access_token_status === "cached_no_expiry" ? { words: "The access token has no known end." } : null;
  const left = Date.parse(end) - now();
  if (left <= 0) return { part: 0, words: `The access token ended ${relative(end)}.` };
  const start = account.last_refresh_at ?? account.refresh_token_updated_at;
  const whole = start ? Date.parse(end) - Date.parse(start) : left;
  return { part: Math.min(1, left / Math.max(whole, left)), words: `${span(left)} left of ${span(whole)}` };
}
