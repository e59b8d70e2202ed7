package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/telamon-ca/telamon"
	"github.com/telamon-ca/telamon/internal/app"
	"github.com/telamon-ca/telamon/internal/backup"
)

// A backupCommand is one call of "telamon backup".
type backupCommand struct {
	config, out string
	series      backup.Series
	every       time.Duration
	json        bool
}

func newBackup() *cobra.Command {
	c := &backupCommand{}
	cmd := &cobra.Command{
		Use: "backup", Short: "Make a backup, while the server runs", Args: noArgs,
		Long: "Make a backup of the database and the keystore's encrypted files, while the server runs. The key-encryption\n" +
			"key is not in it, and nobody can sign with it alone: keep that key elsewhere. What was acknowledged before\n" +
			"the backup began is in it.\n\n" +
			"With --every, make one after the other into --dir, until SIGINT or SIGTERM: each is a point in time that\n" +
			"\"telamon restore\" can go back to. Of PostgreSQL, the keystore and a manifest are kept: the database is backed\n" +
			"up by its own tools (docs/RECOVERY.md).",
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	configFlag(cmd, &c.config)
	flags := cmd.Flags()
	flags.StringVarP(&c.out, "out", "o", "", "the file, which must not exist")
	flags.StringVar(&c.series.Dir, "dir", "", "a directory of backups, named by their time, instead")
	flags.IntVar(&c.series.Keep, "keep", 0, "how many of the newest backups in --dir stay (default all)")
	flags.DurationVar(&c.every, "every", 0, "make one after the other into --dir, at this interval")
	flags.BoolVar(&c.json, "json", false, "print JSON")
	return cmd
}

func (c *backupCommand) run(cmd *cobra.Command) error {
	switch {
	case (c.out == "") == (c.series.Dir == ""):
		return usagef("give either --out or --dir")
	case c.out != "" && (c.every != 0 || c.series.Keep != 0):
		return usagef("--every and --keep go with --dir")
	case c.every < 0 || c.every > 0 && c.every < time.Second || c.series.Keep < 0:
		return usagef("--every is a second or more, and --keep is not negative")
	}
	cfg, err := backupConfig(cmd, c.config)
	if err != nil {
		return err
	}
	if c.every == 0 {
		return c.make(cmd.Context(), cfg, cmd.OutOrStdout())
	}
	ticker := time.NewTicker(c.every)
	defer ticker.Stop()
	for {
		if err := c.make(cmd.Context(), cfg, cmd.OutOrStdout()); err != nil && cmd.Context().Err() == nil {
			cfg.Log.ErrorContext(cmd.Context(), "no backup was made", "error", err) // the next one may succeed
		}
		select {
		case <-cmd.Context().Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (c *backupCommand) make(ctx context.Context, cfg backup.Config, out io.Writer) error {
	var made *backup.Made
	var err error
	if c.out != "" {
		made, err = backup.Create(ctx, cfg, c.out)
	} else {
		made, err = c.series.Next(ctx, cfg)
	}
	if err != nil {
		return err
	}
	for _, warning := range made.Warnings {
		cfg.Log.WarnContext(ctx, warning)
	}
	if c.json {
		return json.NewEncoder(out).Encode(map[string]any{"path": made.Path, "size": made.Size, "manifest": made.Manifest})
	}
	_, err = fmt.Fprintf(out, "%s: %d bytes, audit log of %d events\n", made.Path, made.Size, made.Manifest.Log.Size)
	return err
}

// backupConfig returns what backups need of a configuration file.
func backupConfig(cmd *cobra.Command, path string) (backup.Config, error) {
	cfg, err := app.LoadConfig(path)
	if err != nil {
		return backup.Config{}, err
	}
	log, _, err := app.NewLog(cfg.Log, cmd.ErrOrStderr())
	if err != nil {
		return backup.Config{}, err
	}
	return app.BackupConfig(cfg, telamon.SystemClock{}, log)
}

// A restoreCommand is one call of "telamon restore".
type restoreCommand struct {
	config, at  string
	options     backup.Options
	checkpoints []string
	crls        []string
	fetched     string // a directory for CRLs that are fetched
	json        bool
}

func newRestore() *cobra.Command {
	c := &restoreCommand{}
	cmd := &cobra.Command{
		Use: "restore [BACKUP]", Short: "Put a backup back, or admit a database that was put back", Args: atMostOne("backup"),
		Long: "Put a backup, or the newest one of a directory, back where the configuration says, where nothing may be. Without\n" +
			"--yes nothing is changed: the backup is verified and compared with what was published, and what would be lost\n" +
			"is told. What is lost must be accepted by --accept-loss.\n\n" +
			"Without BACKUP, database and keystore have been put back by other means, such as those of PostgreSQL or a\n" +
			"snapshot: they are compared and admitted where they are. Either way an epoch is opened in the audit log, without\n" +
			"which a server does not start on a database that is older than its exported checkpoint.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				c.options.Archive = args[0]
			}
			return c.run(cmd)
		},
	}
	configFlag(cmd, &c.config)
	flags := cmd.Flags()
	flags.StringVar(&c.at, "at", "", "of a directory of backups, the newest one that is not younger than this time")
	flags.BoolVar(&c.options.KeepKeys, "keep-keys", false, "keep the keystore that is there: it is newer than the backup's")
	flags.StringSliceVar(&c.checkpoints, "checkpoint", nil, "file of an exported checkpoint to compare with, beside audit.checkpoint_file; may be given several times")
	flags.StringSliceVar(&c.crls, "crl", nil, "file or directory of published CRLs to compare with, instead of crl.directory; those that it lacks are fetched from status_base_url, unless one is \"none\"")
	flags.BoolVar(&c.options.AcceptLoss, "accept-loss", false, "restore although the backup lacks what was published since")
	flags.BoolVar(&c.options.Act, "yes", false, "carry it out")
	flags.BoolVar(&c.json, "json", false, "print JSON")
	return cmd
}

// atMostOne checks the arguments of a command that takes one or none.
func atMostOne(name string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usagef("give one %s", name)
		}
		return nil
	}
}

