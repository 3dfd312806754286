import { request } from "node:http"

/** dev.json of the stack that the tests run against. */
export type Faces = {
  database_url: string
  supabase_url: string
  service_role_key: string
  sandbox_url: string
  urls: Record<"apex" | "admin" | "api" | "haiec" | "sandbox", string>
}

export function faces(): Faces {
  const dev = process.env.KESTREL_DEV
  if (!dev) throw new Error("no stack runs: start the tests by `make test-e2e`")
  return JSON.parse(dev) as Faces
}

/** The address of a host: "" is the apex, "admin" the staff's, a slug a tenant's. */
export function at(label: string, path = "/"): string {
  const apex = new URL(faces().urls.apex)
  if (label) apex.hostname = `${label}.${apex.hostname}`
  return new URL(path, apex).href
}

type Answer<T> = { status: number; body: T }
type Asked = { method?: string; body?: unknown; token?: string }

/** Asks a host of the stack. It dials 127.0.0.1 and names the host, since Node may not resolve *.localhost. */
export function ask<T>(label: string, path: string, { method, body, token }: Asked = {}): Promise<Answer<T>> {
  const url = new URL(at(label, path))
  const payload = body === undefined ? undefined : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        host: "127.0.0.1",
        port: url.port,
        path: url.pathname + url.search,
        method: method ?? (payload ? "POST" : "GET"),
        headers: {
          host: url.host,
          accept: "application/json",
          ...(payload ? { "content-type": "application/json" } : {}),
          ...(token ? { authorization: `Bearer ${token}` } : {}),
        },
      },
      (answer) => {
        let text = ""
        answer.setEncoding("utf8")
        answer.on("data", (chunk) => {
          text += chunk
        })
        answer.on("error", reject)
        answer.on("end", () => {
          const json = answer.headers["content-type"]?.includes("json")
          resolve({ status: answer.statusCode ?? 0, body: (json ? JSON.parse(text) : text) as T })
        })
      },
    )
    asked.on("error", reject)
    asked.end(payload)
  })
}

/** As ask, for requests that must succeed. */
export async function call<T>(label: string, path: string, asked: Asked = {}): Promise<T> {
  const { status, body } = await ask<T>(label, path, asked)
  if (status >= 300)
    throw new Error(`${asked.method ?? "…"} ${at(label, path)}: ${status} ${JSON.stringify(body)}`)
  return body
}
