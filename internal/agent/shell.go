package agent

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// directly returns what a shell would start for the command line, with which environment, when that is all it would do.
// The agent then starts it itself: a shell costs as much as a small plugin. When ok is false, or what is returned
// cannot be started, the line is the shell's, whose words and exit codes people know.
func directly(line string, env []string) (path string, args, environ []string, ok bool) {
	args = plainWords(line)
	if len(args) == 0 {
		return "", nil, nil, false
	}
	for _, kv := range env {
		// These make of a bash something else than a plain shell, and of a name a function.
		if strings.HasPrefix(kv, "BASH_FUNC_") || strings.HasPrefix(kv, "SHELLOPTS=") || strings.HasPrefix(kv, "BASHOPTS=") {
			return "", nil, nil, false
		}
	}
	path, ok = pathAsShell(args[0], env)
	if !ok {
		return "", nil, nil, false
	}
	folder, ok := workingFolder(env)
	return path, args, append(env[:len(env):len(env)], "PWD="+folder), ok // as a shell sets it
}

// plainWords returns the words of a shell's line, and nil when a shell could see more in it than words: an operator,
// a quote, an expansion, an assignment, an option of its own, or the name of something that is built into it.
func plainWords(line string) []string {
	const letters, digits = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	if strings.Trim(line, letters+digits+"_-./:,@%+= \t") != "" {
		return nil
	}
	words := strings.FieldsFunc(line, func(c rune) bool { return c == ' ' || c == '\t' })
	if len(words) == 0 || strings.Contains(words[0], "=") || !strings.Contains(letters+digits+"_./", words[0][:1]) {
		return nil
	}
	// No shell has a word of its own with one of these in it: echo, test, time or [ would not be what is on the path.
	if !strings.ContainsAny(words[0], "/-_"+digits) {
		return nil
	}
	return words
}

// pathAsShell finds a program as a shell does. ok is false when that is for the shell to find out.
func pathAsShell(name string, env []string) (path string, ok bool) {
	if strings.Contains(name, "/") {
		return name, true
	}
	for dir := range strings.SplitSeq(variable(env, "PATH"), ":") {
		if !filepath.IsAbs(dir) || strings.Contains(dir, "%") { // dash has a meaning of its own for that
			return "", false
		}
		file := dir + "/" + name // not tidied: a script is told this name
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() {
			return file, true
		}
	}
	return "", false
}

// workingFolder returns the name of the folder that commands run in: the one in PWD if it is right.
func workingFolder(env []string) (name string, ok bool) {
	if name = variable(env, "PWD"); filepath.IsAbs(name) {
		there, err1 := os.Stat(name)
		here, err2 := os.Stat(".")
		if err1 == nil && err2 == nil && os.SameFile(there, here) {
			return name, true
		}
	}
	name, err := syscall.Getwd()
	return name, err == nil
}

// variable returns a variable of an environment, of which the last counts, as execve's readers have it.
func variable(env []string, name string) (value string) {
	for _, kv := range env {
		if k, v, ok := strings.Cut(kv, "="); ok && k == name {
			value = v
		}
	}
	return value
}
