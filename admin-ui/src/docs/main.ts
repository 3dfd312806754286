declare const Scalar: { createApiReference: (selector: string, options: object) => void }

// Nothing of the page comes from, or reports to, anywhere else.
Scalar.createApiReference("#reference", {
  url: "/openapi.json",
  withDefaultFonts: false,
  telemetry: false,
  agent: { disabled: true },
  mcp: { disabled: true },
  showDeveloperTools: "never",
  // Its own greys and colours stay under 4.5:1, its smallest buttons under 24 px.
  customCss: `
    .light-mode {
      --scalar-color-2: #595959; --scalar-color-3: #5f5f5f; --scalar-sidebar-search-color: #5f5f5f;
      --scalar-color-blue: #0060a0; --scalar-color-green: #006b3a; --scalar-color-orange: #944600;
      --scalar-color-red: #b3152a; --scalar-color-yellow: #6f5400; --scalar-color-purple: #5a32a8;
    }
    .dark-mode { --scalar-color-3: #a4a4a4; --scalar-sidebar-search-color: #a4a4a4; }
    #reference button { min-width: 24px; min-height: 24px; }
  `,
})

// Its copy buttons come without a name.
new MutationObserver(() => {
  for (const button of document.querySelectorAll("button.scalar-code-copy:not([aria-label])"))
    button.setAttribute("aria-label", "Copy")
}).observe(document.body, { childList: true, subtree: true })
