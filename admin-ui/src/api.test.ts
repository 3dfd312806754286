import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { api, type Problem, signIn } from "./api"
import { readSession, writeSession } from "./session"

const answers: Response[] = []
const calls: [string, RequestInit][] = []

beforeEach(() => {
  answers.length = 0
  calls.length = 0
  sessionStorage.clear()
  vi.stubGlobal("fetch", (path: string, init: RequestInit) => {
    calls.push([path, init])
    const answer = answers.shift()
    return answer ? Promise.resolve(answer) : Promise.reject(new TypeError("offline"))
  })
})
afterEach(() => vi.unstubAllGlobals())

const json = (status: number, body: unknown) => new Response(JSON.stringify(body), { status })
const session = (token: string) => ({
  access_token: token,
  refresh_token: `${token}-refresh`,
  user: { id: "1", email: "a@b.co" },
})
const bearer = (call: number) => new Headers(calls[call]?.[1].headers).get("Authorization")

test("sign-in keeps the session and requests carry its token", async () => {
  answers.push(json(200, session("one")), json(200, { items: [], next: null }))
  await signIn("a@b.co", "pw")
  await api("/api/admin/tenants")
  expect(calls[0]?.[0]).toBe("/auth/v1/token?grant_type=password")
  expect(bearer(1)).toBe("Bearer one")
})

test("an expired token is renewed once for requests in flight together", async () => {
  writeSession(session("old"))
  answers.push(json(401, {}), json(401, {}), json(200, session("new")), json(200, "a"), json(200, "b"))
  expect(await Promise.all([api("/a"), api("/b")])).toEqual(["a", "b"])
  expect(calls.filter(([path]) => path.startsWith("/auth"))).toHaveLength(1)
  expect(bearer(4)).toBe("Bearer new")
})

test("a refused renewal ends the session; a lost connection does not", async () => {
  writeSession(session("old"))
  answers.push(json(401, { title: "Unauthorized" }))
  await expect(api("/a")).rejects.toBeInstanceOf(TypeError)
  expect(readSession()).not.toBeNull()
  answers.push(
    json(401, { title: "Unauthorized" }),
    json(400, { error_code: "refresh_token_not_found", msg: "gone" }),
  )
  await expect(api("/a")).rejects.toMatchObject({ status: 401 })
  expect(readSession()).toBeNull()
})

test("a problem names its fields", async () => {
  answers.push(
    json(422, {
      title: "Unprocessable",
      detail: "Check the form.",
      code: "invalid",
      request_id: "r1",
      errors: [
        { field: "slug", message: "is taken" },
        { location: "body.owner_email", message: "is no address" },
      ],
    }),
  )
  const problem = await api("/api/onboarding", { body: {} }).catch((error: unknown) => error as Problem)
  expect(problem).toMatchObject({
    status: 422,
    message: "Check the form.",
    code: "invalid",
    requestId: "r1",
    fields: { slug: "is taken", owner_email: "is no address" },
  })
})

test("an answer that is not JSON is still a Problem", async () => {
  answers.push(new Response("<h1>Bad gateway</h1>", { status: 502 }))
  await expect(api("/a")).rejects.toMatchObject({ status: 502, message: "The server answered 502." })
})
