import { QueryClient, QueryClientProvider } from "@tanstack/react-query"
import { cleanup, fireEvent, render, screen } from "@testing-library/react"
import axe from "axe-core"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { App } from "./app"
import { invited } from "./arrival"
import { readSession, writeSession } from "./session"
import { Dashboard } from "./tenant/Dashboard"

let server: Record<string, { status?: number; body: unknown }>
let sent: { path: string; body: string }[]

beforeEach(() => {
  sent = []
  writeSession(null)
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    sent.push({ path, body: String(init.body ?? "") })
    const answer = server[path] ?? { status: 404, body: { title: "Not found" } }
    return new Response(JSON.stringify(answer.body), { status: answer.status ?? 200 })
  })
})
afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

function show() {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } })
  return render(
    <QueryClientProvider client={queries}>
      <App>
        <Dashboard invitation="secret" />
      </App>
    </QueryClientProvider>,
  )
}

const open = "/api/tenant/invitations/open"
const accept = "/api/tenant/invitations/accept"
const invitation = { email: "pat@haiec.com", role: "owner", company_name: "HAIEC", needs_password: true }

test("somebody new chooses a password and is signed in", async () => {
  server = {
    [open]: { body: invitation },
    [accept]: { body: { email: "pat@haiec.com", role: "owner", password_set: true } },
    "/auth/v1/token?grant_type=password": {
      body: { access_token: "a", refresh_token: "r", user: { id: "1", email: "pat@haiec.com" } },
    },
  }
  const { container } = show()
  const password = await screen.findByLabelText(/^Choose a password/)
  const result = await axe.run(container, { rules: { "color-contrast": { enabled: false } } })
  expect(result.violations.map((violation) => violation.id)).toEqual([])
  expect(sent.map((request) => request.path)).toEqual([open])
  fireEvent.change(password, { target: { value: "a-good-password" } })
  fireEvent.submit(screen.getByRole("button", { name: "Accept invitation" }))
  await screen.findByRole("heading", { name: "Dashboard" })
  expect(JSON.parse(sent[1]?.body ?? "")).toEqual({ token: "secret", password: "a-good-password" })
  expect(readSession()?.user.email).toBe("pat@haiec.com")
})

test("somebody who signs in already accepts, then signs in", async () => {
  server = {
    [open]: { body: { ...invitation, needs_password: false } },
    [accept]: { body: { email: "pat@haiec.com", role: "owner", password_set: false } },
  }
  show()
  fireEvent.submit(await screen.findByRole("button", { name: "Accept invitation" }))
  await screen.findByRole("button", { name: "Sign in" })
  expect(JSON.parse(sent[1]?.body ?? "")).toEqual({ token: "secret" })
})

test("an invitation that has ended says so", async () => {
  server = { [open]: { status: 410, body: { title: "Gone", detail: "This invitation was withdrawn." } } }
  show()
  await screen.findByText("This invitation was withdrawn.")
})

test("the token leaves the address bar, and who was signed in does not lend a session", () => {
  writeSession({ access_token: "a", refresh_token: "r", user: { id: "1", email: "other@haiec.com" } })
  history.replaceState(null, "", "/accept-invite?token=secret")
  expect(invited()).toBe("secret")
  expect(location.pathname + location.search).toBe("/")
  expect(readSession()).toBeNull()
  expect(invited()).toBeUndefined()
})
