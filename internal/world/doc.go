// Package world is a small Internet on loopback, in which domains can be validated
// without one: DNS servers that know every name and can be told to fail, hosts that
// serve files, a mail server that keeps what it gets, and an API that controls them
// all. Tests use it, and so does "telamon dev", whose users can try every method
// of validation with it.
//
// It is not for production: whoever reaches its ports owns the world. It trusts
// everybody on the machine, and listens on loopback for that reason. It validates
// nothing, and keeps nothing when it stops.
package world
