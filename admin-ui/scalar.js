// Puts Scalar, the API reference, into public/: one file that the package ships whole. Installed as a dependency it
// would bring 270 packages that this file already contains, so it is taken from the package alone, pinned by content.
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const version = "1.72.1"
const integrity = "XpEJ0rfc/cXbCrR+iC4kK0o/WwX2dTtGQbT049OlPKAHD6IMIFdTeGz2r+M27P2EDWKyUITRm/NzlP8z2pw/Ow=="
const target = `public/assets/scalar-${version}.js`

if (!existsSync(target)) {
  const folder = mkdtempSync(join(tmpdir(), "scalar-"))
  try {
    execFileSync("npm", [
      "pack",
      `@scalar/api-reference@${version}`,
      "--silent",
      "--pack-destination",
      folder,
    ])
    const archive = join(folder, `scalar-api-reference-${version}.tgz`)
    if (createHash("sha512").update(readFileSync(archive)).digest("base64") !== integrity) {
      throw new Error(`@scalar/api-reference ${version} is not the package that was pinned`)
    }
    const file = "package/dist/browser/standalone.js"
    execFileSync("tar", ["-xzf", archive, "-C", folder, file])
    mkdirSync("public/assets", { recursive: true })
    execFileSync("cp", [join(folder, file), `${target}.new`])
    renameSync(`${target}.new`, target)
  } finally {
    rmSync(folder, { recursive: true })
  }
}
