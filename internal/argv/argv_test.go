package argv

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func TestASecretLeavesTheCommandLine(t *testing.T) {
	if len(os.Args) > 2 && os.Args[1] == "-test.run=^TestASecretLeavesTheCommandLine$" && os.Args[2] == "--" {
		args := Clone()
		Hide("topsecret")
		b, err := os.ReadFile("/proc/self/cmdline")
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.Write(b)
		os.Stdout.WriteString("\nclone " + strings.Join(args[3:], " ") + "\n")
		os.Exit(0)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestASecretLeavesTheCommandLine$", "--", "-password", "topsecret", "--password=topsecret", "-Ptopsecret", "not-a-topsecret-one", "mytopsecret")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	line, clone, _ := bytes.Cut(out, []byte("\n"))
	want := "-password xxxxxxxxx --password=xxxxxxxxx -Pxxxxxxxxx not-a-topsecret-one mytopsecret"
	if got := string(bytes.ReplaceAll(bytes.TrimRight(line, "\x00"), []byte{0}, []byte(" "))); !strings.HasSuffix(got, " -- "+want) {
		t.Errorf("the command line is %q, want %q at its end", got, want)
	}
	if !strings.Contains(string(clone), "clone -password topsecret --password=topsecret -Ptopsecret not-a-topsecret-one mytopsecret") {
		t.Errorf("the clone is %s", clone)
	}
}
