import { expect, type Page } from "@playwright/test"
import axe from "axe-core"

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

declare global {
  interface Window {
    axe: typeof axe
  }
}

/**
 * Asserts that axe finds nothing on the page as it is, at the levels A and AA of WCAG 2.0, 2.1 and 2.2. Frames are left
 * out: they show mails, and no script runs in them, axe neither.
 */
export async function audit(page: Page, what = page.url()) {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe.source)
  const { violations } = await page.evaluate(() =>
    window.axe.run(document, {
      iframes: false,
      resultTypes: ["violations"],
      runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"],
    }),
  )
  const found = violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target, html, any }) => [`${id}: ${help}`, target, html, any[0]?.message].join("\n    ")),
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
