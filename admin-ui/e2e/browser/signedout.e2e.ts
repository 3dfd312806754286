import { auditSchemes, fits, settled } from "../audit.ts"
import { at } from "../kestrel.ts"
import { haiec, staff } from "../people.ts"
import { signIn, test } from "../test.ts"

const pages = [
  { name: "landing", host: "", path: "/" },
  { name: "onboarding", host: "", path: "/onboarding" },
  { name: "API reference", host: "", path: "/docs" },
  { name: "sandbox", host: "sandbox", path: "/" },
  { name: "admin’s sign-in", host: "admin", path: "/" },
  { name: "dashboard’s sign-in", host: "haiec", path: "/" },
]

for (const { name, host, path } of pages)
  test(name, async ({ page }) => {
    await page.goto(at(host, path))
    await settled(page)
    await auditSchemes(page)
    await fits(page)
  })

for (const { host, person } of [
  { host: "admin", person: staff },
  { host: "haiec", person: haiec },
])
  test(`first page of ${host}`, async ({ page }) => {
    await signIn(page, host, person)
    await settled(page)
    await auditSchemes(page)
    await fits(page)
  })
