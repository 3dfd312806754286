import { auditSchemes, fits, settled } from "../audit.ts"
import { at } from "../kestrel.ts"
import { haiec, staff } from "../people.ts"
import { signIn, test } from "../test.ts"

test("landing and onboarding", async ({ page }) => {
  for (const path of ["/", "/onboarding"]) {
    await page.goto(at("", path))
    await settled(page)
    await auditSchemes(page)
    await fits(page)
  }
})

test("admin", async ({ page }) => {
  await page.goto(at("admin"))
  await settled(page)
  await auditSchemes(page, "sign-in")
  await signIn(page, "admin", staff)
  await settled(page)
  await auditSchemes(page)
  await fits(page)
})

test("tenant", async ({ page }) => {
  await signIn(page, "haiec", haiec)
  await settled(page)
  await auditSchemes(page)
  await fits(page)
})
