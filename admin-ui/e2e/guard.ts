import type { BrowserContext } from "@playwright/test"
import { faces } from "./kestrel.ts"

/**
 * What no page may do: write an error to the console (a violated CSP is one), throw, or ask another server. Tests that
 * provoke a refusal say so first, by allow.
 */
export class Guard {
  readonly faults: string[] = []
  // The tests' own scripts are kept out of frames that show mails.
  private readonly allowed = [/Blocked script execution in .* frame is sandboxed/]

  constructor(context: BrowserContext) {
    const port = new URL(faces().urls.apex).port
    context.on("console", (message) => {
      if (message.type() !== "error") return
      const { url } = message.location()
      this.fault(`console: ${message.text()} (${url})`)
    })
    context.on("weberror", (error) => this.fault(`uncaught: ${error.error()}`))
    context.on("request", (request) => {
      const url = new URL(request.url())
      if (["data:", "blob:"].includes(url.protocol)) return
      if (url.port !== port || !/^(.+\.)?localhost$/.test(url.hostname))
        this.fault(`third party: ${request.url()}`)
    })
  }

  /** Lets faults pass that match, from now on. */
  allow(...patterns: RegExp[]) {
    this.allowed.push(...patterns)
  }

  private fault(text: string) {
    if (!this.allowed.some((pattern) => pattern.test(text))) this.faults.push(text)
  }
}
