// Writes a .br and a .gz beside every text file of dist, so that the server never compresses at run time.
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { brotliCompressSync, gzipSync } from "node:zlib"

for (const name of readdirSync("dist", { recursive: true })) {
  if (!/\.(html|js|css|svg)$/.test(name)) continue
  const path = join("dist", name)
  const text = readFileSync(path)
  writeFileSync(`${path}.br`, brotliCompressSync(text))
  writeFileSync(`${path}.gz`, gzipSync(text, { level: 9 }))
}
