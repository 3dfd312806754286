//go:build !linux

package voice_test

// Both need epoll.
func generate() { panic("the load generator runs on Linux only") }
func relay()    { panic("the bare relay runs on Linux only") }
