import { test as base, type Page } from "@playwright/test"
import { Guard } from "./guard.ts"
import { at } from "./kestrel.ts"
import { type Person, session } from "./people.ts"

export { expect } from "@playwright/test"

/** Every test has a guard, which watches its pages; what it found fails the test at its end. */
export const test = base.extend<{ guard: Guard }>({
  guard: [
    async ({ context }, use) => {
      const guard = new Guard(context)
      await use(guard)
      base.expect.soft(guard.faults, "what pages must not do").toEqual([])
    },
    { auto: true },
  ],
})

/** Signs somebody in at a host by its form. The host's path comes next, once the form is gone. */
export async function signIn(page: Page, host: string, person: Person, path = "/") {
  await page.goto(at(host, path))
  const button = page.getByRole("button", { name: "Sign in", exact: true })
  await page.getByLabel("E-mail").fill(person.email)
  await page.getByLabel(/^Password( \*)?$/).fill(person.password)
  await button.click()
  await button.waitFor({ state: "detached" })
}

/** Opens a host's page as somebody who signed in before, without the form. */
export async function open(page: Page, host: string, person: Person, path = "/") {
  await remember(page, host, person)
  await page.goto(at(host, path))
}

/** Leaves a session in the browser, as the form would. */
export async function remember(page: Page, host: string, person: Person) {
  const kept = { origin: new URL(at(host)).origin, value: JSON.stringify(await session(host, person)) }
  await page.context().addInitScript(({ origin, value }) => {
    const once = `e2e ${origin}`
    if (location.origin !== origin || sessionStorage.getItem(once)) return
    sessionStorage.setItem(once, "remembered")
    localStorage.setItem("kestrel.session", value)
  }, kept)
}
