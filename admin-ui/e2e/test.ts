import { test as base, type Page } from "@playwright/test"
import { Guard } from "./guard.ts"
import { at } from "./kestrel.ts"
import type { Person } from "./people.ts"

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
