declare const Scalar: { createApiReference: (selector: string, options: object) => void }

// Nothing of the page comes from, or reports to, anywhere else.
Scalar.createApiReference("#reference", {
  url: "/openapi.json",
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  showDeveloperTools: "never",
})
