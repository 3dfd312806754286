import { type ChildProcess, spawn } from "node:child_process"
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as pause } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { ask } from "./kestrel.ts"

const repository = fileURLToPath(new URL("../..", import.meta.url))

export type Stack = { data: string; stop: () => Promise<void> }

/**
 * Starts bin/kestrel as `make dev` does, on free ports and in a new folder, and waits until it is ready. Rejects with
 * the end of what it printed. stop ends it and removes the folder.
 */
export async function start(...args: string[]): Promise<Stack> {
  const folder = mkdtempSync(join(tmpdir(), "kestrel-e2e-"))
  chmodSync(folder, 0o711) // as root, the embedded Postgres runs as another user
  const data = join(folder, "data")
  const kestrel = spawn(
    join(repository, "bin/kestrel"),
    ["dev", "--addr", "127.0.0.1:0", "--sandbox-addr", "127.0.0.1:0", "--data", data, ...args],
    {
      cwd: repository,
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env.PATH, HOME: folder, LOG_LEVEL: "warn" },
    },
  )
  let output = ""
  for (const stream of [kestrel.stdout, kestrel.stderr])
    stream.on("data", (chunk) => {
      output = (output + chunk).slice(-8_000)
    })
  const ended = new Promise<string>((resolve) => {
    kestrel.once("error", (error) => resolve(error.message))
    kestrel.once("exit", (code, signal) => resolve(`it ended with ${signal ?? code}`))
  })
  const stop = async () => {
    kestrel.kill("SIGINT")
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    await ready(kestrel, data, ended)
  } catch (error) {
    await stop()
    throw new Error(`kestrel dev did not start: ${(error as Error).message}\n${output}`)
  }
  return { data, stop }
}

async function ready(kestrel: ChildProcess, data: string, ended: Promise<string>) {
  let failure: string | undefined
  void ended.then((reason) => {
    failure = reason
  })
  for (const deadline = Date.now() + 120_000; Date.now() < deadline; await pause(50)) {
    if (failure) throw new Error(failure)
    // The file is written once everything is seeded; what it says is then true of this start.
    if (!existsSync(join(data, "dev.json"))) continue
    process.env.KESTREL_DEV = readFileSync(join(data, "dev.json"), "utf8")
    if ((await ask("", "/readyz")).status === 200) return
  }
  throw new Error(`not ready within 120 s (process ${kestrel.pid})`)
}

/** Playwright's global set-up: one stack for the whole run. What it returns takes it down. */
export default async function setup() {
  return (await start()).stop
}
