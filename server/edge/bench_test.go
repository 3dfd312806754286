package edge

import (
	"io"
	"log/slog"
	"testing"

	"github.com/gofiber/fiber/v2"
	"github.com/valyala/fasthttp"
)

// benchmarkEdge runs whole requests through the edge to an empty handler, without sockets.
func benchmarkEdge(b *testing.B, host, path string, credential func(*rig) string) {
	r := newRig(b, func(c *Config) {
		c.Limits[ClassIP], c.Limits[ClassPerson], c.Limits[ClassKey] = PerMinute(1<<30), PerMinute(1<<30), PerMinute(1<<30)
		c.Log = slog.New(slog.NewJSONHandler(io.Discard, nil))
	})
	app := fiber.New(r.edge.FiberConfig())
	app.Use(r.edge.Handle)
	app.Use(func(c *fiber.Ctx) error { return c.SendStatus(204) })
	serve := app.Handler()
	authorization := ""
	if credential != nil {
		authorization = "Bearer " + credential(r)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		ctx := &fasthttp.RequestCtx{}
		for pb.Next() {
			ctx.Request.Reset()
			ctx.Response.Reset()
			ctx.Request.SetRequestURI(path)
			ctx.Request.Header.SetHost(host)
			if authorization != "" {
				ctx.Request.Header.Set("Authorization", authorization)
			}
			serve(ctx)
			if ctx.Response.StatusCode() != 204 {
				b.Fatal(string(ctx.Response.Body()))
			}
		}
	})
}

func BenchmarkEdgePage(b *testing.B) { benchmarkEdge(b, "haiec.kestrel.ai", "/calls", nil) }

func BenchmarkEdgePerson(b *testing.B) {
	benchmarkEdge(b, "haiec.kestrel.ai", "/api/tenant/calls", func(r *rig) string { return r.token(b, owner, nil) })
}

func BenchmarkEdgeKey(b *testing.B) {
	benchmarkEdge(b, "api.kestrel.ai", "/api/tenant/calls", func(r *rig) string { return r.readKey })
}

func BenchmarkEdgeAdmin(b *testing.B) {
	benchmarkEdge(b, "admin.kestrel.ai", "/api/admin/tenants", func(r *rig) string { return r.token(b, staff, nil) })
}
