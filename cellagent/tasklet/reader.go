package tasklet

import "errors"

// reader takes WebAssembly's encodings off a slice; it never reads beyond it and never
// allocates for a length that it was told.
type reader struct{ rest []byte }

// errShort and errNumber are made where they happen: a package holds no variables.
func errShort() error  { return errors.New("module ends inside of it") }
func errNumber() error { return errors.New("number is longer than 32 bits") }

func (r *reader) byte() (byte, error) {
	if len(r.rest) == 0 {
		return 0, errShort()
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b, nil
}

// u32 reads an unsigned LEB128 number.
func (r *reader) u32() (uint32, error) {
	var n uint64
	for shift := uint(0); shift < 35; shift += 7 {
		b, err := r.byte()
		if err != nil {
			return 0, err
		}
		n |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			if n > 1<<32-1 {
				return 0, errNumber()
			}
			return uint32(n), nil
		}
	}
	return 0, errNumber()
}

// bytes reads a length and as many bytes, which it does not copy.
func (r *reader) bytes() ([]byte, error) {
	n, err := r.u32()
	if err != nil {
		return nil, err
	}
	if uint64(n) > uint64(len(r.rest)) {
		return nil, errShort()
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b, nil
}

func (r *reader) name() (string, error) {
	b, err := r.bytes()
	return string(b), err
}

// limits reads the limits of a table or memory and returns the minimum.
func (r *reader) limits() (uint64, error) {
	flags, err := r.byte()
	if err != nil {
		return 0, err
	}
	if flags > 1 {
		return 0, errors.New("shared and 64-bit memories are not offered")
	}
	least, err := r.u32()
	if err == nil && flags == 1 {
		_, err = r.u32()
	}
	return uint64(least), err
}

// vector calls each for every element.
func (r *reader) vector(each func(*reader) error) error {
	n, err := r.u32()
	if err != nil {
		return err
	}
	for range n {
		if err := each(r); err != nil {
			return err
		}
	}
	return nil
}
