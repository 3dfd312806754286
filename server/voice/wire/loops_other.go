//go:build !linux

package wire

import "net"

// Loops does nothing where there is no epoll: each connection is read by a goroutine.
type Loops struct{}

// Conn is conn.
func (*Loops) Conn(conn net.Conn) net.Conn { return conn }
