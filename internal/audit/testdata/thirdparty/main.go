// Command thirdparty verifies proofs of the audit log with nothing but the Go
// project's packages for signed notes and Merkle trees:
//
//	thirdparty inclusion KEYFILE PROOF EVENT
//	thirdparty consistency KEYFILE PROOF OLDCHECKPOINT
//
// KEYFILE holds the verifier key of the log, as "telamon admin audit checkpoint"
// prints it; EVENT the octets of an event, and nothing else.
package main

import (
	"fmt"
	"log"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: thirdparty inclusion|consistency KEYFILE PROOF EVENT|OLDCHECKPOINT")
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(read(os.Args[2])))
	check(err)
	head, checkpoint, _ := strings.Cut(read(os.Args[3]), "\n\n")
	tree := open(checkpoint, verifier)
	var number int64
	var hashes []tlog.Hash
	for _, line := range strings.Split(head, "\n") {
		if line == "c2sp.org/tlog-proof@v1" {
			continue
		}
		if _, err := fmt.Sscanf(line, "index %d", &number); err == nil {
			continue
		}
		if _, err := fmt.Sscanf(line, "old %d", &number); err == nil {
			continue
		}
		hash, err := tlog.ParseHash(line)
		check(err)
		hashes = append(hashes, hash)
	}
	switch os.Args[1] {
	case "inclusion":
		leaf := tlog.RecordHash([]byte(read(os.Args[4])))
		check(tlog.CheckRecord(hashes, tree.N, tree.Hash, number, leaf))
		fmt.Printf("the event is number %d of %d\n", number, tree.N)
	case "consistency":
		old := open(read(os.Args[4]), verifier)
		check(tlog.CheckTree(hashes, tree.N, tree.Hash, old.N, old.Hash))
		fmt.Printf("the log of %d events began with the log of %d\n", tree.N, old.N)
	default:
		log.Fatalf("unknown proof %q", os.Args[1])
	}
}

// open verifies a checkpoint and returns its tree.
func open(signed string, verifier note.Verifier) tlog.Tree {
	n, err := note.Open([]byte(signed), note.VerifierList(verifier))
	check(err)
	var size int64
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 3 {
		log.Fatal("not a checkpoint")
	}
	_, err = fmt.Sscanf(lines[1], "%d", &size)
	check(err)
	hash, err := tlog.ParseHash(lines[2])
	check(err)
	return tlog.Tree{N: size, Hash: hash}
}

func read(path string) string {
	text, err := os.ReadFile(path)
	check(err)
	return string(text)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
