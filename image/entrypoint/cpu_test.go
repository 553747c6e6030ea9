package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
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
		if got, err := chooseServer(folder, c.architecture, c.hwcap); got != want || (err == nil) != (want != "") {
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
