package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// If this fails, a Raspberry Pi 4 dies of an illegal instruction, or a newer one runs at half its speed.
func TestServerForTheCPU(t *testing.T) {
	const (
		fast  = "llama-server.armv8.2-a-dotprod"
		plain = "llama-server.armv8-a"
		any   = "llama-server"
		// What the kernel says of a Cortex-A72 (Raspberry Pi 4) and a Cortex-A76 (Raspberry Pi 5).
		pi4 = 0x887
		pi5 = 0x119fff
	)
	for _, c := range []struct {
		architecture string
		hwcap        uint64
		there        []string
		want         string
	}{
		{"arm64", pi5, []string{fast, plain}, fast},
		{"arm64", pi4, []string{fast, plain}, plain},
		{"arm64", pi5 &^ hwcapATOMICS, []string{fast, plain}, plain},
		{"arm64", 0, []string{fast, plain}, plain},
		{"arm64", armv82, []string{plain}, plain},
		{"arm64", armv82, []string{any}, any},
		{"arm64", 0, []string{fast}, ""},
		{"amd64", armv82, []string{fast, any}, any},
		{"amd64", 0, nil, ""},
	} {
		folder := t.TempDir()
		for _, name := range c.there {
			if err := os.WriteFile(filepath.Join(folder, name), nil, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		want := c.want
		if want != "" {
			want = filepath.Join(folder, want)
		}
		it := cpu{architecture: c.architecture, hwcap: c.hwcap}
		if got, err := it.chooseServer(folder); got != want || (err == nil) != (want != "") {
			t.Errorf("%s with %x and %v: %s, %v", c.architecture, c.hwcap, c.there, got, err)
		}
	}
}

// If this fails, the CPU's abilities are read from another entry, or beyond the end.
func TestAuxiliaryVector(t *testing.T) {
	var vector []byte
	for _, number := range []uint64{33, 7, 16, armv82, 0, 0} {
		vector = binary.LittleEndian.AppendUint64(vector, number)
	}
	if got := auxiliary(vector, 16); got != armv82 {
		t.Errorf("%x", got)
	}
	for length := range vector[:32] {
		if got := auxiliary(vector[:length], 16); got != 0 {
			t.Errorf("%d bytes: %x", length, got)
		}
	}
}

// If this fails, an old PC dies of an illegal instruction instead of saying what it lacks, or a newer one is refused.
func TestOldPC(t *testing.T) {
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "llama-server"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	for info, lacks := range map[string]string{
		"model name\t: Haswell\nflags\t\t: fpu avx f16c fma avx2 bmi2\n": "",
		"flags\t\t: fpu avx f16c\n":                                      "avx2",
		"flags\t\t: fpu\n":                                               "avx",
		"Features\t: fp asimd\n":                                         "", // an emulator that shows what is below it
		"":                                                               "",
	} {
		_, err := cpu{architecture: "amd64", flags: flags(info)}.chooseServer(folder)
		if (err == nil) != (lacks == "") || (err != nil && !strings.Contains(err.Error(), "has no "+lacks+":")) {
			t.Errorf("%q: %v", info, err)
		}
	}
}
