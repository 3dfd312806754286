import { useSyncExternalStore } from "react"

/** What Auth's token endpoint answers, as far as Kestrel uses it. */
export type Session = {
  access_token: string
  refresh_token: string
  user: { id: string; email: string; factors?: { id: string; factor_type: string; status: string }[] }
}

const key = "kestrel.session"
const listeners = new Set<() => void>()

export function readSession(): Session | null {
  const stored = sessionStorage.getItem(key)
  return stored ? (JSON.parse(stored) as Session) : null
}

export function writeSession(session: Session | null) {
  if (session) sessionStorage.setItem(key, JSON.stringify(session))
  else sessionStorage.removeItem(key)
  for (const listener of listeners) listener()
}

function subscribe(listener: () => void) {
  listeners.add(listener)
  return () => listeners.delete(listener)
}

/** The e-mail of the signed-in person, or undefined. */
export function useSignedIn(): string | undefined {
  return useSyncExternalStore(subscribe, () => readSession()?.user.email)
}
