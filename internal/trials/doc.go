// Package trials ends servers at the worst moments and looks what is left of what
// they acknowledged. It has no code, only tests that run the real program under load:
// on small disks, which fill up, lose their power and come back, and on PostgreSQL
// servers that are killed, cut off and replaced by their standby.
//
// A trial is one life of a server: start it, compare what it says with all that
// earlier ones acknowledged, load it, end it. What the trials of a release found is
// in docs/RELIABILITY.md, with the method, which knows nothing of this server but
// its wire. TELAMON_TRIALS asks for more trials than the tests make by themselves,
// TELAMON_TRIALS_SEED for those of an earlier run.
package trials
