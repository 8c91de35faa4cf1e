package agent

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestOnlyWhatNobodyWaitsForIsBuried(t *testing.T) {
	// A child that nobody waits for is what a process in a container finds that others have left to it.
	orphan := exec.Command("true")
	if err := orphan.Start(); err != nil {
		t.Fatal(err)
	}
	lies := func() bool {
		return slices.ContainsFunc(zombies(os.Getpid()), func(z zombie) bool { return z.pid == orphan.Process.Pid })
	}
	for deadline := time.Now().Add(time.Minute); !lies(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the child does not end")
		}
	}
	seen := bury(nil)
	seen = bury(seen)
	if !lies() {
		t.Error("it was taken before somebody had the time to wait for it")
	}
	bury(seen)
	if lies() {
		t.Errorf("it lies there after %d looks", looksBefore)
	}
	if err := orphan.Wait(); err == nil {
		t.Error("it could be waited for twice")
	}

	// One that lives, and one that somebody waits for, are left alone.
	lives := exec.Command("sleep", "60")
	if err := lives.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lives.Process.Kill(); _ = lives.Wait() }()
	for range 2 * looksBefore {
		seen = bury(seen)
	}
	if err := lives.Process.Kill(); err != nil {
		t.Errorf("a child that lives: %v", err)
	}
}
