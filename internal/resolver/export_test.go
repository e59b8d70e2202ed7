package resolver

// Kill ends the process as somebody else might.
func (u *Unbound) Kill() error { return u.process.Kill() }
