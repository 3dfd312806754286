import { api } from "./api"
import { type Session, writeSession } from "./session"

/** What a link from an e-mail asks for: a new password, nothing more than a sign-in, or it did not work. */
export type Arrival = { kind: "password" } | { kind: "none" } | { kind: "failed"; reason: string }

/**
 * Takes up a link from one of Auth's e-mails: tokens in the fragment (Auth verified the link itself and redirected
 * here), or a token_hash in the query, which we verify. Either is wiped from the address bar at once.
 */
export async function arrive(): Promise<Arrival> {
  const fragment = new URLSearchParams(location.hash.slice(1))
  const query = new URLSearchParams(location.search)
  const reason = fragment.get("error_description") ?? query.get("error_description")
  const access_token = fragment.get("access_token")
  const token_hash = query.get("token_hash")
  const type = fragment.get("type") ?? query.get("type")
  if (!reason && !access_token && !token_hash) return { kind: "none" }
  history.replaceState(null, "", location.pathname)
  if (reason) return { kind: "failed", reason }
  try {
    // Whoever was signed in before does not lend the link their session.
    writeSession(null)
    if (access_token) {
      const user = await api<Session["user"]>("/auth/v1/user", {
        headers: { Authorization: `Bearer ${access_token}` },
      })
      writeSession({ access_token, refresh_token: fragment.get("refresh_token") ?? "", user })
    } else {
      writeSession(await api<Session>("/auth/v1/verify", { body: { type, token_hash } }))
    }
  } catch (error) {
    return { kind: "failed", reason: error instanceof Error ? error.message : String(error) }
  }
  return type === "recovery" || type === "invite" ? { kind: "password" } : { kind: "none" }
}

/** The token of an invitation's link, if one led here; it is wiped from the address bar and ends who was signed in. */
export function invited(): string | undefined {
  const token = new URLSearchParams(location.search).get("token")
  if (location.pathname !== "/accept-invite" || !token) return undefined
  history.replaceState(null, "", "/")
  writeSession(null)
  return token
}
