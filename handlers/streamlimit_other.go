//go:build !unix

package handlers

func streamLimit() int64 { return fallbackStreams }
