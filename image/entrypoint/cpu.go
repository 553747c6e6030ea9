package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Bits of AT_HWCAP on arm64 (arch/arm64/include/uapi/asm/hwcap.h of Linux).
const (
	hwcapFPHP     = 1 << 9  // half-precision scalars
	hwcapASIMDHP  = 1 << 10 // half-precision vectors
	hwcapATOMICS  = 1 << 8  // large system extensions, mandatory since ARMv8.1
	hwcapASIMDRDM = 1 << 12 // rounding doubling multiply, mandatory since ARMv8.1
	hwcapASIMDDP  = 1 << 20 // dot product
)

// armv82 is what a compiler may use that was told armv8.2-a+dotprod, with or without +fp16. Every core with dot
// product has all of it: Cortex-A55 and A76 (Raspberry Pi 5), Neoverse N1, Apple M1.
const armv82 = hwcapFPHP | hwcapASIMDHP | hwcapATOMICS | hwcapASIMDRDM | hwcapASIMDDP

// amd64 is what the image's server for PCs is compiled for, as /proc/cpuinfo names it.
var amd64 = []string{"avx", "avx2", "fma", "f16c", "bmi2"}

// cpu is what is known of the machine's.
type cpu struct {
	architecture string // as Go names it
	hwcap        uint64
	flags        []string // empty where it is not an x86, or hides
}

func thisCPU() cpu {
	vector, _ := os.ReadFile("/proc/self/auxv") // what is not known counts as not there
	info, _ := os.ReadFile("/proc/cpuinfo")
	return cpu{runtime.GOARCH, auxiliary(vector, 16), flags(string(info))} // 16: AT_HWCAP
}

// chooseServer returns the fastest llama-server in a folder that the CPU can run.
func (c cpu) chooseServer(folder string) (string, error) {
	names := []string{"llama-server"}
	switch {
	case c.architecture == "arm64" && c.hwcap&armv82 == armv82:
		names = []string{"llama-server.armv8.2-a-dotprod", "llama-server.armv8-a", "llama-server"}
	case c.architecture == "arm64":
		names = []string{"llama-server.armv8-a", "llama-server"}
	case c.architecture == "amd64" && len(c.flags) > 0:
		for _, needed := range amd64 {
			if !contains(c.flags, needed) {
				return "", fail(failed, "this CPU has no %s: the image needs x86-64-v3 (Intel since Haswell, 2013; AMD since "+
					"Excavator, 2015)", needed)
			}
		}
	}
	for _, name := range names {
		path := filepath.Join(folder, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fail(failed, "there is no %s for this CPU in %s", strings.Join(names, " and no "), folder)
}

// flags are the abilities of the first processor in /proc/cpuinfo of an x86.
func flags(info string) []string {
	for _, line := range strings.Split(info, "\n") {
		if name, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(name) == "flags" {
			return strings.Fields(value)
		}
	}
	return nil
}

// auxiliary finds an entry in an auxiliary vector: pairs of 64-bit numbers, a type and its value.
func auxiliary(vector []byte, kind uint64) uint64 {
	for ; len(vector) >= 16; vector = vector[16:] {
		if binary.LittleEndian.Uint64(vector) == kind {
			return binary.LittleEndian.Uint64(vector[8:])
		}
	}
	return 0
}
