// Command hmetrics is an application whose only line of monitoring is the import of Heroku's package for language metrics of Go, as it is published. It runs until its
// input ends.
package main

import (
	"io"
	"os"
	"runtime"

	_ "github.com/heroku/x/hmetrics/onload" // posts to HEROKU_METRICS_URL every 20 seconds
)

func main() {
	runtime.GC()
	_, _ = io.Copy(io.Discard, os.Stdin)
}
