package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
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

// chooseServer returns the fastest llama-server in a folder that the CPU can run.
func chooseServer(folder, architecture string, hwcap uint64) (string, error) {
	names := []string{"llama-server"}
	if architecture == "arm64" {
		names = []string{"llama-server.armv8-a", "llama-server"}
		if hwcap&armv82 == armv82 {
			names = append([]string{"llama-server.armv8.2-a-dotprod"}, names...)
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

// hwcap is what the kernel says of the CPU; 0 where it says nothing.
func hwcap() uint64 {
	vector, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		return 0
	}
	return auxiliary(vector, 16) // AT_HWCAP
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
