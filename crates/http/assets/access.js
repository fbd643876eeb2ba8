// The token that this page asks with, and what it says when the hub wants one.
//
// The token stands in its field and in the stream that was opened with it; in the browser's store only if that is ticked. It
// never gets into a URL, a line to copy, a message or the console.

const KEPT_AS = "tidewire.playground.token";

const element = (id) => document.getElementById(id);

/** RFC 6750, section 2.1: what a header can carry. Anything else would not even be sent. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;

/** What was pasted, without the space and the `Bearer` that come along. */
export const token = () => element("token").value.trim().replace(/^Bearer\s+/i, "");

export const hasToken = () => token() !== "";

/** Why it cannot be sent, or null. */
export function tokenFault() {
  if (!hasToken() || TOKEN.test(token())) return null;
  return "What stands in the token field is no token: it has a space or a character that no token has. Paste the token alone.";
}

export const authorization = (token) => (token ? { Authorization: `Bearer ${token}` } : {});

/** Whether this tab may keep the token, and so what came by it, over a reload. */
export const isKept = () => element("keep-token").checked;

function keep() {
  try {
    if (isKept() && hasToken() && !tokenFault()) sessionStorage.setItem(KEPT_AS, token());
    else sessionStorage.removeItem(KEPT_AS);
  } catch {
    // A browser that keeps nothing.
    element("keep-token").checked = false;
  }
}

function restore() {
  try {
    element("token").value = sessionStorage.getItem(KEPT_AS) ?? "";
  } catch {
    element("token").value = "";
  }
  element("keep-token").checked = hasToken();
  element("access").open = hasToken();
}

/** What to do about a refusal, beside its own sentence. `verb` is what was asked for; `wasSent`: with a token. */
export function showWanted(verb, wasSent) {
  element("access").open = true;
  element("wanted").textContent = wasSent
    ? `The hub does not let this token ${verb} here. A token that may do everything is made by:`
    : `The hub wants a token to ${verb}. Where its key file is, this makes one:`;
  // Never under the hands of whoever is typing elsewhere.
  if (!document.activeElement?.matches("input, textarea, select")) element("token").focus();
}

export function showNotWanted() {
  element("wanted").textContent = "Where the hub's key file is, this makes a token that may do everything:";
}

/** `onChange` when another token stands there, `onForget` when there is to be none. */
export function beginAccess({ onChange, onForget }) {
  restore();
  showNotWanted();
  element("token").addEventListener("input", () => {
    keep();
    onChange();
  });
  element("keep-token").addEventListener("change", keep);
  element("forget-button").addEventListener("click", () => {
    element("token").value = "";
    element("keep-token").checked = false;
    keep();
    showNotWanted();
    onForget();
  });
}
