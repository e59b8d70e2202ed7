package password

// ParseHash reads a stored hash and returns it as it is written again, with its cost.
func ParseHash(text string) (again string, memory, time uint32, threads uint8, err error) {
	h, err := parsePHC(text)
	return h.String(), h.Memory, h.Passes, h.Threads, err
}
