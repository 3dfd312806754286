//go:build !linux

package voice_test

// generate needs epoll.
func generate() { panic("the load generator runs on Linux only") }
