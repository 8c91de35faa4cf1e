package collect

import (
	"io/fs"
	"strconv"
	"strings"
)

// cpuFacts describes each logical processor. Every value is a string; one that the kernel
// does not tell is left out.
func cpuFacts(proc, sys fs.FS) ([]map[string]string, error) {
	text, err := readText(procOrHost(proc), "cpuinfo")
	if err != nil {
		return nil, err
	}
	sys = sysOrHost(sys)
	var facts []map[string]string
	for _, c := range parseCPUInfo(text) {
		dir := "devices/system/cpu/cpu" + c["processor"] + "/"
		delete(c, "processor")
		c["cores"] = "1" // of a logical processor
		// Not every architecture tells these in cpuinfo; sysfs does on all.
		for key, file := range map[string]string{"core_id": "topology/core_id", "physical_id": "topology/physical_package_id"} {
			if v, ok := readTrimmed(sys, dir+file); ok && c[key] == "" && v != "" {
				c[key] = v
			}
		}
		// What it can do at most says more of a machine than what it happens to run at.
		if v, ok := readTrimmed(sys, dir+"cpufreq/cpuinfo_max_freq"); ok {
			if khz, err := strconv.ParseUint(v, 10, 64); err == nil && khz > 0 {
				c["mhz"] = strconv.FormatFloat(float64(khz)/1000, 'f', -1, 64)
			}
		}
		facts = append(facts, c)
	}
	return facts, nil
}

// cpuLines names the lines of /proc/cpuinfo that are facts: x86, s390 and others, then arm64.
var cpuLines = map[string]string{
	"processor": "processor", "vendor_id": "vendor_id", "cpu family": "family", "model": "model", "model name": "model_name",
	"stepping": "stepping", "physical id": "physical_id", "core id": "core_id", "cache size": "cache_size", "cpu MHz": "mhz",
	"CPU implementer": "vendor_id", "CPU architecture": "family", "CPU part": "model", "CPU revision": "stepping",
}

// parseCPUInfo reads /proc/cpuinfo (arch/x86/kernel/cpu/proc.c, arch/arm64/kernel/cpuinfo.c):
// "key : value" lines, the first of each processor being its number. Other lines, and the
// description of the board that 32-bit ARM appends, are left out.
func parseCPUInfo(text string) []map[string]string {
	var cpus []map[string]string
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, ":")
		name := cpuLines[strings.TrimSpace(key)]
		value = strings.TrimSpace(value)
		if !ok || name == "" || value == "" {
			continue
		}
		if name == "processor" {
			// 32-bit ARM has a line "Processor" with a text besides; numbers only.
			if _, err := strconv.ParseUint(value, 10, 32); err == nil {
				cpus = append(cpus, map[string]string{name: value})
			}
			continue
		}
		if len(cpus) == 0 {
			continue
		}
		if name == "mhz" {
			mhz, err := strconv.ParseFloat(value, 64)
			if err != nil {
				continue
			}
			value = strconv.FormatFloat(mhz, 'f', -1, 64)
		}
		cpus[len(cpus)-1][name] = value
	}
	for _, c := range cpus {
		nameARM(c)
	}
	return cpus
}

// nameARM turns the numbers by which an ARM core names itself into words, where they are known
// (the main id register; "implementer" and "part" in the kernel's arch/arm64/include/asm/cputype.h).
func nameARM(c map[string]string) {
	vendor, ok := armVendors[c["vendor_id"]]
	if !ok {
		return
	}
	if core := armCores[c["vendor_id"]+c["model"]]; core != "" && c["model_name"] == "" {
		c["model_name"] = core
	}
	c["vendor_id"] = vendor
}

var armVendors = map[string]string{
	"0x41": "ARM", "0x42": "Broadcom", "0x43": "Cavium", "0x46": "Fujitsu", "0x48": "HiSilicon", "0x4e": "NVIDIA",
	"0x50": "APM", "0x51": "Qualcomm", "0x53": "Samsung", "0x61": "Apple", "0x6d": "Microsoft", "0xc0": "Ampere",
}

var armCores = map[string]string{
	"0x410xd03": "Cortex-A53", "0x410xd05": "Cortex-A55", "0x410xd07": "Cortex-A57", "0x410xd08": "Cortex-A72", "0x410xd0b": "Cortex-A76",
	"0x410xd0c": "Neoverse-N1", "0x410xd40": "Neoverse-V1", "0x410xd49": "Neoverse-N2", "0x410xd4f": "Neoverse-V2", "0xc00xac3": "Ampere-1",
}
