package edge

import "github.com/gofiber/fiber/v2"

const (
	// apiPolicy: an answer of the API is data. Should a browser ever show it as a page, that page can do nothing.
	apiPolicy = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
	// pagePolicy: own scripts only. Mantine sets style attributes; recordings and audio worklets come as blobs.
	pagePolicy = "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; " +
		"font-src 'self' data:; media-src 'self' blob:; worker-src 'self' blob:; connect-src 'self'; " +
		"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

// securityHeaders go on before the handler runs, so that it may tighten or, knowingly, loosen one. There is no CORS:
// each face calls its own origin.
func securityHeaders(c *fiber.Ctx, rt route, cfg Config) {
	policy := pagePolicy
	if under(c.Path(), "/api") || rt.prefix == "/auth/v1" || rt.prefix == "/openapi.json" {
		policy = apiPolicy
		c.Set(fiber.HeaderCacheControl, "no-store")
	}
	c.Set(fiber.HeaderContentSecurityPolicy, policy)
	c.Set("Cross-Origin-Resource-Policy", "same-origin")
	c.Set("Cross-Origin-Opener-Policy", "same-origin")
	c.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(self)")
	if cfg.Scheme == "https" {
		c.Set(fiber.HeaderStrictTransportSecurity, "max-age=63072000; includeSubDomains")
	}
}

// basicHeaders go on every answer, errors before routing included.
func basicHeaders(c *fiber.Ctx, requestID string) {
	c.Set(fiber.HeaderXRequestID, requestID)
	c.Set(fiber.HeaderXContentTypeOptions, "nosniff")
	c.Set(fiber.HeaderXFrameOptions, "DENY")
	c.Set(fiber.HeaderReferrerPolicy, "no-referrer")
}
