// The admin API, by the session's cookie. Addresses are relative: they hold below any path prefix.

/** Why something was not done: `message` and `hint` are plain sentences. */
export class Refused extends Error {
  constructor(status, { code, message, hint }) {
    super(message);
    Object.assign(this, { status, code, hint });
  }
}

const UNREACHABLE = { code: "page_offline", message: "Latchkey did not answer", hint: "See whether it runs, and whether this device is in its network." };

// How far Latchkey's clock is ahead of this browser's, in milliseconds.
let skew = 0;

/** Now, by the clock that the times of the API are from. */
export const now = () => Date.now() + skew;

/** Sends a request, and gives the `data` of the reply. Throws `Refused`. */
export async function ask(method, path, body, headers = {}) {
  let response, reply;
  try {
    response = await fetch(path, {
      method,
      headers: { "X-Latchkey-Page": "1", ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      cache: "no-store",
    });
    reply = await response.json();
  } catch {
    throw new Refused(0, UNREACHABLE);
  }
  const ahead = Date.parse(response.headers.get("date")) - Date.now();
  skew = Math.abs(ahead) < 5000 || Number.isNaN(ahead) ? 0 : ahead;
  if (reply.status === "ok") return reply.data;
  throw new Refused(response.status, reply.error ?? UNREACHABLE);
}

/** The path of something of an account. */
export const pathOf = (id, ...parts) => ["v1/accounts", id, ...parts].map((it, n) => (n ? encodeURIComponent(it) : it)).join("/");
