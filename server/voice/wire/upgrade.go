package wire

import (
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 names it; nothing secret rests on it
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"

	"github.com/gobwas/ws"
	"github.com/valyala/fasthttp"
)

const acceptGUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455 section 1.3

// Upgrade answers a websocket's handshake and runs serve with the connection, which is closed when serve returns. It is
// read by a loop, where there are loops. False means that the request is none (the handler answers it).
func Upgrade(ctx *fasthttp.RequestCtx, loops *Loops, serve func(*Conn)) bool {
	h := &ctx.Request.Header
	key := string(h.Peek("Sec-WebSocket-Key"))
	raw, err := base64.StdEncoding.DecodeString(key)
	if !ctx.IsGet() || !h.ConnectionUpgrade() || !strings.EqualFold(string(h.Peek("Upgrade")), "websocket") ||
		string(h.Peek("Sec-WebSocket-Version")) != "13" || err != nil || len(raw) != 16 {
		return false
	}
	sum := sha1.Sum([]byte(key + acceptGUID)) //nolint:gosec // see the import
	r := &ctx.Response
	r.Reset()
	r.SetStatusCode(fasthttp.StatusSwitchingProtocols)
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Sec-WebSocket-Accept", base64.StdEncoding.EncodeToString(sum[:]))
	ctx.Hijack(func(conn net.Conn) {
		// The handshake is over, and a client may send nothing before its answer (RFC 6455 section 4.1), so what
		// fasthttp keeps between us and the socket is empty. It is as large as the largest request: the call goes on
		// with a descriptor of its own, and fasthttp takes its buffers and its descriptor back.
		if under, ok := conn.(interface{ UnsafeConn() net.Conn }); ok {
			conn = under.UnsafeConn()
		}
		if own, err := duplicate(conn); err == nil {
			go run(loops.Conn(own), serve)
			return
		}
		run(conn, serve)
	})
	return true
}

func run(conn net.Conn, serve func(*Conn)) {
	c := Server(conn)
	defer func() { _ = c.Close() }()
	serve(c)
}

// duplicate is another descriptor of the same socket.
func duplicate(conn net.Conn) (net.Conn, error) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	file, err := tcp.File()
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return net.FileConn(file)
}

// Dial opens a websocket to a ws:// or wss:// address. dial is the way to the network, nil for the usual one.
func Dial(ctx context.Context, url string, header http.Header, dial func(ctx context.Context, network, addr string) (net.Conn, error)) (*Conn, error) {
	d := ws.Dialer{Header: ws.HandshakeHeaderHTTP(header), NetDial: dial}
	conn, early, _, err := d.Dial(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("websocket: %w", err)
	}
	return Client(conn, early), nil
}