func (c *restoreCommand) run(cmd *cobra.Command) error {
	full, err := checkedConfig(c.config)
	if err != nil {
		return err
	}
	cfg, err := backupConfig(cmd, c.config)
	if err != nil {
		return err
	}
	o := &c.options
	o.AdminSocket, o.Actor = full.AdminSocket, telamon.Actor{Kind: telamon.ActorOperator}
	if o.Archive, err = c.archive(); err != nil {
		return err
	}
	if o.Evidence.Checkpoints, err = c.exported(full.Audit.CheckpointFile); err != nil {
		return err
	}
	if err := c.published(full.StatusBaseURL, full.CRL.Directory); err != nil {
		return err
	}
	defer os.RemoveAll(c.fetched)
	restored, err := backup.Restore(cmd.Context(), cfg, *o)
	if errors.Is(err, backup.ErrLoss) {
		err = fmt.Errorf("%w\nhint: look for a newer backup; if there is none, add --accept-loss; CRLs that are not in sight may be elsewhere: --crl", err)
	}
	if restored == nil || restored.Admission == nil {
		return err
	}
	return errors.Join(c.print(cmd, restored), err)
}

// exported returns the checkpoints that are in sight: those that the arguments name, and
// the file that the server exports to, if it is there.
func (c *restoreCommand) exported(configured string) (notes []string, err error) {
	for _, file := range append(c.checkpoints, configured) {
		if file == "" {
			continue
		}
		text, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) && file == configured {
			continue
		}
		if err != nil {
			return nil, err
		}
		notes = append(notes, string(text))
	}
	return notes, nil
}

// archive returns the backup that the arguments name.
func (c *restoreCommand) archive() (string, error) {
	path := c.options.Archive
	info, err := os.Stat(path)
	if path == "" || err == nil && !info.IsDir() {
		if c.at != "" {
			return "", usagef("--at chooses from a directory of backups")
		}
		return path, nil
	}
	if err != nil {
		return "", err
	}
	at, err := optionalTime("at", c.at)
	if err != nil {
		return "", err
	}
	if at == nil {
		at = &time.Time{}
	}
	point, err := (&backup.Series{Dir: path}).At(*at)
	return point.Path, err
}

func (c *restoreCommand) print(cmd *cobra.Command, r *backup.Restored) error {
	out := cmd.OutOrStdout()
	if c.json {
		return json.NewEncoder(out).Encode(r)
	}
	if m := r.Manifest; m != nil {
		fmt.Fprintf(out, "backup of %s at %s, schema %d\n", m.Installation, m.At.Format(time.RFC3339), m.Schema)
	}
	fmt.Fprintf(out, "audit log: %d events\n", r.Events)
	if r.Revocations > 0 {
		fmt.Fprintf(out, "brought back: %d revocations, %d of them of certificates that are in no ledger\n", r.Revocations, r.Unknown)
	}
	for _, loss := range r.Losses {
		fmt.Fprintf(out, "lost: %s\n", loss)
	}
	for _, warning := range r.Warnings {
		fmt.Fprintf(out, "warning: %s\n", warning)
	}
	if r.Done {
		fmt.Fprintln(out, "restored: start the server with telamon serve")
		return nil
	}
	if !c.options.Act {
		fmt.Fprintln(cmd.ErrOrStderr(), "telamon: nothing was changed; add --yes to carry this out")
	}
	return nil
}
