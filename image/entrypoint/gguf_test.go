package main

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// header builds a GGUF file piece by piece.
type header struct{ bytes.Buffer }

func (h *header) number(values ...any) *header {
	for _, value := range values {
		_ = binary.Write(&h.Buffer, binary.LittleEndian, value)
	}
	return h
}

func (h *header) string(text string) *header {
	h.number(uint64(len(text)))
	h.WriteString(text)
	return h
}

// tiny is a whole GGUF: every kind of value, and a Q8_0 tensor of 64 weights behind an F32 one of 3.
func tiny() []byte {
	h := &header{}
	h.WriteString("GGUF")
	h.number(uint32(3), uint64(2), uint64(10))
	h.string("bert.context_length").number(uint32(4), uint32(512)) // before the architecture is known
	h.string("general.architecture").number(uint32(8)).string("bert")
	h.string("general.file_type").number(uint32(4), uint32(7))
	h.string("bert.embedding_length").number(uint32(10), uint64(384))
	h.string("bert.pooling_type").number(uint32(4), uint32(2))
	h.string("bert.attention.causal").number(uint32(7), uint8(0))
	h.string("bert.attention.layer_norm_epsilon").number(uint32(6), float32(1e-12))
	h.string("tokenizer.ggml.tokens").number(uint32(9), uint32(8), uint64(2)).string("[CLS]").string("é")
	h.string("tokenizer.ggml.scores").number(uint32(9), uint32(6), uint64(2), float32(1), float32(2))
	h.string("nested").number(uint32(9), uint32(9), uint64(1), uint32(0), uint64(3), uint8(1), uint8(2), uint8(3))
	h.string("bias").number(uint32(1), uint64(3), uint32(0), uint64(0))
	h.string("weight").number(uint32(2), uint64(32), uint64(2), uint32(8), uint64(32))
	h.Write(make([]byte, (32-h.Len()%32)%32))
	h.Write(make([]byte, 32+68))
	return h.Bytes()
}

func read(t *testing.T, content []byte) (gguf, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	header, err := readHeader(path)
	if err != nil {
		return gguf{}, err
	}
	return header.summary(), nil
}

// If this fails, a model is served with another pooling, context or name than its file says.
func TestHeaderIsRead(t *testing.T) {
	got, err := read(t, tiny())
	want := gguf{architecture: "bert", quantisation: "Q8_0", context: 512, dimensions: 384, pooling: "cls", bytes: uint64(len(tiny()))}
	if err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
}

// If this fails, a download that was cut short anywhere is loaded, or ends in a stack trace instead of a clear line.
func TestEveryCutIsSeen(t *testing.T) {
	whole := tiny()
	for length := 0; length < len(whole); length++ {
		_, err := read(t, whole[:length])
		if statusOf(err) != wrongBytes || !strings.Contains(err.Error(), "is cut short") {
			t.Fatalf("%d of %d bytes: %v", length, len(whole), err)
		}
	}
}

// If this fails, a damaged or hostile file takes all memory, never ends, or passes for a model.
func TestDamageIsSeen(t *testing.T) {
	start := func(version uint32, tensors, pairs uint64) *header {
		h := &header{}
		h.WriteString("GGUF")
		return h.number(version, tensors, pairs)
	}
	huge := uint64(1) << 62
	for name, content := range map[string][]byte{
		"another magic":       []byte("<!doctype html>"),
		"a version to come":   start(4, 0, 0).Bytes(),
		"big endian":          start(3<<24, 0, 0).Bytes(),
		"countless tensors":   start(3, huge, 0).Bytes(),
		"countless keys":      start(3, 0, huge).Bytes(),
		"an endless key":      start(3, 0, 1).number(huge).Bytes(),
		"an endless text":     start(3, 0, 1).string("k").number(uint32(8), huge).Bytes(),
		"an endless array":    start(3, 0, 1).string("k").number(uint32(9), uint32(10), huge).Bytes(),
		"an unknown type":     start(3, 0, 1).string("k").number(uint32(13)).Bytes(),
		"arrays without end":  start(3, 0, 1).string("k").number(bytes.Repeat([]byte{9, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}, 9)).Bytes(),
		"alignment 0":         start(3, 0, 1).string("general.alignment").number(uint32(4), uint32(0)).Bytes(),
		"five dimensions":     start(3, 1, 0).string("t").number(uint32(5)).Bytes(),
		"endless dimensions":  start(3, 1, 0).string("t").number(uint32(2), huge, huge, uint32(0), uint64(0)).Bytes(),
		"a tensor far behind": start(3, 1, 0).string("t").number(uint32(1), uint64(1), uint32(0), huge).Bytes(),
	} {
		if _, err := read(t, content); statusOf(err) != wrongBytes {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzHeader looks for input that crashes the reader: go test -fuzz=FuzzHeader.
func FuzzHeader(f *testing.F) {
	f.Add(tiny())
	f.Fuzz(func(t *testing.T, content []byte) {
		if _, err := read(t, content); err != nil && statusOf(err) != wrongBytes {
			t.Errorf("%v", err)
		}
	})
}
