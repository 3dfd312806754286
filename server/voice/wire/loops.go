package wire

import (
	"context"
	"net"
)

// Dial is net.Dialer's DialContext to a connection that a loop reads.
func (l *Loops) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return l.Conn(conn), nil
}
