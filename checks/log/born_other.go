//go:build !linux

package log

import "os"

func born(*os.File) int64 { return 0 }
