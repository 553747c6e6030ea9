package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
)

// gguf is what the header of a GGUF file says of the model. The format: docs/gguf.md of github.com/ggml-org/ggml.
type gguf struct {
	architecture string
	quantisation string // such as Q4_K_M; "?" when the file does not say
	context      int    // tokens that it was trained for; 0 when the file does not say
	dimensions   int    // of its embeddings; 0 when the file does not say
	pooling      string // mean, cls, last or rank; empty when the file does not say, or says none
	bytes        uint64 // of the file
	heads        uint64 // of attention; 0 when the file does not say
	perToken     uint64 // bytes that a token takes in the cache of keys and values, in F16; 0 when the file does not say
}

func (g gguf) String() string {
	return fmt.Sprintf("%s, %s, %d dimensions, trained for %d tokens", g.architecture, g.quantisation, g.dimensions, g.context)
}

// Limits that no real file comes near; beyond them it is damaged, and would only use up memory.
const (
	longestKey    = 1 << 16
	longestText   = 1 << 24
	mostTensors   = 1 << 20
	mostMetadata  = 1 << 20
	deepestArray  = 4
	mostSizes     = 4
	mostAlignment = 1 << 20
)

// Types of metadata values.
const (
	typeBool   = 7
	typeString = 8
	typeArray  = 9
)

// valueSizes are the bytes of the metadata types that have a fixed size.
var valueSizes = map[uint32]int{0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, typeBool: 1, 10: 8, 11: 8, 12: 8}

// integers are the whole numbers among them.
var integers = map[uint32]bool{0: true, 1: true, 2: true, 3: true, 4: true, 5: true, 10: true, 11: true}

var poolings = map[uint64]string{1: "mean", 2: "cls", 3: "last", 4: "rank"}

var errDamaged = errors.New("its header is damaged")

// readHeader reads the header of a file and sees that the file is as long as its header says.
func readHeader(path string) (*headerReader, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, unreadable(path, err)
	}
	r := &headerReader{bytes: bufio.NewReaderSize(file, 1<<18), texts: map[string]string{}, numbers: map[string]uint64{}, has: map[string]bool{}}
	needed, err := r.read()
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fail(wrongBytes, "%s is cut short: its %d bytes end within the header", path, info.Size())
	case err != nil:
		return nil, fail(wrongBytes, "%s cannot be used: %v", path, err)
	case needed > uint64(info.Size()):
		return nil, fail(wrongBytes, "%s is cut short: it has %d bytes, its tensors need %d", path, info.Size(), needed)
	}
	r.size = uint64(info.Size())
	return r, nil
}

// headerReader goes through a header once, and keeps single texts and whole numbers.
type headerReader struct {
	bytes    *bufio.Reader
	position uint64
	texts    map[string]string
	numbers  map[string]uint64
	has      map[string]bool // its keys
	foreign  string          // the first tensor of a model's eyes or ears, which llama.cpp keeps in a file of their own
	elements uint64          // of all tensors
	size     uint64          // of the file, in bytes
}

// read returns how long the file must be.
func (r *headerReader) read() (uint64, error) {
	magic, err := r.take(4)
	if err != nil {
		return 0, err
	}
	if string(magic) != "GGUF" {
		return 0, fmt.Errorf("it is not a GGUF file, it begins with %q", magic)
	}
	version, err := r.uint32()
	if err != nil {
		return 0, err
	}
	if version != 2 && version != 3 {
		return 0, fmt.Errorf("it is GGUF version %d, known are 2 and 3", version)
	}
	tensors, err := r.limited(mostTensors)
	if err != nil {
		return 0, err
	}
	pairs, err := r.limited(mostMetadata)
	if err != nil {
		return 0, err
	}
	for ; pairs > 0; pairs-- {
		if err := r.pair(); err != nil {
			return 0, err
		}
	}
	end := uint64(0)
	for ; tensors > 0; tensors-- {
		last, err := r.tensor()
		if err != nil {
			return 0, err
		}
		if last > end {
			end = last
		}
	}
	alignment, set := r.numbers["general.alignment"]
	if !set {
		alignment = 32
	}
	if alignment == 0 || alignment > mostAlignment {
		return 0, errDamaged
	}
	return (r.position+alignment-1)/alignment*alignment + end, nil
}

// pair reads one key and its value.
func (r *headerReader) pair() error {
	key, err := r.text(longestKey)
	if err != nil {
		return err
	}
	r.has[key] = true
	kind, err := r.uint32()
	if err != nil {
		return err
	}
	if kind == typeString {
		r.texts[key], err = r.text(longestText)
		return err
	}
	if integers[kind] {
		value, err := r.take(valueSizes[kind])
		if err == nil {
			r.numbers[key] = binary.LittleEndian.Uint64(append(value, make([]byte, 8)...))
		}
		return err
	}
	return r.skip(kind, 0)
}

