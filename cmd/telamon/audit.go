package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/api/admin"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/audit"
	"github.com/telamon-ca/telamon/internal/store"
)

// newAudit is for a server that does not run, or that nobody wants to ask.
func newAudit() *cobra.Command {
	var config, verifier string
	f := &adminFlags{}
	verify := newVerify(func(cmd *cobra.Command, in admin.Verify) (json.RawMessage, error) {
		found, err := verifyDatabase(cmd.Context(), config, verifier, in)
		if err != nil {
			return nil, err
		}
		return json.Marshal(found)
	}, f)
	verify.Flags().StringVarP(&config, "config", "c", defaultConfig, "the configuration, which names the database")
	verify.Flags().StringVar(&verifier, "verifier", "", "the verifier key of the log's checkpoints, kept elsewhere; without it, that of the keystore")
	verify.Flags().BoolVar(&f.json, "json", false, "print JSON")
	return group("audit", "Verify, prove and export the audit log of a database", verify, newProve(), newExport())
}

// newProve prints proofs for others, which need the verifier key and nothing else of
// ours.
func newProve() *cobra.Command {
	var config, since, event string
	cmd := &cobra.Command{
		Use:   "prove [EVENT]",
		Short: "Prove that an event is in the log, or with -since that the log only grew",
		Long: "Prove that an event is in the log (c2sp.org/tlog-proof), or with --since that the log began as\n" +
			"a checkpoint says that was kept (c2sp.org/tlog-witness). The proof goes to standard output.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 || (len(args) == 1) == (since != "") {
				return usagef("give either an event's ID or --since FILE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := app.LoadConfig(config)
			if err != nil {
				return err
			}
			db, err := app.ReadDatabase(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer db.Close()
			if since != "" {
				return proveSince(cmd, cfg, db, since)
			}
			proof, err := admin.ProveEvent(cmd.Context(), db, telamon.EventID(args[0]))
			if err != nil {
				return err
			}
			if event != "" {
				if err := os.WriteFile(event, []byte(proof.Event), 0o600); err != nil {
					return err
				}
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), proof.Proof)
			return err
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", defaultConfig, "the configuration, which names the database")
	cmd.Flags().StringVar(&since, "since", "", "file of a checkpoint that was kept")
	cmd.Flags().StringVar(&event, "event", "", "write the event's octets, which the proof is about, to this file")
	return cmd
}

// proveSince prints the proof that the log began as the kept checkpoint says.
func proveSince(cmd *cobra.Command, cfg app.Config, db *store.DB, path string) error {
	kept, err := readCheckpoint(cfg, path)
	if err != nil {
		return err
	}
	head, proof, err := db.AuditConsistency(cmd.Context(), kept.Tree.Size)
	if err != nil {
		return err
	}
	if err := audit.CheckConsistency(proof, head.Tree, kept.Tree); err != nil {
		return fmt.Errorf("the log did not begin as %s says: %w", path, err)
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), audit.ConsistencyText(kept.Tree.Size, proof, head.Checkpoint))
	return err
}

// readCheckpoint reads a kept checkpoint and checks its signature.
func readCheckpoint(cfg app.Config, path string) (audit.Checkpoint, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return audit.Checkpoint{}, err
	}
	key, err := app.AuditVerifierKey(cfg)
	if err != nil {
		return audit.Checkpoint{}, err
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return audit.Checkpoint{}, err
	}
	kept, err := audit.OpenCheckpoint(string(text), verifier)
	if err != nil {
		return kept, fmt.Errorf("%s: %w", path, err)
	}
	return kept, nil
}

