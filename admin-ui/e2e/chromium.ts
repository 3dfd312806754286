import { accessSync, constants } from "node:fs"

/** Debian's Chromium, or the one that the variable CHROMIUM names. Throws where there is none: Playwright's own is not downloaded. */
export function chromium(): string {
  const path = process.env.CHROMIUM || "/usr/bin/chromium"
  try {
    accessSync(path, constants.X_OK)
  } catch {
    throw new Error(
      `${path} cannot be run: install it (apt-get install chromium), or set CHROMIUM to the path of a Chromium 140 or newer`,
    )
  }
  return path
}

/** --no-sandbox, as root has no user namespaces in a container; the rest keeps Chromium from calling home. */
export const flags = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
]
