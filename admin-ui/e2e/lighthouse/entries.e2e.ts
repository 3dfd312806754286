import { createServer } from "node:net"
import { chromium } from "@playwright/test"
import lighthouse, { desktopConfig, type Result } from "lighthouse"
import { chromium as executable, flags } from "../chromium.ts"
import { at } from "../kestrel.ts"
import { expect, test } from "../test.ts"

/** The least score of each category, of 100. */
const wanted = { performance: 95, accessibility: 100, "best-practices": 100 }

const entries = [
  { name: "landing", url: () => at("") },
  { name: "onboarding", url: () => at("", "/onboarding") },
  { name: "dashboard", url: () => at("haiec") },
  { name: "admin", url: () => at("admin") },
]

for (const { name, url } of entries)
  for (const device of ["phone", "desktop"] as const)
    test(`${name} on a ${device}`, async () => {
      const report = await score(url(), device)
      for (const [category, least] of Object.entries(wanted)) {
        const reached = Math.round((report.categories[category]?.score ?? 0) * 100)
        console.log(`${name}, ${device}: ${category} ${reached} ${lost(report, category)}`)
        expect.soft(reached, `${category}: ${lost(report, category)}`).toBeGreaterThanOrEqual(least)
      }
    })

async function score(url: string, device: "phone" | "desktop"): Promise<Result> {
  const port = await freePort()
  const browser = await chromium.launch({
    executablePath: executable(),
    args: [...flags, `--remote-debugging-port=${port}`],
  })
  try {
    const options = { port, onlyCategories: Object.keys(wanted), logLevel: "error" as const }
    const result = await lighthouse(url, options, device === "desktop" ? desktopConfig : undefined)
    if (!result || result.lhr.runtimeError) throw new Error(result?.lhr.runtimeError?.message ?? "no result")
    return result.lhr
  } finally {
    await browser.close()
  }
}

/** What a category's score was reduced by. */
function lost(report: Result, category: string): string {
  return (report.categories[category]?.auditRefs ?? [])
    .filter(({ weight }) => weight > 0)
    .map(({ id }) => report.audits[id])
    .filter((audit) => audit && audit.score !== null && audit.score < 0.95)
    .map((audit) => `${audit?.id} ${audit?.displayValue ?? audit?.score}`)
    .join(", ")
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() =>
        address && typeof address === "object" ? resolve(address.port) : reject(new Error("no port")),
      )
    })
  })
}