// newExport writes the log as it is: each line is the octets of an event, so that the
// hash of a line is the leaf of its place.
func newExport() *cobra.Command {
	var config, since, checkpoint string
	cmd := &cobra.Command{
		Use: "export", Short: "Write the log as lines of JSON, in the order of their places", Args: noArgs,
		Long: "Write the log as lines of JSON, in the order of their places, to standard output.\n" +
			"Each line is the octets of one event: its hash is the leaf of the Merkle tree at that place. An event\n" +
			"that was purged is a line {\"seq\":…,\"purged_leaf\":…} with that hash.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := app.LoadConfig(config)
			if err != nil {
				return err
			}
			var first int64
			if since != "" {
				kept, err := readCheckpoint(cfg, since)
				if err != nil {
					return err
				}
				first = kept.Tree.Size
			}
			db, err := app.ReadDatabase(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer db.Close()
			head, err := db.AuditHead(cmd.Context())
			if err != nil {
				return err
			}
			if first > head.Tree.Size {
				return fmt.Errorf("the log has %d events, the checkpoint %d: this database was put back", head.Tree.Size, first)
			}
			n, err := export(cmd, db, first, head.Tree.Size)
			if err != nil {
				return err
			}
			if checkpoint != "" {
				if err := os.WriteFile(checkpoint, []byte(head.Checkpoint), 0o644); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "telamon: %d events, from place %d on\n", n, first)
			return err
		},
	}
	cmd.Flags().StringVarP(&config, "config", "c", defaultConfig, "the configuration, which names the database")
	cmd.Flags().StringVar(&since, "since", "", "file of a checkpoint: write only what came after it")
	cmd.Flags().StringVar(&checkpoint, "checkpoint", "", "write the checkpoint of the log that was written to this file")
	return cmd
}

// export writes the places from first up to end and returns how many.
func export(cmd *cobra.Command, db *store.DB, first, end int64) (int64, error) {
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 1<<16)
	next := first
	for entry, err := range db.AuditEntries(cmd.Context(), first, end) {
		if err != nil {
			return 0, err
		}
		if entry.Seq != next {
			return 0, fmt.Errorf("the log has no segment for place %d: verify it", next)
		}
		next++
		line := entry.Payload
		if line == nil {
			if line, err = json.Marshal(purged{entry.Seq, entry.Leaf[:]}); err != nil {
				return 0, err
			}
		}
		out.Write(append(line, '\n')) // the error stays until Flush
	}
	if next != end {
		return 0, fmt.Errorf("the log ends at place %d of %d: verify it", next, end)
	}
	return next - first, out.Flush()
}

// purged stands for an event that is not there any more.
type purged struct {
	Seq  int64  `json:"seq"`
	Leaf []byte `json:"purged_leaf"`
}

// verifyDatabase verifies the log of the database that a configuration names. The
// server may run or not.
func verifyDatabase(ctx context.Context, config, key string, in admin.Verify) (*admin.Verification, error) {
	cfg, err := app.LoadConfig(config)
	if err != nil {
		return nil, err
	}
	if key == "" {
		if key, err = app.AuditVerifierKey(cfg); err != nil {
			return nil, err
		}
	}
	verifier, err := note.NewVerifier(key)
	if err != nil {
		return nil, usagef("--verifier: %w", err)
	}
	db, err := app.ReadDatabase(ctx, cfg)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	return admin.VerifyLog(ctx, db, verifier, in, telamon.SystemClock{}.Now())
}

// newVerify returns a command that verifies an audit log and prints what it found.
func newVerify(do func(*cobra.Command, admin.Verify) (json.RawMessage, error), f *adminFlags) *cobra.Command {
	var files []string
	var purged, since string
	cmd := &cobra.Command{
		Use: "verify", Short: "Verify the whole audit log: exit status 3 if anything was altered, removed or reordered", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var in admin.Verify
			var err error
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				in.Checkpoints = append(in.Checkpoints, string(text))
			}
			if since != "" && len(files) > 0 {
				return usagef("give either --since or --checkpoint")
			}
			if since != "" {
				text, err := os.ReadFile(since)
				if err != nil {
					return err
				}
				in.Since = string(text)
			}
			if in.PurgedBefore, err = optionalTime("purged-before", purged); err != nil {
				return err
			}
			answer, err := do(cmd, in)
			if err != nil {
				return err
			}
			if err := f.print(cmd.OutOrStdout(), answer, nil); err != nil {
				return err
			}
			var found admin.Verification
			if err := json.Unmarshal(answer, &found); err != nil {
				return err
			}
			if !found.OK {
				return errProblems
			}
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&files, "checkpoint", nil, "file of a checkpoint that was kept; may be given several times")
	cmd.Flags().StringVar(&since, "since", "", "file of a checkpoint that was kept: verify only what came after it")
	cmd.Flags().StringVar(&purged, "purged-before", "", "events of before this time may be missing")
	return cmd
}
