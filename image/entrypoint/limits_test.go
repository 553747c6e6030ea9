package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// machine writes the files of a container with four cores of two threads each; name and content of more in turn.
func machine(t *testing.T, files ...string) string {
	t.Helper()
	root := t.TempDir()
	files = append([]string{"sys/devices/system/cpu/online", "0-7\n"}, files...)
	for cpu, siblings := range []string{"11", "22", "44", "88", "11", "22", "44", "88"} {
		files = append(files, "sys/devices/system/cpu/cpu"+string(rune('0'+cpu))+"/topology/thread_siblings", siblings)
	}
	for ; len(files) > 0; files = files[2:] {
		path := filepath.Join(root, files[0])
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(files[1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// If this fails, a container with a part of the machine starts a thread for each core of it, which wait for each other.
func TestThreadsFollowTheLimits(t *testing.T) {
	const status, own, v2 = "proc/self/status", "proc/self/cgroup", "0::/a/b\n"
	all := "Name:\tx\nCpus_allowed_list:\t0-7\n"
	for _, c := range []struct {
		name    string
		files   []string
		threads int
	}{
		{"nothing can be read", nil, 0},
		{"no limit", []string{status, all, own, "0::/\n", "sys/fs/cgroup/cpu.max", "max 100000\n"}, 0},
		{"three CPUs on two cores", []string{status, "Cpus_allowed_list:\t0,4-5\n"}, 2},
		{"a core and a half", []string{status, all, own, "0::/\n", "sys/fs/cgroup/cpu.max", "150000 100000\n"}, 1},
		{"two cores and a half", []string{status, all, own, "0::/\n", "sys/fs/cgroup/cpu.max", "250000 100000\n"}, 2},
		{"half a core", []string{status, all, own, "0::/\n", "sys/fs/cgroup/cpu.max", "50000 100000\n"}, 1},
		{"more than there is", []string{status, all, own, "0::/\n", "sys/fs/cgroup/cpu.max", "900000 100000\n"}, 0},
		{"a group around it", []string{status, all, own, v2, "sys/fs/cgroup/a/b/cpu.max", "max 100000", "sys/fs/cgroup/a/cpu.max", "300000 100000"}, 3},
		{"version 1", []string{status, all, own, "4:cpu,cpuacct:/docker/1\n", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "200000", "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000"}, 2},
		{"mounted under one name", []string{status, all, own, "4:cpu,cpuacct:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "200000", "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"}, 2},
		{"version 1 without a limit", []string{status, all, own, "4:cpu:/\n", "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000"}, 0},
		{"the smaller of both", []string{status, "Cpus_allowed_list:\t0\n", own, "0::/\n", "sys/fs/cgroup/cpu.max", "200000 100000"}, 1},
	} {
		if got, why := limitsOf(machine(t, c.files...)).threads(); got != c.threads {
			t.Errorf("%s: %d threads, because %q", c.name, got, why)
		}
	}
}

// If this fails, a model that the container's memory cannot hold is loaded until the kernel kills it without a word.
func TestMemoryFollowsTheLimits(t *testing.T) {
	const own = "proc/self/cgroup"
	for _, c := range []struct {
		name  string
		files []string
		want  uint64
	}{
		{"version 2", []string{own, "0::/\n", "sys/fs/cgroup/memory.max", "1000\n"}, 1000},
		{"no limit", []string{own, "0::/\n", "sys/fs/cgroup/memory.max", "max\n"}, 0},
		{"a group around it", []string{own, "0::/a\n", "sys/fs/cgroup/a/memory.max", "2000", "sys/fs/cgroup/memory.max", "1000"}, 1000},
		{"version 1", []string{own, "5:memory:/docker/1\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n"}, 1000},
		{"version 1 without a limit", []string{own, "5:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"}, 0},
	} {
		if got := limitsOf(machine(t, c.files...)).memory; got != c.want {
			t.Errorf("%s: %d", c.name, got)
		}
	}
}

// If this fails, a model that fits is refused, or one that does not is loaded.
func TestWhatAModelNeeds(t *testing.T) {
	big := gguf{architecture: "llama", context: 32768, bytes: 4_000_000_000, heads: 32, perToken: 131072}
	long := gguf{architecture: "bert", context: 8192, dimensions: 1024, pooling: "cls", bytes: 600_000_000, heads: 16}
	for _, c := range []struct {
		name    string
		header  gguf
		environ string
		want    memoryNeeds
	}{
		{"chat", big, "", memoryNeeds{4_000_000_000, 131072 * 4096, 0}},
		{"two at a time", big, "LLAMA_ARG_N_PARALLEL=2", memoryNeeds{4_000_000_000, 131072 * 8192, 0}},
		{"with scores", big, "LLAMA_ARG_FLASH_ATTN=off", memoryNeeds{4_000_000_000, 131072 * 4096, 32 * 512 * 4096 * 4}},
		{"an embedding", long, "", memoryNeeds{600_000_000, 0, 0}},
		{"a long one with scores", long, "CONTEXT=8192 LLAMA_ARG_FLASH_ATTN=0", memoryNeeds{600_000_000, 0, 16 * 8192 * 8192 * 4}},
	} {
		g := given{environ: strings.Fields(c.environ)}
		s, _ := readSettings(g)
		p, err := makePlan(model{name: "m", path: "/m"}, c.header, s, g, limits{})
		if err != nil || p.needs != c.want {
			t.Errorf("%s: %+v, %v", c.name, p.needs, err)
		}
	}
	needs := memoryNeeds{600, 300, 100}
	if err := checkMemory("m", needs, limits{memory: 1000}); err != nil {
		t.Error(err)
	}
	if err := checkMemory("m", needs, limits{}); err != nil {
		t.Error(err)
	}
	if err := checkMemory("m", needs, limits{memory: 999}); statusOf(err) != noMemory {
		t.Error(err)
	}
}

// If this fails, the image and a board's stack disagree on what a model needs, and one of them is wrong.
func TestWhatABoardIsToldAsWell(t *testing.T) {
	text, err := os.ReadFile("../../tests/memory.json")
	if os.IsNotExist(err) {
		t.Skip("only in a checkout: ../../tests/memory.json is not part of the image")
	}
	var table struct {
		Cases []struct {
			Name                                                                           string
			Layers, Heads, KvHeads, Embedding, KeyLength, ValueLength, Context, MicroBatch uint64
			Cache, Scores                                                                  uint64
		}
	}
	if err := json.Unmarshal(text, &table); err != nil || len(table.Cases) == 0 {
		t.Fatal("no cases", err)
	}
	for _, c := range table.Cases {
		r := headerReader{texts: map[string]string{"general.architecture": "llama"}, numbers: map[string]uint64{
			"llama.block_count": c.Layers, "llama.attention.head_count": c.Heads, "llama.attention.head_count_kv": c.KvHeads,
			"llama.embedding_length": c.Embedding,
		}}
		if c.KeyLength > 0 {
			r.numbers["llama.attention.key_length"], r.numbers["llama.attention.value_length"] = c.KeyLength, c.ValueLength
		}
		g := given{environ: []string{"LLAMA_ARG_FLASH_ATTN=off", fmt.Sprintf("LLAMA_ARG_UBATCH=%d", c.MicroBatch)}}
		needs := (&planner{header: r.summary(), given: g}).estimate(chat, int(c.Context), 1)
		if needs.cache != c.Cache || needs.work != c.Scores {
			t.Errorf("%s: %+v", c.Name, needs)
		}
	}
}

// If this fails, a busy machine's servers are thirty times slower than they could be, or cannot be told otherwise.
func TestThreadsSleepWhileTheyWait(t *testing.T) {
	for before, want := range map[string]string{
		"A=1":                        "A=1 OMP_WAIT_POLICY=passive",
		"OMP_WAIT_POLICY=active":     "OMP_WAIT_POLICY=active",
		"GOMP_SPINCOUNT=1000":        "GOMP_SPINCOUNT=1000",
		"OMP_WAIT_POLICY= OTHER=yes": "OMP_WAIT_POLICY= OTHER=yes OMP_WAIT_POLICY=passive",
	} {
		if got := strings.Join(sleepy(strings.Fields(before)), " "); got != want {
			t.Errorf("%s: %s", before, got)
		}
	}
}

// If this fails, a number of threads that somebody set is overruled, or the machine's cores are taken for the container's.
func TestThreadsAreSet(t *testing.T) {
	half := limits{cores: 4, all: 4, quota: 0.5}
	for environ, want := range map[string]bool{"MODEL=m": true, "LLAMA_ARG_THREADS=3": false} {
		g := given{environ: strings.Fields(environ)}
		s, _ := readSettings(g)
		p, err := makePlan(model{name: "m", path: "/m"}, smol, s, g, half)
		if got := strings.Contains(strings.Join(p.args, " "), "--threads 1 "); err != nil || got != want {
			t.Errorf("%s: %v %v", environ, p.args, err)
		}
	}
}