// skip passes over a value of a kind.
func (r *headerReader) skip(kind uint32, depth int) error {
	if size, fixed := valueSizes[kind]; fixed {
		return r.discard(uint64(size))
	}
	switch {
	case kind == typeString:
		length, err := r.limited(longestText)
		if err != nil {
			return err
		}
		return r.discard(length)
	case kind != typeArray || depth == deepestArray:
		return errDamaged
	}
	of, err := r.uint32()
	if err != nil {
		return err
	}
	length, err := r.uint64()
	if err != nil {
		return err
	}
	if size, fixed := valueSizes[of]; fixed {
		over, total := bits.Mul64(length, uint64(size))
		if over != 0 {
			return errDamaged
		}
		return r.discard(total)
	}
	for ; length > 0; length-- {
		if err := r.skip(of, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// tensor reads a tensor's entry; returns where it ends behind the header, or 0 when its type is not known.
func (r *headerReader) tensor() (uint64, error) {
	name, err := r.text(longestKey)
	if err != nil {
		return 0, err
	}
	if r.foreign == "" && isForeign(name) {
		r.foreign = name
	}
	dimensions, err := r.uint32()
	if err != nil {
		return 0, err
	}
	if dimensions > mostSizes {
		return 0, errDamaged
	}
	elements := uint64(1)
	for ; dimensions > 0; dimensions-- {
		size, err := r.uint64()
		if err != nil {
			return 0, err
		}
		var over uint64
		if over, elements = bits.Mul64(elements, size); over != 0 {
			return 0, errDamaged
		}
	}
	r.elements += elements
	kind, err := r.uint32()
	if err != nil {
		return 0, err
	}
	offset, err := r.uint64()
	if err != nil {
		return 0, err
	}
	block, known := tensorTypes[kind]
	if !known {
		return 0, nil
	}
	over, length := bits.Mul64(elements/block.elements, block.bytes)
	if end, carry := bits.Add64(offset, length, 0); over == 0 && carry == 0 && end < 1<<62 {
		return end, nil
	}
	return 0, errDamaged
}

func (r *headerReader) summary() gguf {
	architecture := r.texts["general.architecture"]
	number := func(key string) int { return int(r.numbers[architecture+key] & (1<<31 - 1)) }
	g := gguf{
		architecture: architecture,
		quantisation: "?",
		context:      number(".context_length"),
		dimensions:   number(".embedding_length"),
		pooling:      poolings[r.numbers[architecture+".pooling_type"]],
		heads:        r.numbers[architecture+".attention.head_count"],
		perToken:     r.perToken(architecture),
		bytes:        r.size,
	}
	if fileType, set := r.numbers["general.file_type"]; set && fileTypes[fileType] != "" {
		g.quantisation = fileTypes[fileType]
	}
	return g
}

// perToken follows llama_hparams: heads that share keys and values have them once, and their length is the embedding's
// share unless the file says another. Where each layer has its own number of heads, which is an array, it is 0.
func (r *headerReader) perToken(architecture string) uint64 {
	number := func(key string, otherwise uint64) uint64 {
		if value, set := r.numbers[architecture+key]; set {
			return value & (1<<20 - 1)
		}
		return otherwise
	}
	heads := number(".attention.head_count", 0)
	if heads == 0 {
		return 0
	}
	share := number(".embedding_length", 0) / heads
	keys, values := number(".attention.key_length", share), number(".attention.value_length", share)
	return number(".block_count", 0) * number(".attention.head_count_kv", heads) * (keys + values) * 2
}

func (r *headerReader) take(length int) ([]byte, error) {
	value := make([]byte, length)
	_, err := io.ReadFull(r.bytes, value)
	r.position += uint64(length)
	return value, err
}

func (r *headerReader) discard(length uint64) error {
	if length > 1<<62 {
		return errDamaged
	}
	r.position += length
	_, err := io.CopyN(io.Discard, r.bytes, int64(length))
	return err
}

func (r *headerReader) uint32() (uint32, error) {
	value, err := r.take(4)
	return binary.LittleEndian.Uint32(value), err
}

func (r *headerReader) uint64() (uint64, error) {
	value, err := r.take(8)
	return binary.LittleEndian.Uint64(value), err
}

// limited reads a number that must not be above a limit.
func (r *headerReader) limited(most uint64) (uint64, error) {
	value, err := r.uint64()
	if err == nil && value > most {
		return 0, errDamaged
	}
	return value, err
}

func (r *headerReader) text(longest uint64) (string, error) {
	length, err := r.limited(longest)
	if err != nil {
		return "", err
	}
	value, err := r.take(int(length))
	return string(value), err
}
