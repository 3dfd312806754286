import { readSession, type Session, writeSession } from "./session"

/** An answer that is not a success: RFC 9457 problem+json, or Auth's own shape. Its message may be shown. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly code = "",
    readonly requestId = "",
    /** What is wrong with single fields, by field name. */
    readonly fields: Record<string, string> = {},
  ) {
    super(message)
  }
}

export type Page<T> = { items: T[]; next: string | null }

type Options = { method?: string; body?: unknown; headers?: Record<string, string> }

/**
 * The one way to the server: same origin, JSON both ways, the session's token. An expired token is renewed once;
 * where that fails the session ends. Throws a Problem, or a TypeError when the server cannot be reached.
 */
export async function api<T>(path: string, options: Options = {}): Promise<T> {
  const session = readSession()
  const response = await send(path, options, session?.access_token)
  if (response.status !== 401 || !session) return decode<T>(response)
  const renewed = await renew(session)
  if (!renewed) return decode<T>(response)
  return decode<T>(await send(path, options, renewed.access_token))
}

export async function signIn(email: string, password: string) {
  writeSession(await decode(await grant("password", { email, password })))
}

export async function signOut() {
  const session = readSession()
  writeSession(null)
  if (session) await send("/auth/v1/logout?scope=local", { method: "POST" }, session.access_token)
}

let renewal: Promise<Session | null> | undefined

/** Renews once for all requests that find the token expired together: a refresh token works only once. */
function renew(session: Session): Promise<Session | null> {
  renewal ??= grant("refresh_token", { refresh_token: session.refresh_token })
    .then((response) => decode<Session>(response))
    .catch((error: unknown) => {
      if (error instanceof Problem) return null
      throw error
    })
    .then((renewed) => {
      writeSession(renewed)
      return renewed
    })
    .finally(() => {
      renewal = undefined
    })
  return renewal
}

function grant(type: string, body: unknown) {
  return send(`/auth/v1/token?grant_type=${type}`, { body })
}

function send(path: string, { method, body, headers }: Options, token?: string) {
  return fetch(path, {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers: {
      Accept: "application/json",
      ...(body === undefined ? {} : { "Content-Type": "application/json" }),
      ...(token ? { Authorization: `Bearer ${token}` } : {}),
      ...headers,
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  })
}

async function decode<T>(response: Response): Promise<T> {
  const text = await response.text()
  let body: unknown
  try {
    body = text ? JSON.parse(text) : undefined
  } catch {
    body = undefined
  }
  if (response.ok) return body as T
  throw problem(response.status, (body ?? {}) as ProblemBody)
}

type ProblemBody = {
  detail?: string
  title?: string
  message?: string
  msg?: string
  code?: string | number
  error_code?: string
  request_id?: string
  errors?: { field?: string; location?: string; message: string }[]
}

function problem(status: number, body: ProblemBody) {
  const fields: Record<string, string> = {}
  for (const error of body.errors ?? []) {
    const field = error.field ?? error.location?.replace(/^body\./, "")
    if (field) fields[field] = error.message
  }
  const message = body.detail || body.message || body.msg || body.title || `The server answered ${status}.`
  return new Problem(status, message, String(body.error_code ?? body.code ?? ""), body.request_id, fields)
}
