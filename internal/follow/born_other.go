//go:build !linux

package follow

import "os"

func born(*os.File) int64 { return 0 }
