package collect

import (
	"io/fs"
	"regexp"
	"strings"
)

// A uname is what uname(1) prints with -s, -r, -v, -m and -o.
type uname struct{ name, release, version, machine, os string }

// kernelFacts describes the kernel and the distribution around it. Every value is a string,
// as clients decode them into one map.
func kernelFacts(root fs.FS) (map[string]string, error) {
	u, err := hostUname()
	if err != nil {
		return nil, err
	}
	facts := map[string]string{"name": u.name, "release": u.release, "version": u.version, "machine": u.machine, "os": u.os}
	name, version := platform(rootOrHost(root))
	if name != "" {
		facts["platform_name"] = name
	}
	if version != "" {
		facts["platform_version"] = version
	}
	return facts, nil
}

// platformNames writes the ids of distributions as their makers do. An id that is not here
// is written as the distribution itself writes its name.
var platformNames = map[string]string{
	"debian": "Debian", "ubuntu": "Ubuntu", "linuxmint": "Linux Mint", "raspbian": "Raspbian", "fedora": "Fedora",
	"ol": "Oracle Linux", "oracle": "Oracle Linux", "enterpriseenterprise": "Oracle Enterprise Linux", "centos": "CentOS",
	"rhel": "Red Hat Enterprise Linux", "redhat": "Red Hat Enterprise Linux", "scientific": "Scientific Linux",
	"amzn": "Amazon Linux", "amazon": "Amazon Linux", "xenserver": "XenServer", "cloudlinux": "CloudLinux",
	"ibm_powerkvm": "IBM PowerKVM", "sles": "SUSE Linux Enterprise Server", "suse": "SUSE Linux Enterprise Server",
	"opensuse": "openSUSE", "opensuse-leap": "openSUSE", "opensuse-tumbleweed": "openSUSE", "gentoo": "Gentoo Linux",
	"slackware": "Slackware", "arch": "Arch Linux", "exherbo": "Exherbo", "alpine": "Alpine Linux", "coreos": "CoreOS",
	"rocky": "Rocky Linux", "almalinux": "AlmaLinux",
}

// redHats are the ids whose /etc/redhat-release tells the version with its minor part, which
// os-release may lack.
var redHats = map[string]bool{"centos": true, "rhel": true, "rocky": true, "almalinux": true, "ol": true, "scientific": true, "cloudlinux": true}

// platform returns the name and version of the distribution; "" where unknown. os-release
// comes first (os-release(5)); distributions from before 2012 have a file each.
func platform(root fs.FS) (name, version string) {
	for _, file := range []string{"etc/os-release", "usr/lib/os-release"} {
		text, ok := readTrimmed(root, file)
		if !ok {
			continue
		}
		v := parseOSRelease(text)
		if v["ID"] == "" {
			continue
		}
		if name = platformNames[v["ID"]]; name == "" {
			if name = v["NAME"]; name == "" {
				name = v["ID"]
			}
		}
		return name, platformVersion(root, v)
	}
	if name, version = oldRedHat(root); name != "" {
		return name, version
	}
	if text, ok := readTrimmed(root, "etc/lsb-release"); ok {
		if v := parseOSRelease(text); v["DISTRIB_ID"] != "" {
			name := platformNames[strings.ToLower(v["DISTRIB_ID"])]
			if name == "" {
				name = v["DISTRIB_ID"]
			}
			return name, v["DISTRIB_RELEASE"]
		}
	}
	for _, f := range []struct{ file, id string }{
		{"etc/slackware-version", "slackware"}, {"etc/debian_version", "debian"}, {"etc/gentoo-release", "gentoo"},
		{"etc/SuSE-release", "suse"}, {"etc/alpine-release", "alpine"}, {"etc/arch-release", "arch"},
	} {
		if text, ok := readTrimmed(root, f.file); ok {
			return platformNames[f.id], versionNumber.FindString(text)
		}
	}
	return "", ""
}

// platformVersion returns the version by os-release, or a more exact one.
func platformVersion(root fs.FS, v map[string]string) string {
	switch id := v["ID"]; {
	case id == "debian", id == "raspbian":
		if text, ok := readTrimmed(root, "etc/debian_version"); ok && text != "" { // "12.5"; "trixie/sid"
			return firstLine(text)
		}
	case redHats[id]:
		if text, ok := readTrimmed(root, "etc/redhat-release"); ok {
			if exact := releaseNumber(text); exact != "" {
				return exact
			}
		}
	}
	return v["VERSION_ID"]
}

// oldRedHat reads the files of the Red Hat family: "CentOS release 6.10 (Final)".
func oldRedHat(root fs.FS) (name, version string) {
	for _, file := range []string{"etc/oracle-release", "etc/enterprise-release", "etc/redhat-release", "etc/system-release"} {
		text, ok := readTrimmed(root, file)
		if !ok || text == "" {
			continue
		}
		line := firstLine(text)
		first, _, _ := strings.Cut(line, " ")
		id := strings.ToLower(first)
		switch {
		case file == "etc/enterprise-release":
			id = "enterpriseenterprise"
		case strings.HasPrefix(strings.ToLower(line), "red hat"):
			id = "redhat"
		}
		if name = platformNames[id]; name == "" {
			name = first
		}
		return name, releaseNumber(line)
	}
	return "", ""
}

var (
	releaseWord   = regexp.MustCompile(`release (\w[\w.]*)`)
	versionNumber = regexp.MustCompile(`[0-9]+(\.[0-9]+)*`)
)

// releaseNumber returns "7.9.2009" of "CentOS Linux release 7.9.2009 (Core)", "" without one.
func releaseNumber(text string) string {
	if m := releaseWord.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return ""
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return strings.TrimSpace(line)
}

// parseOSRelease reads the assignments of an os-release file: shell syntax without expansion,
// values bare or in quotes, where a backslash takes the next character as it is.
func parseOSRelease(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			quote := value[0]
			value = value[1 : len(value)-1]
			if quote == '"' {
				value = unquote(value)
			}
		}
		values[key] = value
	}
	return values
}

func unquote(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
