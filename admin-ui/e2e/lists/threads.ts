import { type Browser, expect, type Page } from "@playwright/test"

type TraceEvent = {
  name: string
  ph: string
  pid: number
  tid: number
  dur?: number
  tdur?: number
  args?: { name?: string }
}

/**
 * Does some work in the page and returns its renderer's longest main-thread task, in milliseconds of processor time:
 * what other processes take from two cores is not the page's doing.
 */
export async function longestTask(browser: Browser, page: Page, work: () => Promise<void>): Promise<number> {
  await browser.startTracing(page, { categories: ["toplevel", "__metadata"] })
  await work()
  const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as {
    traceEvents: TraceEvent[]
  }
  const renderers = new Set(
    traceEvents
      .filter(({ name, args }) => name === "thread_name" && args?.name === "CrRendererMain")
      .map(({ pid, tid }) => `${pid}/${tid}`),
  )
  const tasks = traceEvents.filter(
    ({ pid, tid, tdur }) => tdur !== undefined && renderers.has(`${pid}/${tid}`),
  )
  expect(tasks.length, "tasks in the trace").toBeGreaterThan(0)
  return Math.max(...tasks.map(({ tdur }) => tdur ?? 0)) / 1_000
}
