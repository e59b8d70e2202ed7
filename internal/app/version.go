package app

import "runtime/debug"

// Version returns the version that the Go toolchain wrote into the program: a
// module version, or the revision of the working copy that it was built from.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
