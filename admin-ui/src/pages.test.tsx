import { QueryClient, QueryClientProvider } from "@tanstack/react-query"
import { cleanup, fireEvent, render, screen } from "@testing-library/react"
import axe from "axe-core"
import type { ReactNode } from "react"
import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { Tenants } from "./admin/Tenants"
import { App } from "./app"
import { Landing } from "./onboarding/Landing"
import { Onboarding } from "./onboarding/Onboarding"
import { Shell } from "./Shell"
import { writeSession } from "./session"
import { Overview } from "./tenant/Overview"

type Answer = { status?: number; body: unknown }
let server: Record<string, Answer>
let sent: { path: string; body: string }[]

beforeEach(() => {
  server = {}
  sent = []
  writeSession(null)
  vi.stubGlobal("fetch", async (path: string, init: RequestInit) => {
    sent.push({ path, body: String(init.body ?? "") })
    const answer = server[path.split("?")[0] ?? ""] ?? { status: 404, body: { title: "Not found" } }
    return new Response(JSON.stringify(answer.body), { status: answer.status ?? 200 })
  })
})
afterEach(() => {
  cleanup()
  vi.unstubAllGlobals()
})

function show(page: ReactNode) {
  const queries = new QueryClient({ defaultOptions: { queries: { retry: false } } })
  return render(
    <QueryClientProvider client={queries}>
      <App>{page}</App>
    </QueryClientProvider>,
  )
}

/** Structure only: colours need a browser. */
async function violations(element: Element) {
  const result = await axe.run(element, { rules: { "color-contrast": { enabled: false } } })
  return result.violations.map((violation) => `${violation.id}: ${violation.nodes[0]?.html}`)
}

const haiec = {
  id: "1",
  slug: "haiec",
  company_name: "HAIEC",
  owner_email: "admin@haiec.com",
  plan_tier: "professional",
  subscription_status: "pending",
  twilio_phone_number: null,
  current_month_calls: 0,
  max_monthly_calls: 500,
}

function fill(fields: Record<string, string>) {
  for (const [label, value] of Object.entries(fields))
    fireEvent.change(screen.getByLabelText(new RegExp(`^${label}`)), { target: { value } })
}

test("onboarding sends the brief's fields and welcomes", async () => {
  server["/api/onboarding"] = {
    status: 201,
    body: {
      tenant_id: "1",
      slug: "haiec",
      company_name: "HAIEC",
      owner_email: "admin@haiec.com",
      status: "pending",
      dashboard_url: "http://haiec.localhost:8080",
    },
  }
  const { container } = show(<Onboarding />)
  fill({
    Company: "HAIEC",
    "Owner’s name": "H",
    "Owner’s e-mail": "admin@haiec.com",
    "Owner’s phone": "+18573825169",
  })
  expect(await violations(container)).toEqual([])
  fireEvent.submit(screen.getByRole("button", { name: "Create my account" }))
  await screen.findByText("Welcome, HAIEC")
  expect(JSON.parse(sent[0]?.body ?? "")).toEqual({
    company_name: "HAIEC",
    owner_name: "H",
    owner_email: "admin@haiec.com",
    owner_phone: "+18573825169",
    industry: "hvac",
    plan_tier: "starter",
  })
})

test("a refused field shows its reason where it is typed", async () => {
  server["/api/onboarding"] = {
    status: 409,
    body: {
      title: "Conflict",
      detail: "That subdomain is taken.",
      errors: [{ field: "slug", message: "is taken" }],
    },
  }
  show(<Onboarding />)
  fireEvent.submit(screen.getByRole("button", { name: "Create my account" }))
  await screen.findByText("That subdomain is taken.")
  expect(screen.getByLabelText(/^Subdomain/).getAttribute("aria-invalid")).toBe("true")
})

test("nobody signed in sees the sign-in, and why it failed", async () => {
  server["/auth/v1/token"] = {
    status: 400,
    body: { error_code: "invalid_credentials", msg: "Invalid login credentials" },
  }
  const { container } = show(<Shell title="Kestrel admin">secret</Shell>)
  expect(screen.queryByText("secret")).toBeNull()
  expect(await violations(container)).toEqual([])
  fireEvent.submit(screen.getByRole("button", { name: "Sign in" }))
  await screen.findByText("Invalid login credentials")
})

