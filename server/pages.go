package main

import (
	"regexp"

	"github.com/gofiber/fiber/v2"

	adminui "kestrel.ai/admin-ui"
	"kestrel.ai/server/edge"
	"kestrel.ai/subdomain"
)

// notPage is what programs ask for, who would take a page for an answer: Kestrel's API, Supabase's, and assets.
var notPage = regexp.MustCompile(`^/(api|auth|rest|storage|realtime|functions|graphql|assets)(/|$)`)

// pages serves the React app: which of its entries is the host's business, and every path of one is the same page.
func pages(files *adminui.Files) fiber.Handler {
	entries := map[subdomain.HostKind]adminui.Page{
		subdomain.Apex: adminui.Onboarding, subdomain.Admin: adminui.Admin, subdomain.TenantHost: adminui.Tenant,
	}
	return func(c *fiber.Ctx) error {
		if c.Method() != fiber.MethodGet && c.Method() != fiber.MethodHead {
			return edge.NewProblem(fiber.StatusMethodNotAllowed, "method_not_allowed", "There is nothing at this path that this method could do.")
		}
		page, known := entries[edge.FromContext(c.UserContext()).Host]
		if c.Path() == "/docs" {
			page, known = adminui.Docs, true
		}
		if !known {
			return edge.NewProblem(fiber.StatusNotFound, "not_found", "There is nothing at this path.")
		}
		accept := c.Get(fiber.HeaderAcceptEncoding)
		file, ok := files.Asset(c.Path(), accept)
		if !ok && notPage.MatchString(c.Path()) {
			return edge.NewProblem(fiber.StatusNotFound, "not_found", "There is nothing at this path.")
		}
		if !ok {
			if file, ok = files.Page(page, accept); !ok {
				return edge.NewProblem(fiber.StatusNotFound, "ui_not_built", "The UI is not in this build. Run make build.")
			}
		}
		c.Set(fiber.HeaderContentType, file.ContentType)
		c.Set(fiber.HeaderCacheControl, file.CacheControl)
		c.Set(fiber.HeaderETag, file.ETag)
		c.Vary(fiber.HeaderAcceptEncoding)
		if c.Get(fiber.HeaderIfNoneMatch) == file.ETag {
			return c.SendStatus(fiber.StatusNotModified)
		}
		if file.Encoding != "" {
			c.Set(fiber.HeaderContentEncoding, file.Encoding)
		}
		return c.Send(file.Body)
	}
}
