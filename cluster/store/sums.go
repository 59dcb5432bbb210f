package store

// sums holds the checksum of every entry of the log, four bytes each: what is read later is
// compared with what was verified at the start or written since.
type sums struct {
	first uint64 // index of the oldest entry; 0 is none
	list  []uint32
}

// last returns the index of the newest entry; 0 is none.
func (s *sums) last() uint64 {
	if s.first == 0 {
		return 0
	}
	return s.first + uint64(len(s.list)) - 1
}

// at returns the checksum of the entry at index.
func (s *sums) at(index uint64) (sum uint32, held bool) {
	if s.first == 0 || index < s.first || index > s.last() {
		return 0, false
	}
	return s.list[index-s.first], true
}

// push adds the checksum of the next entry, or of the first one.
func (s *sums) push(index uint64, sum uint32) {
	if s.first == 0 {
		s.first = index
	}
	s.list = append(s.list, sum)
}

// cutHead forgets what comes before from.
func (s *sums) cutHead(from uint64) {
	if from > s.last() {
		*s = sums{}
		return
	}
	s.list = s.list[from-s.first:]
	s.first = from
	if cap(s.list) > 4*len(s.list) { // the array behind it is held whole
		s.list = append(make([]uint32, 0, 2*len(s.list)), s.list...)
	}
}

// cutTail forgets from and what comes after it.
func (s *sums) cutTail(from uint64) { s.list = s.list[:from-s.first] }
