package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// limits are what the container may use of the machine.
type limits struct {
	cores  int     // that the machine has and the container may run on; 0 when nobody says
	all    int     // that the machine has
	quota  float64 // cores' time; 0 without a limit
	memory uint64  // bytes; 0 without a limit
}

// thisContainer are the limits that hold for this process.
func thisContainer() limits { return limitsOf("/") }

// limitsOf reads them below a root: a test's folder, or the machine's. What cannot be read limits nothing.
func limitsOf(root string) limits {
	status, _ := os.ReadFile(filepath.Join(root, "proc/self/status"))
	allowed := ""
	for _, line := range strings.Split(string(status), "\n") {
		if name, value, found := strings.Cut(line, ":"); found && name == "Cpus_allowed_list" {
			allowed = strings.TrimSpace(value)
		}
	}
	online, _ := os.ReadFile(filepath.Join(root, "sys/devices/system/cpu/online"))
	l := limits{cores: cores(root, cpuList(allowed)), all: cores(root, cpuList(string(online)))}
	for _, folder := range groups(root, "cpu") {
		if share := quota(folder); share > 0 && (l.quota == 0 || share < l.quota) {
			l.quota = share
		}
	}
	for _, folder := range groups(root, "memory") {
		if most := memory(folder); most > 0 && (l.memory == 0 || most < l.memory) {
			l.memory = most
		}
	}
	return l
}

// threads is how many compute best within the limits: more than that wait for each other, and one more than a share of
// time is enough for stops with all of them when it is used up (1.5 cores' time: 33 tokens a second with two threads,
// 52 with one; make bench-busy). 0 leaves it to llama-server,
// which takes the machine's cores, and on some PCs knows the fast ones.
func (l limits) threads() (number int, why string) {
	if l.cores > 0 && l.cores < l.all {
		number, why = l.cores, fmt.Sprintf("it may run on %d of %d cores", l.cores, l.all)
	}
	most := int(l.quota)
	if most < 1 {
		most = 1
	}
	if l.quota > 0 && most < l.all && (number == 0 || most < number) {
		number, why = most, fmt.Sprintf("it may use %.4g cores' time", l.quota)
	}
	return number, why
}

// cpuList are the numbers in a list such as 0-3,8.
func cpuList(text string) []int {
	var numbers []int
	for _, part := range strings.Split(strings.TrimSpace(text), ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err := strconv.Atoi(first)
		to, otherwise := strconv.Atoi(last)
		for ; err == nil && otherwise == nil && from <= to; from++ {
			numbers = append(numbers, from)
		}
	}
	return numbers
}

// cores counts CPUs, those that share a core once: two threads on one core compute hardly more than one.
func cores(root string, cpus []int) int {
	seen := map[string]bool{}
	for _, cpu := range cpus {
		path := fmt.Sprintf("sys/devices/system/cpu/cpu%d/topology/thread_siblings", cpu)
		siblings, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			siblings = []byte(strconv.Itoa(cpu))
		}
		seen[string(siblings)] = true
	}
	return len(seen)
}

// groups are the folders with a controller's limits for this process: its own group's, and those of all groups around
// it. In a container only the first part of that path, or none of it, can be seen.
func groups(root, controller string) []string {
	text, _ := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	var found []string
	for _, line := range strings.Split(string(text), "\n") {
		fields := strings.SplitN(line, ":", 3) // number, controllers, path; version 2 has no controllers
		if len(fields) < 3 || fields[1] != "" && !contains(strings.Split(fields[1], ","), controller) {
			continue
		}
		mounted := filepath.Join(root, "sys/fs/cgroup", fields[1])
		if fields[1] != "" {
			if _, err := os.Stat(mounted); err != nil { // cpu,cpuacct may be mounted as cpu
				mounted = filepath.Join(root, "sys/fs/cgroup", controller)
			}
		}
		for path := filepath.Clean("/" + fields[2]); ; path = filepath.Dir(path) {
			found = append(found, filepath.Join(mounted, path))
			if path == "/" {
				break
			}
		}
	}
	return found
}

// quota is a group's share of cores' time, 0 if it has no limit: cpu.max of cgroup version 2, or two files of version 1.
func quota(folder string) float64 {
	words := strings.Fields(content(folder, "cpu.max"))
	if len(words) == 0 {
		words = []string{content(folder, "cpu.cfs_quota_us"), content(folder, "cpu.cfs_period_us")}
	}
	if len(words) != 2 {
		return 0
	}
	time, err := strconv.ParseFloat(words[0], 64)
	period, otherwise := strconv.ParseFloat(words[1], 64)
	if err != nil || otherwise != nil || time <= 0 || period <= 0 {
		return 0
	}
	return time / period
}

// memory is a group's limit in bytes, 0 if it has none: version 1 says that with a number beyond any machine's.
func memory(folder string) uint64 {
	for _, name := range []string{"memory.max", "memory.limit_in_bytes"} {
		if most, err := strconv.ParseUint(content(folder, name), 10, 64); err == nil && most < 1<<60 {
			return most
		}
	}
	return 0
}

func content(folder, name string) string {
	text, _ := os.ReadFile(filepath.Join(folder, name))
	return strings.TrimSpace(string(text))
}
