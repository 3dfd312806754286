import AxeBuilder from "@axe-core/playwright"
import { expect, type Page } from "@playwright/test"

/** Waits until a page shows its content: a heading, nothing loading, nothing moving. */
export async function settled(page: Page) {
  await expect(page.locator("h1").first()).toBeVisible()
  await page.waitForFunction(() => {
    const loading = '[aria-busy="true"], .mantine-Skeleton-root, .mantine-Loader-root'
    const moving = document
      .getAnimations()
      .filter((a) => a.playState === "running" && a.effect?.getComputedTiming().endTime !== Infinity)
    return document.querySelector(loading) === null && moving.length === 0
  })
}

/** Asserts that axe finds nothing on the page as it is, at the levels A and AA of WCAG 2.0, 2.1 and 2.2. */
export async function audit(page: Page, what = page.url()) {
  const { violations } = await new AxeBuilder({ page })
    .withTags(["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"])
    .analyze()
  const found = violations.flatMap(({ id, help, nodes }) =>
    nodes.map(
      (node) =>
        `${id}: ${help}\n    ${node.target.join(" ")}\n    ${node.html}\n    ${node.any.map((check) => check.message)[0] ?? ""}`,
    ),
  )
  expect.soft(found.join("\n"), `axe at ${what}`).toBe("")
}

/** Asserts axe in both colour schemes, and leaves the page in the light one. */
export async function auditSchemes(page: Page, what = page.url()) {
  for (const colorScheme of ["dark", "light"] as const) {
    await page.emulateMedia({ colorScheme })
    await settled(page)
    await audit(page, `${what} (${colorScheme})`)
  }
}

/** Asserts that nothing makes the page scroll sideways on a phone 360 px wide, and names what does. */
export async function fits(page: Page, what = page.url()) {
  const size = page.viewportSize()
  await page.setViewportSize({ width: 360, height: 740 })
  await settled(page)
  const wide = await page.evaluate(() => {
    const { scrollWidth, clientWidth } = document.documentElement
    if (scrollWidth <= clientWidth) return []
    const guilty = [...document.body.querySelectorAll("*")].filter(
      (element) => element.getBoundingClientRect().right > clientWidth + 1,
    )
    return [
      `${scrollWidth} px`,
      ...guilty.slice(0, 5).map((element) => `${element.tagName}.${element.className}`),
    ]
  })
  expect.soft(wide, `${what} is wider than 360 px`).toEqual([])
  if (size) await page.setViewportSize(size)
}
