import "@mantine/core/styles.css"
import { type CSSVariablesResolver, createTheme, MantineProvider } from "@mantine/core"
import { QueryClient, QueryClientProvider } from "@tanstack/react-query"
import { type ReactNode, StrictMode } from "react"
import { createRoot } from "react-dom/client"
import { Problem } from "./api"

// Shades are chosen for 4.5:1 contrast in both colour schemes; Mantine's own defaults are lighter.
const theme = createTheme({
  primaryColor: "blue",
  primaryShade: { light: 8, dark: 8 },
  fontFamily: "system-ui, sans-serif",
})

const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-dimmed": "var(--mantine-color-gray-7)",
    "--mantine-color-placeholder": "var(--mantine-color-gray-7)",
    "--mantine-color-error": "var(--mantine-color-red-9)",
    "--mantine-color-anchor": "var(--mantine-color-blue-8)",
  },
  dark: {
    "--mantine-color-dimmed": "var(--mantine-color-dark-1)",
    "--mantine-color-placeholder": "var(--mantine-color-dark-1)",
    "--mantine-color-error": "var(--mantine-color-red-4)",
    "--mantine-color-anchor": "var(--mantine-color-blue-3)",
  },
})

/** A refusal stays a refusal; only a server that fails or cannot be reached is asked again. */
function retry(failures: number, error: Error) {
  return failures < 2 && !(error instanceof Problem && error.status < 500)
}

export function App({ children }: { children: ReactNode }) {
  return (
    <MantineProvider theme={theme} cssVariablesResolver={variables} defaultColorScheme="auto">
      {children}
    </MantineProvider>
  )
}

/** Mounts an entry's page. */
export function mount(page: ReactNode) {
  const root = document.getElementById("root")
  if (!root) throw new Error("the page has no #root")
  const queries = new QueryClient({ defaultOptions: { queries: { retry, staleTime: 10_000 } } })
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={queries}>
        <App>{page}</App>
      </QueryClientProvider>
    </StrictMode>,
  )
}
