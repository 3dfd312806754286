import { randomUUID } from "node:crypto"
import { call, faces } from "./kestrel.ts"

/** Somebody who can sign in. */
export type Person = { email: string; password: string }

export type Role = "viewer" | "member" | "admin" | "owner"

/** A customer that a test has for itself. */
export type Tenant = { id: string; slug: string; company: string; number: string; owner: Person }

export const staff: Person = { email: "admin@kestrel.ai", password: "kestrel-admin" }
export const haiec: Person = { email: "admin@haiec.com", password: "kestrel-haiec" }

const password = "correct horse battery"

/** Signs somebody in by the API: what Auth answers, which is what the app keeps. */
export function session(host: string, person: Person): Promise<{ access_token: string }> {
  return call(host, "/auth/v1/token?grant_type=password", { body: person })
}

export async function token(host: string, person: Person): Promise<string> {
  return (await session(host, person)).access_token
}

/** Eight hex digits that nobody else has. */
export const unique = () => randomUUID().slice(0, 8)

type Wish = { status?: "pending" | "trial" | "active"; number?: boolean; [field: string]: unknown }

/** Makes a tenant as staff do, by the API, and gives its owner a password; with a number, if wanted, bought at the sandbox. */
export async function tenant({ status = "active", number = false, ...fields }: Wish = {}): Promise<Tenant> {
  const tag = unique()
  const company = `Test ${tag}`
  const owner = { email: `owner@${tag}.example`, password }
  await login(owner)
  const as = await token("admin", staff)
  const made = await call<{ id: string; slug: string }>("admin", "/api/admin/tenants", {
    token: as,
    body: {
      company_name: company,
      slug: `test-${tag}`,
      owner_name: "Olive Owner",
      owner_email: owner.email,
      industry: "hvac",
      plan_tier: "professional",
      subscription_status: status,
      forward_to_number: "+16175550142",
      ...fields,
    },
  })
  const bought = number ? await provision(made.id, as) : ""
  return { id: made.id, slug: made.slug, company, number: bought, owner }
}

async function provision(id: string, as: string): Promise<string> {
  const at = `/api/admin/tenants/${id}`
  const { job } = await call<{ job: { id: string } }>("admin", `${at}/provision`, {
    token: as,
    body: { area_code: "857" },
  })
  await until("the number is bought", async () => {
    const { state, reason } = await call<{ state: string; reason?: string }>("admin", `/api/jobs/${job.id}`, {
      token: as,
    })
    if (state === "failed") throw new Error(`number not bought: ${reason}`)
    return state === "done"
  })
  return (await call<{ twilio_phone_number: string }>("admin", at, { token: as })).twilio_phone_number
}

/** Makes a member of the role, as people become one: invited by the owner, accepted by the mail's link. */
export async function member(of: Tenant, role: Exclude<Role, "owner">): Promise<Person> {
  const person = { email: `${role}@${unique()}.example`, password }
  const as = await token(of.slug, of.owner)
  await call(of.slug, "/api/tenant/invitations", { token: as, body: { email: person.email, role } })
  const link = new URL(linkIn(await mail(person.email), "/accept-invite"))
  await call(of.slug, "/api/tenant/invitations/accept", {
    body: { token: link.searchParams.get("token"), password },
  })
  return person
}

/** Makes a login at Auth with the secret key. */
async function login(person: Person) {
  const { supabase_url, service_role_key } = faces()
  const answer = await fetch(`${supabase_url}/auth/v1/admin/users`, {
    method: "POST",
    headers: {
      apikey: service_role_key,
      authorization: `Bearer ${service_role_key}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ ...person, email_confirm: true }),
  })
  if (!answer.ok) throw new Error(`no login for ${person.email}: ${answer.status} ${await answer.text()}`)
}

export type Mail = { subject: string; text: string; html: string }

/** The first mail to an address whose subject matches, once it is there. */
export async function mail(to: string, subject = /./): Promise<Mail> {
  let found: Mail | undefined
  await until(`a mail ${subject} to ${to}`, async () => {
    const { items } = await sandbox<{ items: Mail[] }>(`/_sandbox/emails?to=${encodeURIComponent(to)}`)
    found = items.find((item) => subject.test(item.subject))
    return !!found
  })
  return found as Mail
}

/** The first link of a mail that contains part. */
export function linkIn({ subject, text }: Mail, part: string): string {
  const link = text.match(/https?:\/\/\S+/g)?.find((url) => url.includes(part))
  if (!link) throw new Error(`no link with ${part} in “${subject}”:\n${text}`)
  return link
}

/** Asks the sandbox's control API. */
export async function sandbox<T>(path: string, body?: unknown): Promise<T> {
  const answer = await fetch(faces().sandbox_url + path, {
    method: body === undefined ? "GET" : "POST",
    headers: { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  })
  if (!answer.ok) throw new Error(`sandbox ${path}: ${answer.status} ${await answer.text()}`)
  return (await answer.json()) as T
}

/** Waits for what a job does. */
export async function until(what: string, done: () => Promise<boolean>) {
  for (const deadline = Date.now() + 30_000; Date.now() < deadline; ) {
    if (await done()) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error(`not within 30 s: ${what}`)
}
