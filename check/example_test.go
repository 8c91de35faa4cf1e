package check_test

import (
	"context"
	"fmt"
	"os"

	"github.com/saba-monitor/saba/check"
)

// A checker counts the files in a folder.
type spoolChecker struct {
	dir  string
	most int
}

func (c *spoolChecker) Check(context.Context) check.Result {
	files, err := os.ReadDir(c.dir)
	switch {
	case err != nil:
		return check.Unknown("%v", err)
	case len(files) > c.most:
		return check.Critical("%d files wait in %s, more than %d", len(files), c.dir, c.most)
	}
	return check.OK("%d files wait in %s", len(files), c.dir)
}

// A check is a value; main is check.Main(spool).
var spool = check.Check{
	Name:  "spool",
	Short: "whether few files wait in a folder",
	New: func(fs *check.FlagSet) check.Checker {
		c := &spoolChecker{}
		fs.StringVarP(&c.dir, "dir", "d", "/var/spool", "`folder` to count in")
		fs.IntVarP(&c.most, "critical", "c", 100, "CRITICAL with more than this `number` of files")
		return c
	},
}

func ExampleCheck() {
	here := check.System{Stdout: os.Stdout, Getenv: os.Getenv} // as check.Main has it
	for _, args := range [][]string{{"-d", "checktest"}, {"-d", "checktest", "-c", "0", "--status-as", "critical=warning"}, {"--directory", "."}, {"-d", "/no/such"}} {
		code := check.Run(context.Background(), spool, args, here)
		fmt.Println("exit code", code)
	}
	// Output:
	// Spool OK: 1 files wait in checktest
	// exit code 0
	// Spool WARNING: 1 files wait in checktest, more than 0
	// exit code 1
	// Spool UNKNOWN: unknown flag --directory; check-spool -h lists the flags
	// exit code 3
	// Spool UNKNOWN: open /no/such: no such file or directory
	// exit code 3
}
