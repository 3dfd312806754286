package voice

import (
	"context"

	"github.com/gofiber/fiber/v2"

	"kestrel.ai/server/voice/wire"
)

// Stream answers GET /api/voice/stream, Twilio's media websocket. The token in its start frame is what admits it.
func (b *Bridge) Stream(c *fiber.Ctx) error {
	if !wire.Upgrade(c.Context(), b.opts.Loops, func(conn *wire.Conn) {
		if err := b.Serve(context.Background(), conn); err != nil {
			b.log.Warn("media stream refused", "error", err)
		}
	}) {
		return fiber.ErrUpgradeRequired
	}
	return nil
}
