package fsm

import "errors"

// MaxEntry bounds the bytes of one encoded entry.
const MaxEntry = 256 << 10

// EncodeEntry returns the bytes of e for the log.
func EncodeEntry(e Entry) ([]byte, error) { return nil, errors.ErrUnsupported }

// DecodeEntry reads what EncodeEntry wrote.
func DecodeEntry(b []byte) (Entry, error) { return Entry{}, errors.ErrUnsupported }

// EncodedSize returns how many bytes c takes in an entry.
func EncodedSize(c Command) int { return 0 }
