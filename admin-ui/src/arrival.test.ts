import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { arrive } from "./arrival"
import { readSession, writeSession } from "./session"

const user = { id: "1", email: "owner@haiec.com" }
const session = { access_token: "new", refresh_token: "r", user }
let server: Record<string, { status?: number; body: unknown }>
let sent: { path: string; authorization: string | null; body: string }[]

beforeEach(() => {
  server = {}
  sent = []
  writeSession({ access_token: "old", refresh_token: "old", user: { id: "2", email: "other@x.co" } })
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    sent.push({
      path,
      authorization: new Headers(init.headers).get("Authorization"),
      body: String(init.body),
    })
    const answer = server[path] ?? { status: 404, body: {} }
    return new Response(JSON.stringify(answer.body), { status: answer.status ?? 200 })
  })
})
afterEach(() => vi.unstubAllGlobals())

const visit = (address: string) => history.replaceState(null, "", address)

test("a recovery link's tokens become the session and leave the address bar", async () => {
  visit("/#access_token=new&refresh_token=r&type=recovery")
  server["/auth/v1/user"] = { body: user }
  expect(await arrive()).toEqual({ kind: "password" })
  expect(sent[0]?.authorization).toBe("Bearer new")
  expect(readSession()).toEqual(session)
  expect(location.href).not.toContain("new")
})

test("a token_hash is verified first", async () => {
  visit("/?token_hash=abc&type=invite")
  server["/auth/v1/verify"] = { body: session }
  expect(await arrive()).toEqual({ kind: "password" })
  expect(sent[0]).toMatchObject({ authorization: null, body: '{"type":"invite","token_hash":"abc"}' })
  expect(location.search).toBe("")
})

test("an expired link says so and signs nobody in", async () => {
  visit("/?token_hash=abc&type=recovery")
  server["/auth/v1/verify"] = {
    status: 403,
    body: { error_code: "otp_expired", msg: "The link has expired" },
  }
  expect(await arrive()).toEqual({ kind: "failed", reason: "The link has expired" })
  expect(readSession()).toBeNull()
  visit("/#error=access_denied&error_description=Email+link+is+invalid")
  expect(await arrive()).toEqual({ kind: "failed", reason: "Email link is invalid" })
})

test("an ordinary visit keeps the session", async () => {
  visit("/")
  expect(await arrive()).toEqual({ kind: "none" })
  expect(readSession()?.access_token).toBe("old")
  expect(sent).toEqual([])
})