test("the tenant list has its figures, its rows and its empty state", async () => {
  server["/api/admin/stats"] = { body: { total: 3, active: 1, trial: 2, mrr_cents: 29900 } }
  server["/api/admin/tenants"] = { body: { items: [haiec], next: null } }
  const { container } = show(<Tenants />)
  await screen.findByText("HAIEC")
  await screen.findByText("$299")
  expect(await violations(container)).toEqual([])
  server["/api/admin/tenants"] = { body: { items: [], next: null } }
  fireEvent.change(screen.getByLabelText("Search"), { target: { value: "zzz" } })
  await screen.findByText("No tenant matches")
})

test("an admin without a second factor sets one up and goes on", async () => {
  const refused = { status: 403, body: { detail: "Sign in with your second factor.", code: "mfa_required" } }
  server["/api/admin/stats"] = refused
  server["/api/admin/tenants"] = refused
  server["/auth/v1/user"] = { body: { id: "1", email: "a@b.co", factors: [] } }
  server["/auth/v1/factors"] = {
    body: { id: "f1", totp: { qr_code: "data:image/svg+xml;utf-8,<svg/>", secret: "KEY234" } },
  }
  server["/auth/v1/factors/f1/challenge"] = { body: { id: "c1" } }
  server["/auth/v1/factors/f1/verify"] = {
    body: { access_token: "aal2", refresh_token: "r", user: { id: "1", email: "a@b.co" } },
  }
  const { container } = show(<Tenants />)
  await screen.findByText("KEY234")
  expect(await violations(container)).toEqual([])
  fill({ Code: "123456" })
  server["/api/admin/stats"] = { body: { total: 1, active: 1, trial: 0, mrr_cents: 0 } }
  server["/api/admin/tenants"] = { body: { items: [haiec], next: null } }
  fireEvent.submit(screen.getByRole("button", { name: "Go on" }))
  await screen.findByText("HAIEC")
  expect(sent.find(({ path }) => path.endsWith("/verify"))?.body).toBe(
    '{"challenge_id":"c1","code":"123456"}',
  )
})

test("somebody who came to choose a password saves it, then sees the page", async () => {
  writeSession({ access_token: "t", refresh_token: "r", user: { id: "1", email: "a@b.co" } })
  server["/auth/v1/user"] = { body: {} }
  const { container } = show(
    <Shell title="Dashboard" arrival={{ kind: "password" }}>
      inside
    </Shell>,
  )
  expect(screen.queryByText("inside")).toBeNull()
  expect(await violations(container)).toEqual([])
  fill({ "New password": "correct horse" })
  fireEvent.submit(screen.getByRole("button", { name: "Save and go on" }))
  await screen.findByText("inside")
  expect(sent[0]).toMatchObject({ path: "/auth/v1/user", body: '{"password":"correct horse"}' })
})

test("a failed list can be tried again", async () => {
  server["/api/admin/tenants"] = { status: 500, body: { title: "Internal error", request_id: "r9" } }
  show(<Tenants />)
  await screen.findByText("Internal error (request r9)")
})

test("the dashboard shows usage and numbers", async () => {
  server["/api/tenant"] = { body: { ...haiec, timezone: "America/New_York" } }
  server["/api/tenant/usage"] = {
    body: {
      current: { calls: 18, adjusted_calls: 2, period_start: "", period_end: "" },
      max_monthly_calls: 500,
      usage_percentage: 4,
    },
  }
  server["/api/tenant/numbers"] = { body: { items: [], next: null } }
  const { container } = show(<Overview />)
  await screen.findByText("20 of 500 calls")
  await screen.findByText(/None yet/)
  expect(await violations(container)).toEqual([])
})

test("the landing page leads to onboarding", async () => {
  const { container } = show(<Landing />)
  expect(screen.getByRole("link", { name: "Get started" }).getAttribute("href")).toBe("/onboarding")
  expect(await violations(container)).toEqual([])
})

test("a suspended customer is told so first", async () => {
  server["/api/tenant"] = {
    body: { ...haiec, subscription_status: "suspended", status_reason: "unpaid invoice" },
  }
  server["/api/tenant/usage"] = { body: { max_monthly_calls: 500, usage_percentage: 0 } }
  server["/api/tenant/numbers"] = { body: { items: [], next: null } }
  const { container } = show(<Overview />)
  expect((await screen.findByText("This account is suspended")).textContent).toBeTruthy()
  expect(screen.getByText("Reason: unpaid invoice")).toBeTruthy()
  expect(await violations(container)).toEqual([])
})
