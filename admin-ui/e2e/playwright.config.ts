import { defineConfig } from "@playwright/test"
import { chromium, flags } from "./chromium.ts"

export default defineConfig({
  outputDir: "test-results",
  globalSetup: "./stack.ts",
  fullyParallel: true,
  workers: 2,
  forbidOnly: !!process.env.CI,
  timeout: 90_000,
  expect: { timeout: 20_000 },
  reporter: "list",
  // make test-e2e, lists, shots and lighthouse each run one.
  projects: [
    { name: "browser", testMatch: "browser/*.e2e.ts" },
    { name: "lists", testMatch: "lists/*.e2e.ts" },
    { name: "shots", testMatch: "shots.e2e.ts" },
    { name: "lighthouse", testMatch: "lighthouse/*.e2e.ts", workers: 1 },
  ],
  use: {
    browserName: "chromium",
    launchOptions: { executablePath: chromium(), args: flags },
    viewport: { width: 1280, height: 800 },
    locale: "en-US",
    timezoneId: "America/New_York",
    contextOptions: { reducedMotion: "reduce" },
    actionTimeout: 20_000,
    trace: { mode: "retain-on-failure", screenshots: false },
    screenshot: "only-on-failure",
  },
})
