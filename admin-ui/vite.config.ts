import react from "@vitejs/plugin-react"
import { defineConfig } from "vitest/config"

export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2023",
    rolldownOptions: { input: ["admin.html", "tenant.html", "onboarding.html", "docs.html"] },
  },
  test: { environment: "happy-dom" },
})
